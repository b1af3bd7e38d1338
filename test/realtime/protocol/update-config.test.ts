import { describe, expect, test } from "bun:test"
import { Either, FastCheck } from "effect"
import { readResponseParams, responseConfig } from "../../../src/realtime/protocol/response.ts"
import {
  type AgentFacts,
  defaultConfig,
  type RealtimeConfig,
  type SessionConfig,
} from "../../../src/realtime/protocol/session-config.ts"
import { readSessionPatch } from "../../../src/realtime/protocol/session-patch.ts"
import { updateConfig } from "../../../src/realtime/protocol/update-config.ts"

const agent: AgentFacts = {
  model: "gpt-5-mini",
  instructions: "Be brief.",
  voice: "alloy",
  transcriptionModel: "whisper-1",
  tools: [],
}
const facts = { hasAudio: false, voices: ["alloy", "ash"], transcriptionModel: "whisper-1" }
const fresh = defaultConfig(agent)
const transcribing = defaultConfig(agent, "transcription")

const update = (patch: unknown, config: SessionConfig = fresh, more: Partial<typeof facts> = {}) =>
  Either.flatMap(readSessionPatch(patch), (session) => updateConfig(config, session, { ...facts, ...more }))
const updated = (patch: unknown, config?: SessionConfig, more?: Partial<typeof facts>) =>
  Either.getOrThrow(update(patch, config, more))
const realtime = (config: SessionConfig): RealtimeConfig => {
  if (config.type !== "realtime") throw new Error("a transcription session")
  return config
}
const vadOf = (config: SessionConfig) => config.audio.input.turn_detection
const vad = (turn_detection: unknown) => ({ audio: { input: { turn_detection } } })
const tools = (...names: ReadonlyArray<string>) => names.map((name) => ({ type: "function", name }))

test("the defaults are complete", () => {
  expect(fresh).toEqual({
    type: "realtime",
    model: "gpt-5-mini",
    instructions: "Be brief.",
    output_modalities: ["audio"],
    audio: {
      input: {
        format: { type: "audio/pcm", rate: 24_000 },
        transcription: null,
        noise_reduction: null,
        turn_detection: {
          type: "server_vad",
          threshold: 0.5,
          prefix_padding_ms: 300,
          silence_duration_ms: 500,
          idle_timeout_ms: null,
          create_response: true,
          interrupt_response: true,
        },
      },
      output: { format: { type: "audio/pcm", rate: 24_000 }, voice: "alloy", speed: 1 },
    },
    tools: [],
    tool_choice: "auto",
    max_output_tokens: "inf",
    truncation: "auto",
    include: null,
    tracing: null,
    prompt: null,
  })
})

test("the limit of a reply is shown if the protocol can", () => {
  expect(defaultConfig({ ...agent, maxOutputTokens: 300 })).toMatchObject({ max_output_tokens: 300 })
  expect(defaultConfig({ ...agent, maxOutputTokens: 9_000 })).toMatchObject({ max_output_tokens: "inf" })
})

describe("turn detection", () => {
  test("a field alone keeps the others", () => {
    expect(vadOf(updated(vad({ threshold: 0.8 })))).toMatchObject({
      type: "server_vad",
      threshold: 0.8,
      silence_duration_ms: 500,
    })
    const off = updated(vad({ create_response: false }))
    expect(vadOf(updated(vad({ silence_duration_ms: 700 }), off))).toMatchObject({
      create_response: false,
      silence_duration_ms: 700,
    })
  })

  test("null switches it off, and a field on again", () => {
    const off = updated(vad(null))
    expect(vadOf(off)).toBeNull()
    expect(vadOf(updated({ instructions: "x" }, off))).toBeNull()
    expect(vadOf(updated(vad({ threshold: 0.4 }), off))).toMatchObject({ type: "server_vad", threshold: 0.4 })
    expect(vadOf(updated(vad({ type: "server_vad" }), off))).toEqual(vadOf(fresh))
  })

  test("semantic_vad shows its own fields", () => {
    const semantic = updated(vad({ type: "semantic_vad" }))
    expect(vadOf(semantic)).toEqual({
      type: "semantic_vad",
      eagerness: "auto",
      create_response: true,
      interrupt_response: true,
    })
    expect(vadOf(updated(vad({ eagerness: "low" }), semantic))).toMatchObject({ eagerness: "low" })
  })

  test("a field of the other kind is refused", () => {
    expect(update(vad({ eagerness: "low" }))).toMatchObject({
      left: { code: "unknown_parameter", param: "session.audio.input.turn_detection.eagerness" },
    })
    expect(update(vad({ type: "semantic_vad", threshold: 0.5 }))).toMatchObject({
      left: { code: "unknown_parameter", param: "session.audio.input.turn_detection.threshold" },
    })
  })

  test("null clears idle_timeout_ms", () => {
    const idle = updated(vad({ idle_timeout_ms: 6_000 }))
    expect(vadOf(updated(vad({ threshold: 0.4 }), idle))).toMatchObject({ idle_timeout_ms: 6_000 })
    expect(vadOf(updated(vad({ idle_timeout_ms: null }), idle))).toMatchObject({ idle_timeout_ms: null })
  })
})

test("the model stays the server's", () => {
  const patch = { model: "gpt-realtime", audio: { input: { transcription: { model: "gpt-4o-transcribe" } } } }
  expect(updated(patch)).toMatchObject({
    model: "gpt-5-mini",
    audio: { input: { transcription: { model: "whisper-1" } } },
  })
})

test("transcription merges and clears", () => {
  const input = (transcription: unknown) => ({ audio: { input: { transcription } } })
  const german = updated(input({ language: "de", prompt: "Names" }))
  expect(updated(input({ prompt: null }), german).audio.input.transcription).toEqual({
    model: "whisper-1",
    language: "de",
  })
  expect(updated(input(null), german).audio.input.transcription).toBeNull()
  expect(updated({}, german)).toEqual(german)
})

describe("voice", () => {
  const voice = (name: unknown) => ({ audio: { output: { voice: name } } })

  test("changes to one of the operator's, as a string", () => {
    expect(realtime(updated(voice("ash"))).audio.output.voice).toBe("ash")
    expect(realtime(updated(voice({ id: "ash" }))).audio.output.voice).toBe("ash")
  })

  test("stays for another", () => {
    expect(realtime(updated(voice("marin"))).audio.output.voice).toBe("alloy")
    expect(realtime(updated(voice("marin"), fresh, { hasAudio: true })).audio.output.voice).toBe("alloy")
  })

  test("cannot change after the first audio", () => {
    expect(update(voice("ash"), fresh, { hasAudio: true })).toMatchObject({
      left: {
        code: "cannot_update_voice",
        param: null,
        message: "Cannot update a conversation's voice if assistant audio is present.",
      },
    })
    expect(realtime(updated(voice("alloy"), fresh, { hasAudio: true })).audio.output.voice).toBe("alloy")
  })
})

test("speed and truncation show what is in force", () => {
  const config = updated({ audio: { output: { speed: 1.3 } }, truncation: "disabled" })
  expect(config).toMatchObject({ audio: { output: { speed: 1 } }, truncation: "auto" })
})

test("what is only shown is shown", () => {
  const shown = {
    tracing: { workflow_name: "w" },
    include: ["item.input_audio_transcription.logprobs"],
    prompt: { id: "p" },
    parallel_tool_calls: false,
    reasoning: { effort: "low" },
  }
  expect(updated(shown)).toMatchObject(shown)
  expect(updated({ tracing: null, include: null, prompt: null }, updated(shown))).toMatchObject({
    tracing: null,
    include: null,
    prompt: null,
  })
  const noise = (noise_reduction: unknown) => ({ audio: { input: { noise_reduction } } })
  const near = updated(noise({ type: "near_field", strength: 0.3 }))
  expect(updated(noise({ type: "far_field" }), near).audio.input.noise_reduction).toEqual({
    type: "far_field",
    strength: 0.3,
  })
})

describe("tool choice", () => {
  test("a bare name is a function's", () => {
    expect(updated({ tools: tools("weather"), tool_choice: "weather" })).toMatchObject({
      tool_choice: { type: "function", name: "weather" },
    })
  })

  test("an unknown name is refused", () => {
    expect(update({ tools: tools("weather"), tool_choice: "time" })).toMatchObject({
      left: { code: "invalid_value", param: "session.tool_choice" },
    })
    expect(update({ tool_choice: { type: "function", name: "time" } })).toMatchObject({
      left: { message: "Invalid value: 'time'. Supported values are: 'auto', 'none', 'required'." },
    })
  })

  test("becomes auto when its tool is gone", () => {
    const config = updated({ tools: tools("weather"), tool_choice: "weather" })
    expect(updated({ tools: [] }, config)).toMatchObject({ tools: [], tool_choice: "auto" })
    expect(updated({ tools: tools("time", "weather") }, config)).toMatchObject({
      tool_choice: { name: "weather" },
    })
  })
})

describe("a transcription session", () => {
  test("has no output", () => {
    expect(transcribing).toMatchObject({
      type: "transcription",
      audio: { input: { transcription: { model: "whisper-1" } } },
      include: null,
    })
    expect(transcribing).not.toHaveProperty("audio.output")
  })

  test("takes input settings, with or without the type", () => {
    for (const type of [{}, { type: "transcription" }]) {
      const config = updated(
        { ...type, audio: { input: { transcription: { language: "fr" } } } },
        transcribing,
      )
      expect(config.audio.input.transcription).toEqual({ model: "whisper-1", language: "fr" })
    }
    expect(updated({ audio: { input: { transcription: null } } }, transcribing)).toEqual(transcribing)
  })

  test("refuses the rest", () => {
    expect(update({ model: "x" }, transcribing)).toMatchObject({
      left: { message: "You must not provide a model parameter for transcription sessions." },
    })
    expect(update({ instructions: "x" }, transcribing)).toMatchObject({
      left: { param: "session.instructions" },
    })
    expect(update({ audio: { output: {} } }, transcribing)).toMatchObject({
      left: { param: "session.audio.output" },
    })
  })

  test("does not change its type", () => {
    expect(update({ type: "transcription" })).toMatchObject({
      left: { message: "Passing a transcription session update event to a realtime session is not allowed." },
    })
    expect(update({ type: "realtime" }, transcribing)).toMatchObject({
      left: { message: "Passing a realtime session update event to a transcription session is not allowed." },
    })
  })
})

test("a session of a client secret changes no prototype", () => {
  const patch: unknown = JSON.parse(
    '{"tools":[{"type":"function","name":"a","parameters":{"__proto__":{"type":"object"}}}]}',
  )
  expect(update(patch)).toMatchObject({ left: { code: "unknown_parameter", param: "__proto__" } })
})

test("a refused update changes nothing", () => {
  const before = structuredClone(fresh)
  const patch = { instructions: "new", tools: tools("a"), tool_choice: "b" }
  expect(Either.isLeft(update(patch))).toBe(true)
  expect(fresh).toEqual(before)
})

const maybe = <A>(value: FastCheck.Arbitrary<A>) => FastCheck.option(value, { nil: undefined })
const serverVad = FastCheck.record({
  type: FastCheck.constant("server_vad"),
  threshold: maybe(FastCheck.double({ min: 0, max: 1, noNaN: true })),
  silence_duration_ms: maybe(FastCheck.integer({ min: 0, max: 5_000 })),
  create_response: maybe(FastCheck.boolean()),
})
const semanticVad = FastCheck.record({
  type: FastCheck.constant("semantic_vad"),
  eagerness: maybe(FastCheck.constantFrom("low", "medium", "high", "auto")),
  interrupt_response: maybe(FastCheck.boolean()),
})
const format = FastCheck.constantFrom({ type: "audio/pcm" }, { type: "audio/pcmu" }, { type: "audio/pcma" })
/** JSON has no undefined, so absent fields are left out. */
const patches = FastCheck.record({
  instructions: maybe(FastCheck.string()),
  output_modalities: maybe(FastCheck.constantFrom(["audio"], ["text"])),
  tools: maybe(FastCheck.constantFrom([], tools("a"), tools("a", "b"))),
  max_output_tokens: maybe(FastCheck.constantFrom("inf", 1, 4_096)),
  audio: maybe(
    FastCheck.record({
      input: maybe(
        FastCheck.record({
          format: maybe(format),
          turn_detection: FastCheck.option(
            FastCheck.oneof(serverVad, semanticVad, FastCheck.constant(null)),
            {
              nil: undefined,
            },
          ),
          transcription: maybe(FastCheck.constantFrom(null, {}, { language: "de" })),
        }),
      ),
      output: maybe(
        FastCheck.record({ format: maybe(format), voice: maybe(FastCheck.constantFrom("ash", "x")) }),
      ),
    }),
  ),
}).map((patch): unknown => JSON.parse(JSON.stringify(patch)))

describe("for any updates", () => {
  test("the same update twice is the update once", () => {
    FastCheck.assert(
      FastCheck.property(patches, patches, (first, second) => {
        const config = updated(second, updated(first))
        expect(updated(second, config)).toEqual(config)
      }),
    )
  })

  test("an empty update changes nothing", () => {
    FastCheck.assert(
      FastCheck.property(patches, (patch) => {
        const config = updated(patch)
        expect(updated({}, config)).toEqual(config)
        expect(updated({ audio: { input: {}, output: {} } }, config)).toEqual(config)
      }),
    )
  })

  test("what is shown can be sent back", () => {
    FastCheck.assert(
      FastCheck.property(patches, patches, (patch, other) => {
        const config = updated(patch)
        expect(updated(config, updated({ ...Object(other), tool_choice: "auto" }))).toMatchObject({
          instructions: realtime(config).instructions,
          tools: realtime(config).tools,
          audio: { input: { format: config.audio.input.format, turn_detection: vadOf(config) } },
        })
      }),
    )
  })
})

describe("a response", () => {
  const base = realtime(updated({ tools: tools("weather"), tool_choice: "weather" }))
  const resolve = (params: unknown, more: Partial<typeof facts> = {}) =>
    Either.flatMap(readResponseParams(params), (response) =>
      responseConfig(base, response, { ...facts, ...more }),
    )

  test("has the session's settings", () => {
    expect(Either.getOrThrow(resolve({}))).toEqual({
      instructions: "Be brief.",
      output_modalities: ["audio"],
      audio: { output: { format: { type: "audio/pcm", rate: 24_000 }, voice: "alloy" } },
      tools: base.tools,
      tool_choice: { type: "function", name: "weather" },
      max_output_tokens: "inf",
      metadata: null,
      inConversation: true,
    })
  })

  test("has its own where they are given", () => {
    const params = {
      instructions: "",
      output_modalities: ["text"],
      audio: { output: { format: { type: "audio/pcmu" } } },
      tools: [],
      max_output_tokens: 5,
      metadata: { client_event_id: "x" },
      conversation: "none",
      input: [],
    }
    expect(Either.getOrThrow(resolve(params))).toEqual({
      instructions: "",
      output_modalities: ["text"],
      audio: { output: { format: { type: "audio/pcmu" }, voice: "alloy" } },
      tools: [],
      tool_choice: "auto",
      max_output_tokens: 5,
      metadata: { client_event_id: "x" },
      inConversation: false,
      input: [],
    })
  })

  test("checks the tool choice against its own tools", () => {
    expect(resolve({ tools: tools("time"), tool_choice: "weather" })).toMatchObject({
      left: { param: "response.tool_choice" },
    })
  })

  test("may have another voice out of band only, once there is audio", () => {
    const params = { audio: { output: { voice: "ash" } } }
    expect(resolve(params, { hasAudio: true })).toMatchObject({ left: { code: "cannot_update_voice" } })
    expect(resolve({ ...params, conversation: "none" }, { hasAudio: true })).toMatchObject({
      right: { audio: { output: { voice: "ash" } } },
    })
  })
})

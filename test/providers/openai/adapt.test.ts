/** Requests that a server refuses are sent again without what it refuses, and it is remembered. */
import { afterEach, describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, Option } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import type { Lessons } from "../../../src/providers/lessons.ts"
import { makeClient } from "../../../src/providers/openai/client.ts"
import { generateWith } from "../../../src/providers/openai/language-model.ts"
import { speakWith } from "../../../src/providers/openai/synthesizer.ts"
import { transcribeWith } from "../../../src/providers/openai/transcriber.ts"
import { noTools } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { startConversion } from "../../support/conversion.ts"
import {
  type Asked,
  type DialectServer,
  reply,
  type Said,
  startDialect,
  transcript,
} from "../../support/dialects/server.ts"
import { clientOf, serverSettings, withLessons } from "../../support/openai-client.ts"
import { until } from "../../support/turns.ts"

let server: DialectServer | undefined
afterEach(() => server?.stop())

const routes = { llm: "/v1/chat/completions", stt: "/v1/audio/transcriptions", tts: "/v1/audio/speech" }

/** A server that refuses as told, and the three stages with one client. */
const start = (
  refuse: (asked: Asked) => Said | undefined,
  settings: Parameters<typeof clientOf>[1] = {},
  lessons?: Lessons["Type"],
) => {
  const started = startDialect({ routes, refuse })
  server = started
  const baseUrl = `${started.origin}/v1`
  const client =
    lessons === undefined
      ? clientOf(baseUrl, settings)
      : makeClient(serverSettings(baseUrl, settings), lessons)
  const turnId = newId(TurnId)
  const history = [
    { role: "user", content: "My name is Ada." },
    { role: "assistant", content: "Hello, Ada." },
    { role: "user", content: "Well?" },
  ] as const
  const generate = (instructions = "Be brief.", model = "m") => {
    let text = ""
    const options = { turnId, model, maxTokens: Option.some(40), temperature: Option.some(0.5) }
    return Effect.runPromiseExit(
      Effect.map(
        generateWith(client)({ instructions, messages: history, ...noTools }, options, (event) => {
          if (event._tag === "Text") text += event.text
          if (event._tag === "Alive") alive.push("llm")
        }),
        () => text,
      ),
    )
  }
  /** The signs of life, by stage. */
  const alive: Array<string> = []
  const transcribe = (language = Option.some("de"), keyTerms: ReadonlyArray<string> = []) => {
    const options = { turnId, model: "whisper-x", language, keyTerms, onLife: () => alive.push("stt") }
    return Effect.runPromiseExit(transcribeWith(client)(pcm16k(new Uint8Array(3200)), options))
  }
  const speak = () =>
    Effect.runPromiseExit(
      speakWith(client, { startConversion, format: Option.none() })(
        "Yes.",
        {
          turnId,
          model: "m",
          voice: "alloy",
          output: makeSpeechOutput("mp3"),
          onLife: () => alive.push("tts"),
        },
        () => () => true,
      ),
    )
  const fields = () => started.asked.map(({ fields }) => Object.keys(fields).toSorted().join(" "))
  return { generate, transcribe, speak, asked: started.asked, fields, alive }
}

const refused = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

const all = "max_tokens messages model stream stream_options temperature"

describe("a refusal of stream_options", () => {
  const input = { include_usage: true }
  const detail = [
    {
      type: "extra_forbidden",
      loc: ["body", "stream_options"],
      msg: "Extra inputs are not permitted",
      input,
    },
  ]
  const sentence = "Unknown parameter: 'stream_options'."
  const bodies: Record<string, unknown> = {
    "error.param": { error: { message: "No.", param: "stream_options", code: "unknown_parameter" } },
    "a dotted error.param": { error: { message: "No.", param: "stream_options.include_usage" } },
    "error.message": { error: { message: sentence, param: null } },
    "error as a string": { error: sentence },
    detail: { detail: sentence },
    "a list of details": { detail },
    "detail.message": { detail: { message: sentence } },
    message: { message: sentence },
    "message with details": { object: "error", message: { detail }, param: null },
    "message with JSON in it": { object: "error", message: JSON.stringify({ detail }), param: null },
    "a list of errors": [
      { error: { code: 400, message: 'Unknown name "stream_options": Cannot find field.' } },
    ],
    errors: { errors: [{ field: "stream_options", reason: "unknown" }] },
    "a field of its own": { stream_options: ["Unsupported."] },
    "another spelling": { message: "The stream options are not supported by this model" },
    text: "extra fields not permitted: stream_options",
    "a sentence in HTML": "<p>stream_options is not allowed</p>",
  }
  for (const status of [400, 422]) {
    test.each(Object.keys(bodies))(`${status} with %s`, async (name) => {
      const { generate, fields } = start(({ fields }) =>
        "stream_options" in fields ? { status, body: bodies[name] } : undefined,
      )
      const adapted = "max_tokens messages model stream temperature"
      expect(await generate()).toEqual(Exit.succeed(reply))
      expect(fields()).toEqual([all, adapted])
      expect(await generate()).toEqual(Exit.succeed(reply))
      expect(fields()).toEqual([all, adapted, adapted])
    })
  }
})

describe("a refusal", () => {
  const openAi = (message: string, param: string | null, code: string | null) => ({
    status: 400,
    body: { error: { message, type: "invalid_request_error", param, code } },
  })

  test("of one field after the other costs one request each, once", async () => {
    const { generate, asked, fields } = start(({ fields }) => {
      if ("max_tokens" in fields) {
        const message =
          "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return openAi(message, "max_tokens", "unsupported_parameter")
      }
      return "temperature" in fields
        ? openAi(
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
            "temperature",
            "unsupported_value",
          )
        : undefined
    })
    const adapted = "max_completion_tokens messages model stream stream_options"
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(asked).toHaveLength(3)
    expect(asked[2]?.fields.max_completion_tokens).toBe(40)
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(fields()[3]).toBe(adapted)
    expect(asked).toHaveLength(4)
    // Another model of the same server may accept them.
    await generate("Be brief.", "other")
    expect(fields()[4]).toBe(all)
  })

  test("of several fields at once, in the same words each time", async () => {
    const { generate, fields } = start(({ fields }) =>
      "temperature" in fields || "stream_options" in fields
        ? { status: 422, body: { detail: "temperature and stream_options are not supported" } }
        : undefined,
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(fields().at(-1)).toBe("max_tokens messages model stream")
    await generate()
    const asked = fields().length
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(fields()).toHaveLength(asked + 1)
  })

  test("that lists the allowed fields teaches the forbidden one only", async () => {
    const { generate, fields } = start(({ fields }) =>
      "stream_options" in fields
        ? {
            status: 400,
            body: { error: "Allowed: model, messages, max_tokens, temperature. Unknown: stream_options." },
          }
        : undefined,
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    await generate()
    expect(fields().at(-1)).toBe("max_tokens messages model stream temperature")
  })

  test("of both limits leaves the limit out", async () => {
    const { generate, fields } = start(({ fields }) => {
      const name = Object.keys(fields).find((field) => field.startsWith("max_"))
      return name === undefined
        ? undefined
        : openAi(`Unknown parameter: '${name}'.`, name, "unknown_parameter")
    })
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(fields().at(-1)).toBe("messages model stream stream_options temperature")
  })

  test.each([
    ["nothing", "Invalid request."],
    ["a model", "model 'llama9' not found, try pulling it first"],
    [
      "the length of the prompt",
      "This model's maximum context length is 4096 tokens. Please reduce the length.",
    ],
  ])("that names %s stays a refusal", async (_, message) => {
    const { generate, asked } = start(() => openAi(message, null, null))
    expect(refused(await generate())).toMatchObject({ _tag: "ProviderRefusedRequest", message })
    expect(asked).toHaveLength(1)
  })

  test.each([401, 403, 404, 429])("with status %d is not about a field", async (status) => {
    const { generate, asked } = start(() => ({ status, body: { error: { message: "temperature" } } }))
    expect(Exit.isFailure(await generate())).toBe(true)
    expect(asked).toHaveLength(1)
  })

  test("that stays without the field teaches nothing", async () => {
    let isBroken = true
    const { generate, asked, fields } = start(() =>
      isBroken
        ? openAi("The conversation is about temperature, stream_options and max_tokens.", null, null)
        : undefined,
    )
    expect(refused(await generate())).toMatchObject({ _tag: "ProviderRefusedRequest" })
    expect(asked.length).toBeLessThanOrEqual(5)
    isBroken = false
    await generate()
    expect(fields().at(-1)).toBe(all)
  })

  test.each([
    "max_tokens is too large: 40. This model supports at most 16 completion tokens, whereas you provided 40.",
    "'max_tokens' or 'max_completion_tokens' is too large: 40. This model's maximum context length is 2048 tokens and your request has 2020 input tokens (40 > 2048 - 2020).",
    "context length exceeded: max_tokens too large: reduce to 4096",
  ])("of the size of the limit holds for this request only: %s", async (message) => {
    let isFull = true
    const { generate, asked, fields } = start(({ fields }) =>
      isFull && Object.keys(fields).some((field) => field.startsWith("max_"))
        ? openAi(message, "max_tokens", null)
        : undefined,
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(asked).toHaveLength(2)
    isFull = false
    await generate()
    expect(fields().at(-1)).toBe(all)
  })

  test("of a further field of the configuration leaves it out", async () => {
    const extraBody = { reasoning_effort: "low", top_k: 20 }
    const { generate, fields, asked } = start(
      ({ fields }) =>
        "reasoning_effort" in fields
          ? openAi("Unrecognized request argument supplied: reasoning_effort", null, null)
          : undefined,
      { extraBody },
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(asked[0]?.fields).toMatchObject(extraBody)
    expect(fields()[1]).toBe(`${all} top_k`)
  })
})

describe("a 400 that passes", () => {
  /** Once; then the server takes everything. */
  const once = (said: Said) => {
    let isOver = false
    return () => {
      if (isOver) return undefined
      isOver = true
      return said
    }
  }
  const sentences = [
    "The live stream was interrupted",
    "Unexpected stream error",
    "an unknown error closed the stream",
    "The stream worker is not available",
    "Streaming is temporarily not available",
    "The stream is not available right now, try again later",
    "'what is the temperature of the sun' was flagged",
    "Invalid prompt: 'is temperature not allowed to rise?' is against the policy",
    "Invalid prompt: is a temperature not supported? The text was flagged by moderation",
    "The request is invalid. Temperature sensors report 90 degrees",
    "The model m is not supported. Stream events are lost",
    "Got stream_options.",
    "The words 'max_tokens' and stream",
  ]
  const bodies: ReadonlyArray<readonly [number, unknown]> = [
    ...sentences.flatMap(
      (message): ReadonlyArray<readonly [number, unknown]> => [
        [400, { error: { message, type: "invalid_request_error", param: null, code: null } }],
        [422, message],
      ],
    ),
    [400, { error: { message: "The stream is busy", param: "stream" } }],
    [400, { error: { message: "Flagged", code: "content_filter", param: "temperature" } }],
    [500, { error: { message: "'system' memory exhausted" } }],
    [500, { error: "the 'system' process died unexpectedly" }],
  ]
  test.each(bodies)("teaches nothing: %d %j", (status, body) =>
    withLessons(async (lessons, events) => {
      const { generate, fields } = start(once({ status, body }), {}, lessons)
      expect(await generate()).toEqual(Exit.succeed(reply))
      expect(fields()).toHaveLength(2)
      await until(() => events.length === 1, "a line")
      expect(events[0]).toStartWith("provider.request_adapted {")
      await generate()
      expect(fields().slice(2)).toEqual([all])
    }),
  )

  const spoken = [
    "The voice could not be generated: the worker is busy",
    "The voice backend is not available",
    "unexpected voice failure",
    "The text 'in a format that is not supported' was flagged",
  ]
  test.each(spoken)("keeps the fields of speech: %s", (message) =>
    withLessons(async (lessons) => {
      const { speak, fields } = start(once({ status: 400, body: { error: { message } } }), {}, lessons)
      expect(Exit.isSuccess(await speak())).toBe(true)
      await speak()
      expect(fields().at(-1)).toBe("input model response_format voice")
    }),
  )
})

test("a list of the formats that a server takes leads to one of them", async () => {
  const { speak, asked } = start(({ fields }) =>
    fields.response_format === "wav" || fields.response_format === "flac"
      ? undefined
      : { status: 422, body: { detail: "Only wav and flac are supported" } },
  )
  await speak()
  const formats = asked.map(({ fields }) => fields.response_format)
  expect(formats.at(-1)).toBe("wav")
  expect(formats).toHaveLength(2)
})

test("a sentence for people with the word information costs one request", async () => {
  const detail =
    "Value error, bad text. For further information visit https://errors.pydantic.dev/2.11/v/value_error"
  const { speak, asked } = start(() => ({ status: 422, body: { detail } }))
  expect(Exit.isFailure(await speak())).toBe(true)
  expect(asked).toHaveLength(1)
})

test("words that only name fields cost 3 more requests at most", async () => {
  const { speak, asked } = start(() => ({
    status: 400,
    body: { error: "format, voice, mp3, wav, pcm, flac" },
  }))
  expect(refused(await speak())).toMatchObject({ message: "format, voice, mp3, wav, pcm, flac" })
  expect(asked).toHaveLength(4)
})

describe("what a server never takes", () => {
  const sentences = [
    "Unsupported parameter: 'temperature' is not supported with this model.",
    "Unrecognized request argument supplied: temperature",
    "create() got an unexpected keyword argument 'temperature'",
    "unknown field `temperature`, expected one of `model`, `messages`",
    "temperature: Extra inputs are not permitted",
    "1 validation error for Request\ntemperature\n  Extra inputs are not permitted [type=extra_forbidden, input_value=0.5, input_type=float]\n    For further information visit https://errors.pydantic.dev/2.11/v/extra_forbidden",
    "[{'type': 'extra_forbidden', 'loc': ('body', 'temperature'), 'msg': 'No.', 'input': 0.5}]",
    "Invalid value for 'temperature': 0.5",
    "The temperature parameter does not support 0.5 with this model",
    "This model doesn't support the temperature parameter",
    "Setting temperature is not allowed",
    "temperature must be between 1 and 2",
    "`temperature` and `top_p` are deprecated for this model",
    "top_p and temperature cannot be set: they are not permitted",
    "Invalid request: unknown parameter temperature. Remove it and try again.",
  ]
  test.each(sentences)("is learned: %s", async (message) => {
    const { generate, fields } = start(({ fields }) =>
      "temperature" in fields ? { status: 400, body: { error: { message } } } : undefined,
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    await generate()
    const adapted = "max_tokens messages model stream stream_options"
    expect(fields()).toEqual([all, adapted, adapted])
  })

  test("is a sign of life in every stage", async () => {
    const names = {
      stt: ["response_format", "language"],
      llm: ["temperature", "stream_options"],
      tts: ["voice"],
    }
    const { generate, transcribe, speak, alive } = start(({ stage, fields }) => {
      const name = names[stage].find((each) => each in fields)
      if (name !== undefined) return { status: 400, body: `${name} is not supported` }
      // The events of an answer are signs of life too.
      return stage === "llm" ? { status: 503, body: "" } : undefined
    })
    await transcribe()
    await generate()
    await speak()
    expect(alive).toEqual(["stt", "stt", "stt", "llm", "llm", "tts"])
  })

  test("and points to is learned before an answer", () =>
    withLessons(async (lessons, events) => {
      const { generate } = start(
        ({ fields }) =>
          "temperature" in fields
            ? { status: 400, body: { error: { message: "No.", param: "temperature" } } }
            : { status: 503, body: "" },
        {},
        lessons,
      )
      expect(Exit.isFailure(await generate())).toBe(true)
      await until(() => events.length === 1, "a line")
      expect(events[0]).toStartWith("provider.lesson_learned {")
    }))
})

test("the log has the name alone of a refused field of the configuration", () =>
  withLessons(async (lessons, events) => {
    const extraBody = { api_key: "sk-very-secret", options: { token: "sk-very-secret" } }
    const { generate, fields } = start(
      ({ fields }) => {
        const name = ["api_key", "options"].find((each) => each in fields)
        return name === undefined ? undefined : { status: 400, body: `Unknown parameter: ${name}` }
      },
      { extraBody },
      lessons,
    )
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(fields().at(-1)).toBe(all)
    await until(() => events.length === 2, "two lines")
    expect(events).toEqual(
      ["api_key", "options"].map(
        (parameter) => `provider.lesson_learned ${JSON.stringify({ model: "m", parameter, stage: "llm" })}`,
      ),
    )
    await generate()
    expect(fields()).toHaveLength(4)
  }))

test("a server that requires what it refused before gets it again", async () => {
  let isUpgraded = false
  const { generate, asked, fields } = start(({ fields }) => {
    if ("max_completion_tokens" in fields) return { status: 400, body: "max_completion_tokens: unknown" }
    if ("max_tokens" in fields === isUpgraded) return undefined
    return { status: 400, body: isUpgraded ? "max_tokens: Field required" : "max_tokens: unknown" }
  })
  await generate()
  expect(fields().at(-1)).toBe("messages model stream stream_options temperature")
  isUpgraded = true
  expect(await generate()).toEqual(Exit.succeed(reply))
  expect(fields().at(-1)).toBe(all)
  expect(asked).toHaveLength(5)
  expect(await generate()).toEqual(Exit.succeed(reply))
  expect(asked).toHaveLength(6)
})

test("a refusal of something else ends no lesson, and is told in its own words", async () => {
  const full = "The context is full; max_tokens does not matter."
  let isFull = false
  const { generate, asked } = start(({ fields }) => {
    if ("max_tokens" in fields) return { status: 400, body: "max_tokens: unknown" }
    return isFull ? { status: 400, body: { error: { message: full } } } : undefined
  })
  await generate()
  isFull = true
  expect(refused(await generate())).toMatchObject({ message: full })
  isFull = false
  const before = asked.length
  await generate()
  expect(asked).toHaveLength(before + 1)
})

test.each([
  ["param", { error: { message: "No.", param: "temperature: out of range" } }],
  ["parameter", { parameter: "the temperature" }],
])("a sentence in %s is read as words", async (_, body) => {
  const { generate, fields } = start(({ fields }) =>
    "temperature" in fields ? { status: 400, body } : undefined,
  )
  expect(await generate()).toEqual(Exit.succeed(reply))
  expect(fields()).toHaveLength(2)
})

test("a model that is not streamed is asked for the whole answer", async () => {
  const { generate, fields } = start(({ fields }) => {
    if (fields.stream === true) {
      return {
        status: 400,
        body: {
          error: {
            message: "Your organization must be verified to stream this model.",
            type: "invalid_request_error",
            param: "stream",
            code: "unsupported_value",
          },
        },
      }
    }
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    return "stream_options" in fields ? { status: 400, body: { error: { message, param: null } } } : undefined
  })
  expect(await generate()).toEqual(Exit.succeed(reply))
  await generate()
  expect(fields().slice(2)).toEqual(Array(2).fill("max_tokens messages model temperature"))
})

describe("the system role", () => {
  const hasSystem = ({ fields }: Asked) => JSON.stringify(fields.messages).includes('"system"')
  test.each([
    [
      400,
      {
        object: "error",
        message: "System role not supported",
        type: "BadRequestError",
        param: null,
        code: 400,
      },
    ],
    [
      400,
      {
        error: {
          message: "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
          param: "messages[0].role",
          code: "unsupported_value",
        },
      },
    ],
    [400, { error: { message: "Developer instruction is not enabled for models/gemma-3-27b-it" } }],
    [400, { error: "Only user and assistant roles are supported!" }],
    [
      422,
      { detail: [{ loc: ["body", "messages", 0, "role"], msg: "Input should be 'user' or 'assistant'" }] },
    ],
    [
      500,
      { error: { code: 500, message: "Jinja Exception: System role not supported", type: "server_error" } },
    ],
    [500, { error: { message: "Conversation roles must alternate user/assistant/user/assistant/..." } }],
  ])("is replaced after %d %j", async (status, body) => {
    const { generate, asked } = start((one) => (hasSystem(one) ? { status, body } : undefined))
    expect(await generate()).toEqual(Exit.succeed(reply))
    expect(asked[1]?.fields.messages).toEqual([
      { role: "user", content: "Be brief.\n\nMy name is Ada." },
      { role: "assistant", content: "Hello, Ada." },
      { role: "user", content: "Well?" },
    ])
    await generate()
    expect(asked).toHaveLength(3)
  })

  test("is not used without instructions", async () => {
    const { generate, asked } = start((one) => (hasSystem(one) ? { status: 400, body: "no" } : undefined))
    expect(await generate("")).toEqual(Exit.succeed(reply))
    expect(asked[0]?.fields.messages).toHaveLength(3)
  })

  test("is kept after a 500 about something else", async () => {
    const { generate, asked } = start(() => ({ status: 500, body: { error: { message: "out of memory" } } }))
    expect(refused(await generate())).toMatchObject({ _tag: "ProviderUnusable", retryable: true })
    expect(asked).toHaveLength(1)
  })
})

describe("a transcription", () => {
  test("is asked for json, then without a format", async () => {
    const { transcribe, asked } = start(({ fields }) =>
      "response_format" in fields
        ? {
            status: 400,
            body: { error: { message: `response_format '${fields.response_format}' is not supported` } },
          }
        : undefined,
    )
    expect(await transcribe()).toEqual(Exit.succeed({ text: transcript }))
    expect(asked.map(({ fields }) => fields.response_format)).toEqual(["verbose_json", "json", undefined])
    await transcribe()
    expect(asked).toHaveLength(4)
  })

  test("learns of both formats where the server repeats its words", async () => {
    const { transcribe, asked } = start(({ fields }) =>
      "response_format" in fields
        ? { status: 400, body: { detail: "response_format is unknown" } }
        : undefined,
    )
    expect(await transcribe()).toEqual(Exit.succeed({ text: transcript }))
    await transcribe()
    expect(asked).toHaveLength(4)
  })

  test("is asked for json where the refusal names the value", async () => {
    const { transcribe, asked } = start(({ fields }) =>
      fields.response_format === "verbose_json"
        ? { status: 400, body: { detail: "Unsupported format: verbose_json" } }
        : undefined,
    )
    expect(await transcribe()).toEqual(Exit.succeed({ text: transcript }))
    expect(asked[1]?.fields).toEqual({ model: "whisper-x", response_format: "json", language: "de" })
  })

  test("is asked without a language that is refused, and with another", async () => {
    const { transcribe, asked } = start(({ fields }) =>
      fields.language === "de" ? { status: 422, body: { detail: "language: not supported" } } : undefined,
    )
    expect(await transcribe()).toEqual(Exit.succeed({ text: transcript }))
    expect(asked[1]?.fields.language).toBeUndefined()
    await transcribe(Option.some("en"))
    expect(asked[2]?.fields.language).toBe("en")
    expect(asked).toHaveLength(3)
  })

  test("has the key terms as its prompt, as many as fit", async () => {
    const { transcribe, asked } = start(() => undefined)
    await transcribe(Option.some("de"), ["Belvédère", "Ada"])
    expect(asked.at(-1)?.fields.prompt).toBe("Belvédère, Ada")
    await transcribe(Option.some("de"), ["a".repeat(590), "b".repeat(20), "c"])
    expect(asked.at(-1)?.fields.prompt).toBe("a".repeat(590))
  })

  test("that refuses one prompt is asked without any", async () => {
    const { transcribe, asked } = start(({ fields }) =>
      "prompt" in fields ? { status: 422, body: { detail: "prompt: not supported" } } : undefined,
    )
    for (const term of ["Ada", "Grace"]) await transcribe(Option.some("de"), [term])
    expect(asked.map(({ fields }) => fields.prompt)).toEqual(["Ada", undefined, undefined])
  })

  test("that repeats the prompt has heard nothing", async () => {
    const { transcribe } = start(() => undefined)
    expect(await transcribe(Option.some("de"), [transcript.replace(/\.$/, "")])).toEqual(
      Exit.succeed({ text: "" }),
    )
  })

  test("that is too short keeps its language", async () => {
    let isShort = true
    const { transcribe, asked } = start(() =>
      isShort ? { status: 400, body: { error: "Audio is too short to detect the language." } } : undefined,
    )
    expect(refused(await transcribe())).toMatchObject({ _tag: "ProviderRefusedRequest" })
    isShort = false
    await transcribe()
    expect(asked.at(-1)?.fields.language).toBe("de")
  })

  test("has the further fields of the configuration", async () => {
    const extraBody = {
      prompt: "Ada",
      temperature: 0,
      timestamp_granularities: ["word"],
      response_format: "text",
    }
    const { transcribe, asked } = start(() => undefined, { extraBody, omit: ["language"] })
    await transcribe()
    expect(asked[0]?.fields).toEqual({
      model: "whisper-x",
      prompt: "Ada",
      temperature: "0",
      "timestamp_granularities[]": "word",
      response_format: "text",
    })
  })
})

describe("speech", () => {
  test("is asked without a voice where the server takes none", async () => {
    const { speak, fields } = start(({ fields }) =>
      "voice" in fields
        ? {
            status: 422,
            body: { detail: [{ loc: ["body", "voice"], msg: "Extra inputs are not permitted" }] },
          }
        : undefined,
    )
    expect(Exit.isSuccess(await speak())).toBe(true)
    expect(fields()).toEqual(["input model response_format voice", "input model response_format"])
  })

  test("with a wrong voice fails in the words about the voice, where the server requires one", async () => {
    const { speak, asked } = start(({ fields }) => ({
      status: 400,
      body: { error: { message: "voice" in fields ? "Voice 'alloy' not found." : "voice: Field required" } },
    }))
    expect(refused(await speak())).toMatchObject({ message: "Voice 'alloy' not found." })
    expect(asked).toHaveLength(2)
  })
})

test("LLM_OMIT leaves fields out, and its modern name in", async () => {
  const omit = ["max_tokens", "temperature", "stream_options", "system_role"]
  const { generate, asked } = start(() => undefined, { omit })
  expect(await generate()).toEqual(Exit.succeed(reply))
  expect(asked[0]?.fields).toEqual({
    model: "m",
    max_completion_tokens: 40,
    stream: true,
    messages: expect.any(Array),
  })
  expect(JSON.stringify(asked[0]?.fields.messages)).not.toContain("system")
})

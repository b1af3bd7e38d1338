/**
 * The newest stock clients of the Realtime protocol against the service: no error event, and no event that a client drops.
 * Some of them need Node or TLS, so each runs as a process of its own, behind a TLS front where it takes no other URL.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Schema } from "effect"
import { type Certificate, selfSigned } from "../support/certificates.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { runReporting, runStockClient } from "../support/stock-client.ts"
import { startTlsFront, type TlsFront } from "../support/tls-front.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

/** A spoken question, and silence: 1 s, or 5 s for clients that ask for semantic_vad, which waits for longer. */
const recordings = { short: 1, long: 5 } as const

const record = async () => {
  const question = join(import.meta.dir, "../../examples/question.wav")
  for (const [name, seconds] of Object.entries(recordings)) {
    const speech = await ffmpeg(["-i", question, "-ac", "1", "-ar", "24000", "-f", "s16le", "pipe:1"])
    await Bun.write(recording(name), Buffer.concat([speech, Buffer.alloc(seconds * 48_000)]))
  }
}
const recording = (name: string) => join(folder, `${name}.pcm`)

const story =
  "Once there was a fox. Here is the second one, which is a little longer than the first was. And the third is there to be spoken after all of the others."

let service: TurnService
let front: TlsFront
let certificate: Certificate
let key = ""
let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
  certificate = await selfSigned(folder, "front")
  await record()
  service = await startTurns({ env: { RATE_LIMIT_TURNS_PER_MINUTE: "1000" } })
  front = await startTlsFront(service.url, certificate)
  key = await service.register()
})
afterAll(async () => {
  await front.stop()
  await service.stop()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => {
  service.reset()
  service.upstream.default("llm", ({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === "tool") {
      return { text: `${last.content}`.includes("UTC") ? "It is noon." : "It is sunny in Paris." }
    }
    // What nobody heard is not in the prompt, so the questions around it are one message.
    const text = `${last?.content}`.split("\n").at(-1) ?? ""
    if (text.includes("weather")) {
      return { toolCalls: [{ id: "call_1", name: "weather", arguments: '{"city":"Paris"}' }] }
    }
    if (text.includes("time")) {
      return { text: "Let me see.", toolCalls: [{ id: "call_2", name: "current_time", arguments: "{}" }] }
    }
    return text.includes("story") ? { text: story, chunkDelayMs: 5 } : { text: "All right." }
  })
  // Little faster than it plays, so that a reply can be interrupted.
  service.upstream.default("tts", { realTimeFactor: 2 })
})

const left = async () => {
  await until(() => service.connections().connections === 0, "the sessions to end")
  await service.nothingLeft()
  expect(service.upstream.refusals()).toEqual([])
}

const Session = { errors: Schema.Array(Schema.Unknown), types: Schema.Array(Schema.String) }

const OpenAIReport = Schema.Struct({
  conversation: Schema.Struct({ ...Session, results: Schema.Unknown }),
  transcription: Schema.Struct({ ...Session, text: Schema.String }),
})

describe("openai", () => {
  test.each([
    ["native", "bun"],
    ["ws", "node"],
  ] as const)(
    "%s, in %s",
    async (kind, runtime) => {
      const { conversation, transcription } = await runStockClient(
        {
          script: "openai",
          runtime,
          args: [kind],
          env: {
            URL: `https://localhost:${front.port}/v1`,
            KEY: key,
            NODE_EXTRA_CA_CERTS: certificate.certificate,
            UTTERANCE: recording("short"),
          },
          folder,
        },
        OpenAIReport,
      )
      expect(conversation.errors).toEqual([])
      expect(conversation.results).toMatchObject({
        voice: {
          heard: "Hello, can you hear me?",
          status: "completed",
          said: [{ role: "assistant", content: [{ type: "output_audio", transcript: "All right." }] }],
        },
        tool: {
          arguments: '{"city":"Paris"}',
          status: "completed",
          said: [{ content: [{ transcript: "It is sunny in Paris." }] }],
        },
        interruption: { status: "cancelled", reason: "turn_detected", next: "completed" },
        cancel: { reason: "client_cancelled", text: "completed", metadata: { for: "cancel" } },
        aside: { conversation: null, items: 0 },
        manual: {
          status: "completed",
          item: { content: [{ type: "input_audio", transcript: "Hello, can you hear me?" }] },
        },
      })
      expect(transcription).toMatchObject({ text: "Hello, can you hear me?", errors: [] })
      expect(transcription.types.filter((type) => type.startsWith("response."))).toEqual([])
      await left()
    },
    60_000,
  )
})

const AgentsReport = Schema.Struct({
  ...Session,
  dropped: Schema.Array(Schema.String),
  calls: Schema.Array(Schema.String),
  interruptions: Schema.Int,
  audioBytes: Schema.Int,
  history: Schema.Array(Schema.Unknown),
  kept: Schema.Int,
})

test("@openai/agents-realtime", async () => {
  const report = await runStockClient(
    {
      script: "agents",
      runtime: "node",
      env: { URL: `${service.url.replace("http", "ws")}/realtime`, KEY: key, UTTERANCE: recording("long") },
      folder,
    },
    AgentsReport,
  )
  expect(report).toMatchObject({ errors: [], dropped: [], calls: ["Paris"], interruptions: 2, kept: 2 })
  expect(report.types).not.toContain("error")
  expect(report.audioBytes).toBeGreaterThan(48_000)
  const said = (role: string, transcript: unknown) => ({ role, content: [{ transcript }] })
  const typed = (text: string) => ({ role: "user", content: [{ text }] })
  const cut = { ...said("assistant", expect.stringMatching(/^Once there was/)), status: "incomplete" }
  expect(report.history).toMatchObject([
    said("user", "Hello, can you hear me?"),
    said("assistant", "All right."),
    typed("What is the weather in Paris?"),
    { type: "function_call", output: "sunny" },
    said("assistant", "It is sunny in Paris."),
    typed("What time is it?"),
    said("assistant", "Let me see."),
    { type: "mcp_call", output: expect.stringContaining("UTC") },
    said("assistant", "It is noon."),
    typed("Tell me a story."),
    cut,
    said("user", "Hello, can you hear me?"),
    said("assistant", "All right."),
    typed("Tell me a story."),
    cut,
    typed("Are you there?"),
    said("assistant", "All right."),
  ])
  expect(JSON.stringify(report.history)).not.toContain("after all of the others")
  await left()
}, 60_000)

const livekit = join(import.meta.dir, "livekit")

const LiveKitReport = Schema.Struct({ ...Session, results: Schema.Unknown })

// CI installs its packages (250 MB); see livekit/client.js.
test.skipIf(!existsSync(join(livekit, "node_modules")))(
  "@livekit/agents-plugin-openai",
  async () => {
    const { errors, results, types } = await runReporting(
      ["node", join(livekit, "client.js")],
      { URL: `${service.url.replace("/api", "")}`, KEY: key, UTTERANCE: recording("long") },
      LiveKitReport,
    )
    expect(errors).toEqual([])
    expect(types).not.toContain("error")
    const reply = (text: string) => ({ messages: [{ text }], calls: [] })
    expect(results).toMatchObject({
      voice: reply("All right."),
      call: { messages: [], calls: [{ callId: "call_1", name: "weather", args: '{"city":"Paris"}' }] },
      told: reply("It is sunny in Paris."),
      interruption: { reason: "turn_detected", text: 1 },
      after: reply("All right."),
      interrupt: "client_cancelled",
      left: 2,
      history: 1,
    })
    await left()
  },
  60_000,
)

const python = join(import.meta.dir, "python")
const venv = join(python, ".venv/bin/python")

const PythonReport = Schema.Struct({
  conversation: Schema.Struct({ ...Session, invalid: Schema.Array(Schema.String) }).pipe(
    Schema.extend(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  ),
  transcription: Schema.Struct({ ...Session, invalid: Schema.Array(Schema.String), heard: Schema.String }),
  secret: Schema.Struct({
    ...Session,
    invalid: Schema.Array(Schema.String),
    instructions: Schema.String,
  }),
})

// CI installs its packages; see python/client.py.
test.skipIf(!existsSync(venv))(
  "openai, in Python",
  async () => {
    const { conversation, transcription, secret } = await runReporting(
      [venv, join(python, "client.py")],
      { URL: service.url.replace("/api", ""), KEY: key, UTTERANCE: recording("short") },
      PythonReport,
    )
    const heard = "Hello, can you hear me?"
    expect(conversation).toMatchObject({
      errors: [],
      invalid: [],
      words: heard,
      heard,
      limit: "requests",
      answer: "All right.",
      arguments: '{"city":"Paris"}',
      told: "It is sunny in Paris.",
      cut: ["cancelled", "turn_detected", "completed"],
      aside: ["completed", null],
      cancelled: "client_cancelled",
    })
    expect(transcription).toMatchObject({ errors: [], invalid: [], heard })
    expect(secret).toMatchObject({ errors: [], invalid: [], instructions: "Rhyme." })
    await left()
  },
  60_000,
)

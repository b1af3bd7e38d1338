import { wrongAnswer } from "../../../providers/errors.ts"
import { Timings, Usage } from "../../../schema.ts"
import { ValidationFailed } from "../../errors.ts"
import { sseEvents, TurnResponse } from "../../payloads.ts"
import { idempotencyKey } from "../headers.ts"
import { exampleOf, toJsonSchema } from "../json-schema.ts"
import { type Answer, describe } from "../operation.ts"

const sessionId = "8c7d6d39-5a54-4b0d-8f3c-6a1f2e9b7c33"
const turnId = "d3c2b1a0-8e7f-4c6d-9a5b-4a3928170655"
const transcript = "Hello, my name is Ada."
const response = "Nice to meet you, Ada."
const timings = exampleOf(Timings)
const usage = exampleOf(Usage)

const event = (id: number, name: keyof typeof sseEvents, data: unknown) =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`

const eventStream = {
  schema: {
    type: "string",
    description: `Server-sent events: an id that counts from 1, a name, and data in JSON as x-events has it by name.
\`turn.started\` and \`transcript\` come first, then \`reply.delta\` and \`audio\` as they come, and last exactly one of
\`turn.completed\`, which means that the turn is saved, and \`error\`. A comment is sent where nothing was for 10 s.`,
    contentMediaType: "text/event-stream",
    "x-events": Object.fromEntries(
      Object.entries(sseEvents).map(([name, schema]) => [name, toJsonSchema(schema)]),
    ),
  },
  example: [
    event(1, "turn.started", { sessionId, turnId }),
    event(2, "transcript", { text: transcript }),
    event(3, "reply.delta", { text: response }),
    event(4, "audio", { base64: "SUQzBAAA", format: "mp3" }),
    event(5, "turn.completed", { transcript, response, timings, usage }),
  ].join(""),
}

const sound = (description: string) => ({ schema: { type: "string", format: "binary", description } })
const samples = "24 kHz, mono, 16-bit, little-endian."

/** The same turn in every rendering. */
const rendered: Answer = {
  status: 200,
  description:
    "The turn, in the rendering that `Accept` asks for (q-values and `audio/*` count; audio/mpeg where all are alike). Nothing is sent before the first audio exists, of an event stream before the transcript: what fails until then has its status. What fails later breaks the body off, or is the event stream's `error`.",
  headers: [
    "X-Session-Id",
    "X-Turn-Id",
    "X-Transcript",
    "X-Transcript-Truncated",
    "Server-Timing",
    "Idempotent-Replayed",
    "Cache-Control",
  ],
  content: {
    "audio/mpeg": sound("The spoken reply as one continuous MP3."),
    "audio/wav": sound(`The spoken reply. ${samples} Its header names no length.`),
    "audio/pcm": sound(`The spoken reply, without a header. ${samples}`),
    "application/json": {
      schema: TurnResponse,
      example: {
        sessionId,
        turnId,
        transcript,
        response,
        audio: { format: "mp3", base64: "SUQzBAAA" },
        timings,
        usage,
      },
    },
    "text/event-stream": eventStream,
  },
}

/** Of a turn, whatever it begins with. */
const ofTurns = [
  "NotAcceptable",
  "ProviderRefusedRequest",
  "ProviderRateLimited",
  "ProviderRefusedKey",
  "SessionNotFound",
  "SessionBusy",
  "TurnCancelled",
  "IdempotencyKeyReused",
  "TooManyTurns",
  "Overloaded",
  "ConstraintViolated",
] as const

export const converse = describe({
  id: "takeTurn",
  tag: "Voice",
  countedAs: "turns",
  summary: "Say something, and hear the reply",
  description:
    "The speech is sent while the model still writes. Who hangs up stops the turn at once, unless it has an `Idempotency-Key`. Turns of one session run one after the other.",
  headers: [idempotencyKey],
  body: {
    "multipart/form-data": {
      schema: {
        type: "object",
        required: ["audio"],
        properties: {
          audio: {
            type: "string",
            format: "binary",
            description:
              "A recording as a file: WAV, MP3, WebM, OGG, FLAC or M4A/MP4, told by its content alone; 25 MB and 5 minutes at most, unless the operator set other bounds.",
          },
          sessionId: {
            type: "string",
            description:
              "The session to go on with. One that is unknown, expired or no id opens a new one: X-Session-Id says which it became.",
          },
        },
      },
    },
  },
  answers: [rendered],
  failures: [
    new ValidationFailed({ message: "Audio file is required" }),
    "InvalidAudio",
    "AudioTooLarge",
    "AudioTooLong",
    "NoSpeechDetected",
    "UnsupportedMediaType",
    "RequestTimeout",
    "UploadTooSlow",
    "ProviderUnusable",
    ...ofTurns,
  ],
})

export const say = describe({
  id: "takeTextTurn",
  tag: "Voice",
  countedAs: "turns",
  summary: "Write something, and hear or read the reply",
  description: "The same turn from a text, in this very session: nothing is to be heard, nor transcribed.",
  path: { id: "The session's id. One that is no UUID is unknown: 404." },
  headers: [idempotencyKey],
  example: { text: transcript },
  answers: [rendered],
  failures: [
    new ValidationFailed({ message: "text: must have 1 to 4096 characters" }),
    "SessionExpired",
    wrongAnswer("llm", "an example"),
    wrongAnswer("tts", "an example"),
    ...ofTurns,
  ],
})

export const cancel = describe({
  id: "cancelTurn",
  tag: "Voice",
  countedAs: "requests",
  summary: "End a running turn",
  description: "On whichever process it runs. Answers when it has ended; what was heard of it is saved.",
  path: { turnId: "The turn's id, as X-Turn-Id or `turn.started` gave it." },
  answers: [{ status: 204, description: "It has ended." }],
  failures: ["TurnNotFound"],
})

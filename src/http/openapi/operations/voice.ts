import { wrongAnswer } from "../../../providers/errors.ts"
import { PricedUsage, Timings } from "../../../schema.ts"
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
const usage = exampleOf(PricedUsage)

const event = (id: number, name: keyof typeof sseEvents, data: unknown) =>
  `id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`

const eventStream = {
  schema: {
    type: "string",
    description: `Server-sent events. Each has an id that counts from 1, a name, and JSON data. \`x-events\` has the schema of the data
by event name. \`turn.started\` and \`transcript\` come first, then \`reply.delta\`, \`audio\` and \`tool_call\` in any order. The last event
is \`turn.completed\`, which means that the turn is saved, or \`error\`. After 10 seconds without an event, the service
sends a comment.`,
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
    event(5, "turn.completed", { transcript, response, toolCalls: [], timings, usage }),
  ].join(""),
}

const sound = (description: string) => ({ schema: { type: "string", format: "binary", description } })
const samples = "24 kHz, mono, 16-bit, little-endian."

/** A turn in every format. */
const rendered: Answer = {
  status: 200,
  description:
    "The turn, in the format of the `Accept` header: audio/mpeg by default. The response starts with the first audio, or with the transcript for an event stream. An error before that has its own status. A later error resets the connection, or is the `error` event of an event stream.",
  headers: [
    "X-Session-Id",
    "X-Turn-Id",
    "X-Transcript",
    "X-Transcript-Truncated",
    "X-Response",
    "X-Response-Truncated",
    "Server-Timing",
    "Idempotent-Replayed",
    "Cache-Control",
  ],
  content: {
    "audio/mpeg": sound("The spoken reply as one continuous MP3."),
    "audio/wav": sound(`The spoken reply: ${samples} The header contains no length.`),
    "audio/pcm": sound(`The spoken reply as raw samples: ${samples}`),
    "application/json": {
      schema: TurnResponse,
      example: {
        sessionId,
        turnId,
        transcript,
        response,
        toolCalls: [],
        audio: { format: "mp3", base64: "SUQzBAAA" },
        timings,
        usage,
      },
    },
    "text/event-stream": eventStream,
  },
}

/** The errors of every turn. */
const turnErrors = [
  "NotAcceptable",
  "ProviderRefusedRequest",
  "ProviderRateLimited",
  "ProviderRefusedKey",
  "SessionNotFound",
  "SessionBusy",
  "AgentDeleted",
  "AgentOutdated",
  "MetadataMissing",
  "TurnCancelled",
  "IdempotencyKeyReused",
  "TooManyTurns",
  "QuotaExceeded",
  "Overloaded",
  "ConstraintViolated",
] as const

export const converse = describe({
  id: "takeTurn",
  tag: "Voice",
  countedAs: "turns",
  summary: "Take a turn from a recording",
  description:
    "Transcribes the recording and streams the reply while the model writes it. A disconnect cancels the turn, unless the request has an `Idempotency-Key`. The turns of a session run one after the other.",
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
              "The recording: a WAV, MP3, WebM, OGG, FLAC or M4A/MP4 file. The service detects the format from the content; the file name and type of the part may be missing. By default at most 25 MB and 5 minutes.",
          },
          sessionId: {
            type: "string",
            description:
              "The session to continue. An id that is missing, unknown or expired opens a new session. X-Session-Id returns the turn's session.",
          },
          agentId: {
            type: "string",
            description:
              "The agent that answers this turn: the id of one of yours, or `default`. A new session keeps it. That of the session by default.",
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
    "AudioTooShort",
    "AudioTooLong",
    "NoSpeechDetected",
    "UnsupportedMediaType",
    "UnsupportedContentEncoding",
    "RequestTimeout",
    "UploadTooSlow",
    "ProviderUnusable",
    "AgentNotFound",
    ...turnErrors,
  ],
})

export const say = describe({
  id: "takeTextTurn",
  tag: "Voice",
  countedAs: "turns",
  summary: "Take a turn from a text",
  description:
    "Like a turn from a recording, without the transcription. The session must exist and must not be expired.",
  path: { id: "The session's id." },
  headers: [idempotencyKey],
  example: { text: transcript },
  answers: [rendered],
  failures: [
    new ValidationFailed({ message: "text: must have 1 to 4096 characters" }),
    "SessionExpired",
    "AgentNotFound",
    wrongAnswer("llm", "an example"),
    wrongAnswer("tts", "an example"),
    ...turnErrors,
  ],
})

export const greet = describe({
  id: "takeGreeting",
  tag: "Voice",
  countedAs: "turns",
  summary: "Let the agent greet",
  description:
    "A turn without an input: the agent says the greeting that it has, and the model is not asked. The session must exist and must not be expired.",
  path: { id: "The session's id." },
  headers: [idempotencyKey],
  answers: [rendered],
  failures: [
    new ValidationFailed({ message: "audio: must be true or false" }),
    "SessionExpired",
    "NoGreeting",
    wrongAnswer("tts", "an example"),
    ...turnErrors,
  ],
})

export const submitResults = describe({
  id: "submitToolResults",
  tag: "Voice",
  countedAs: "turns",
  summary: "Submit the results of tools",
  description:
    "Takes the results of all calls that the turn left to its client. They begin the next turn of the session: the agent goes on, and may call tools again.",
  path: { turnId: "The turn that made the calls, from X-Turn-Id or `turn.started`." },
  headers: [idempotencyKey],
  example: { results: [{ callId: "call_1", output: { opened: true } }] },
  answers: [rendered],
  failures: [
    new ValidationFailed({ message: "results: must have 1 to 128 results" }),
    "TurnNotFound",
    "ToolResultsMismatch",
    "ToolCallAnswered",
    "ToolCallsClosed",
    "SessionExpired",
    "AgentNotFound",
    wrongAnswer("llm", "an example"),
    wrongAnswer("tts", "an example"),
    ...turnErrors,
  ],
})

export const cancel = describe({
  id: "cancelTurn",
  tag: "Voice",
  countedAs: "requests",
  summary: "Cancel a turn",
  description:
    "Works for a turn on any process of the service. Responds when the turn has ended. The part of the reply that was sent is saved.",
  path: { turnId: "The turn's id, from X-Turn-Id or `turn.started`." },
  answers: [{ status: 204, description: "The turn has ended." }],
  failures: ["TurnNotFound"],
})

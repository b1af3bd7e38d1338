/** What the API answers with, in JSON. Each of the named ones becomes a component of the document. */

import { Schema } from "effect"
import { Exported } from "../../accounts/export.ts"
import { ApiKey } from "../../accounts/model.ts"
import { Message, Session } from "../../conversation/model.ts"
import { Time, Timings, Usage } from "../../schema.ts"

export const Health = Schema.Struct({
  status: Schema.Literal("ok"),
  timestamp: Time,
  service: Schema.Literal("voice-agent-api"),
})

const Check = Schema.Struct({ status: Schema.Literal("ok", "unavailable") })

const ProviderCheck = Schema.Struct({
  status: Schema.Literal("ok", "failing").annotations({
    description: "`failing`: it failed several times in a row, and is not asked for a while.",
  }),
  engine: Schema.Literal("openai", "compatible", "offline"),
  model: Schema.optional(Schema.String),
})

export const Readiness = Schema.Struct({
  status: Schema.Literal("ready", "unavailable"),
  checks: Schema.Struct({
    database: Check,
    ffmpeg: Check,
    stt: ProviderCheck,
    llm: ProviderCheck,
    tts: ProviderCheck,
  }),
})

const SecretKey = Schema.String.annotations({ description: "The API key. It is shown this once." })

export const Registered = Schema.Struct({
  userId: Schema.UUID,
  apiKey: SecretKey,
  message: Schema.String,
})

export const LoggedIn = Schema.Struct({
  token: Schema.String.annotations({ description: "The API key itself." }),
  userId: Schema.UUID,
  email: Schema.String,
})

export const Account = Schema.Struct({ userId: Schema.UUID, email: Schema.String, createdAt: Time })

export const NewApiKey = Schema.Struct({
  id: Schema.UUID,
  name: Schema.String,
  apiKey: SecretKey,
  expiresAt: Schema.NullOr(Time),
  message: Schema.String,
})

export const ListedApiKey = Schema.Struct({
  ...ApiKey.fields,
  current: Schema.Boolean.annotations({ description: "It is the one that this request came with." }),
})

export const ApiKeyList = Schema.Struct({ keys: Schema.Array(ListedApiKey) })

export const SessionCreated = Schema.Struct({ sessionId: Schema.UUID, createdAt: Time })

export const OneSession = Schema.Struct({ session: Session })

export const SessionPage = Schema.Struct({
  sessions: Schema.Array(Session),
  nextCursor: Schema.NullOr(Schema.String).annotations({
    description: "Asks for the page after this one; null on the last.",
  }),
})

export const MessagePage = Schema.Struct({ messages: Schema.Array(Message) })

export const Turn = Schema.Struct({
  sessionId: Schema.UUID,
  turnId: Schema.UUID,
  transcript: Schema.String,
  response: Schema.String,
  audio: Schema.NullOr(Schema.Struct({ format: Schema.Literal("mp3"), base64: Schema.String })).annotations({
    description: "null where the reply was not to be spoken.",
  }),
  timings: Timings,
  usage: Usage,
})

/** The data of each event of a turn, by the event's name, in the order in which they may come. */
export const events = {
  "turn.started": Schema.Struct({ sessionId: Schema.UUID, turnId: Schema.UUID }),
  transcript: Schema.Struct({ text: Schema.String }),
  "reply.delta": Schema.Struct({ text: Schema.String }),
  audio: Schema.Struct({ base64: Schema.String, format: Schema.Literal("mp3") }),
  "turn.completed": Schema.Struct({
    transcript: Schema.String,
    response: Schema.String,
    timings: Timings,
    usage: Usage,
  }),
  error: Schema.Struct({ error: Schema.String, message: Schema.String }),
} as const

/** Every error. */
export const Problem = Schema.Struct({
  error: Schema.String.annotations({ description: "What went wrong, for a program." }),
  message: Schema.String.annotations({ description: "What went wrong and what to do, for a person." }),
  requestId: Schema.String.annotations({ description: "As in the header X-Request-Id." }),
  retryAfter: Schema.optional(
    Schema.Int.annotations({ description: "Seconds; on every 429 and 503, as in the header Retry-After." }),
  ),
})

export const components = {
  Health,
  Readiness,
  Registered,
  LoggedIn,
  Account,
  ApiKey,
  ListedApiKey,
  ApiKeyList,
  NewApiKey,
  Export: Exported,
  Session,
  SessionCreated,
  OneSession,
  SessionPage,
  Message,
  MessagePage,
  Timings,
  Usage,
  Turn,
  Problem,
} as const

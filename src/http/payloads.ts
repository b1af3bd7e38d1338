/**
 * The JSON on the wire, one Schema per payload. The routes, the server-sent events, the OpenAPI document and the
 * client's model (`bun run generate`) all come from these.
 */
import { Schema, Struct } from "effect"
import { Memory } from "../accounts/memories.ts"
import { ApiKey, Secret } from "../accounts/model.ts"
import { AgentDefinition, AgentTool, agentFields } from "../agent/definition.ts"
import { Exported } from "../conversation/exported.ts"
import { Message, Session, SessionDetails } from "../conversation/model.ts"
import { StageStatus } from "../providers/status.ts"
import {
  ApiKeyId,
  JsonObject,
  PricedUsage,
  SessionId,
  ShownAgentId,
  Time,
  Timings,
  TurnId,
  UserId,
} from "../schema.ts"
import { clientCalls, type TurnState } from "../turn/state.ts"
import { Delivery, NewWebhook, Webhook, WebhookChanges } from "../webhooks/model.ts"
import { toJsonSchema } from "./openapi/json-schema.ts"
import { RealtimeSession } from "./realtime-session.ts"

const text = (description: string) => Schema.String.annotations({ description })
const count = (description: string) => Schema.NonNegativeInt.annotations({ description })

export const Health = Schema.Struct({
  status: Schema.Literal("ok"),
  timestamp: Time,
  service: Schema.Literal("voice-agent-api"),
})

const Check = Schema.Struct({ status: Schema.Literal("ok", "unavailable") })

const ProviderCheck = Schema.Struct({
  status: StageStatus.annotations({
    description:
      "`degraded`: the first provider or engine failed, and its fallback or another engine serves. `failing`: no engine can serve, or several requests in a row failed and the service has paused calls to the provider.",
  }),
  engine: Schema.Literal("openai", "compatible", "offline"),
  model: Schema.optional(text("The name of the model, or of the offline engine that serves now.")),
  advice: Schema.optional(
    text("What would serve the stage better than the offline engine. Commands are in backticks."),
  ),
})

export const Readiness = Schema.Struct({
  status: Schema.Literal("ready", "unavailable"),
  checks: Schema.Struct({
    database: Check,
    ffmpeg: Check,
    stt: ProviderCheck,
    llm: ProviderCheck,
    tts: ProviderCheck,
    vad: Schema.Struct({
      status: Schema.Literal("ok", "degraded").annotations({
        description: "`degraded`: speech in live audio is found by its loudness alone, music and noise too.",
      }),
      engine: Schema.Literal("silero", "energy"),
    }),
  }),
}).annotations({ description: "Whether the service can take turns, and what each stage of a turn runs on." })

const SecretKey = text("The API key. The service shows it only once.")

export const Registered = Schema.Struct({
  userId: UserId,
  apiKey: SecretKey,
  message: Schema.String,
}).annotations({ description: "A new user." })

export const LoggedIn = Schema.Struct({
  token: text("The API key from the request."),
  userId: UserId,
  email: Schema.String,
}).annotations({ description: "The owner of an API key." })

export const Account = Schema.Struct({ userId: UserId, email: Schema.String, createdAt: Time })

export const NewApiKey = Schema.Struct({
  id: ApiKeyId,
  name: Schema.String,
  apiKey: SecretKey,
  expiresAt: Schema.NullOr(Time),
  message: Schema.String,
})

const ListedApiKey = Schema.Struct({
  ...ApiKey.fields,
  current: Schema.Boolean.annotations({ description: "True for the key that authenticated this request." }),
})

export const ApiKeyList = Schema.Struct({ keys: Schema.Array(ListedApiKey) })

export const MemoryList = Schema.Struct({ memories: Schema.Array(Memory) }).annotations({
  description: "What agents remember of the user, oldest first.",
})
export const OneSecret = Schema.Struct({ secret: Secret })

export const SecretList = Schema.Struct({ secrets: Schema.Array(Secret) })

const AgentKey = {
  id: ShownAgentId,
  version: Schema.NullOr(Schema.Int).annotations({
    description: "Each change adds one. Null for the operator's agent, `default`.",
  }),
}
const AgentTimes = { createdAt: Schema.NullOr(Time), updatedAt: Schema.NullOr(Time) }

/** For the document: the service shows definitions as they are stored. */
const Agent = Schema.Struct({ ...AgentKey, ...agentFields, ...AgentTimes })

const AgentWarning = Schema.Struct({
  field: Schema.String.annotations({ description: "By dotted path, such as `tools.0`." }),
  message: Schema.String,
})

export const OneAgent = Schema.Struct({
  agent: Agent,
  warnings: Schema.optional(
    Schema.Array(AgentWarning).annotations({
      description:
        "What would fail in a turn now: a secret that is not set and, after a change, an MCP server that cannot be used or lacks a tool that the agent names. Absent if nothing would.",
    }),
  ),
})

const ListedAgent = Schema.Struct({ ...AgentKey, name: Schema.String, ...AgentTimes })

export const AgentList = Schema.Struct({ agents: Schema.Array(ListedAgent) })

const AgentVersion = Schema.Struct({ version: Schema.Int, ...agentFields, createdAt: Time })

export const AgentVersions = Schema.Struct({ versions: Schema.Array(AgentVersion) })

/** The body of a request that creates an agent. src/agent validates it. */
export const NewAgent = JsonObject.annotations({ jsonSchema: toJsonSchema(AgentDefinition) })

/** The body of a request that changes one. */
export const AgentChanges = JsonObject.annotations({
  jsonSchema: {
    type: "object",
    description:
      "The fields of an agent that change, each as a whole. Null removes a field. With `version`, the change is made only if that is the newest version.",
  },
})

const UsageSums = {
  turns: count("Turns that ended. What runs is counted when it ends."),
  unpriced: count(
    "The turns, the summaries and the transcriptions of live speech whose cost is unknown, or was in another currency. It may exceed `turns`.",
  ),
  audioSeconds: Schema.Number.annotations({ description: "Audio that was transcribed, in seconds." }),
  inputTokens: count("Tokens of prompts."),
  outputTokens: count("Tokens of replies."),
  charactersSpoken: count("Characters sent to speech synthesis."),
  cost: Schema.NullOr(Schema.Number).annotations({
    description: "What that cost, without what is unpriced. Null if none of it has a known cost.",
  }),
}

const UsageEntry = Schema.Struct({
  day: Schema.optional(text("The day in UTC, such as 2026-01-31, where days are asked for.")),
  agentId: Schema.optional(
    AgentKey.id.annotations({ description: "The agent that answered, where agents are asked for." }),
  ),
  keyId: Schema.optional(
    Schema.NullOr(ApiKeyId).annotations({
      description: "The API key of the requests, where keys are asked for. Null: not known.",
    }),
  ),
  name: Schema.optional(
    Schema.NullOr(Schema.String).annotations({
      description: "The name of the agent or the key. Null: that of the operator, or it was deleted.",
    }),
  ),
  ...UsageSums,
})

const UsageTotal = Schema.Struct(UsageSums).annotations({
  description: "The sums of all entries, of other pages too.",
})

const UsageMonth = Schema.Struct({
  limit: Schema.NullOr(Schema.Number).annotations({
    description: "What the turns of a calendar month in UTC may cost. Null: as much as they do.",
  }),
  spent: Schema.Number.annotations({ description: "What those of this month have cost so far." }),
  resetsAt: Time.annotations({ description: "When the next month begins." }),
}).annotations({ description: "The user's monthly limit." })

export const UsageReport = Schema.Struct({
  from: text("The first day."),
  to: text("The last day. It is included."),
  currency: text("The currency of all amounts, as an ISO 4217 code."),
  entries: Schema.Array(UsageEntry),
  total: UsageTotal,
  month: UsageMonth,
  nextCursor: Schema.NullOr(Schema.String).annotations({
    description: "The cursor of the next page. Null on the last page.",
  }),
})

export const OneWebhook = Schema.Struct({ webhook: Webhook })

export const WebhookList = Schema.Struct({ webhooks: Schema.Array(Webhook) })

export const WebhookCreated = Schema.Struct({
  webhook: Webhook,
  secret: text("The secret that signs what is sent. The service shows it only once."),
})

export const OneDelivery = Schema.Struct({ delivery: Delivery })

export const DeliveryList = Schema.Struct({ deliveries: Schema.Array(Delivery) })

export const Replayed = Schema.Struct({
  replayed: Schema.Int.annotations({ description: "The number of deliveries that are sent again." }),
})

export const SessionCreated = Schema.Struct({ sessionId: SessionId, createdAt: Time })

export const OneSession = Schema.Struct({ session: Session })

export const SessionPage = Schema.Struct({
  sessions: Schema.Array(Session),
  nextCursor: Schema.NullOr(Schema.String).annotations({
    description: "The cursor of the next page. Null on the last page.",
  }),
})

export const MessagePage = Schema.Struct({ messages: Schema.Array(Message) })

export const TurnStarted = Schema.Struct({ sessionId: SessionId, turnId: TurnId }).annotations({
  description: "The turn's ids, and the session it belongs to.",
})

export const Transcript = Schema.Struct({ text: Schema.String }).annotations({
  description: "What the user said.",
})

export const ReplyDelta = Schema.Struct({ text: Schema.String }).annotations({
  description: "The next part of the reply's text.",
})

const Audio = Schema.Struct({ base64: Schema.String, format: Schema.Literal("mp3") })

export const AudioChunk = Audio.annotations({
  description: "The next bytes of the spoken reply. A turn's chunks form one continuous file.",
})

export const ToolCall = Schema.Struct({
  callId: text("Names the call in its result."),
  name: text("The name of the tool."),
  arguments: text("A JSON object, as a text."),
}).annotations({ description: "A call of a tool that the client runs." })

const ToolCalls = Schema.Array(ToolCall).annotations({
  description:
    "The calls that the client has to answer: the reply follows its tool results. Empty: the reply is whole.",
})

export const OpenToolCalls = Schema.Struct({
  turnId: Schema.NullOr(TurnId).annotations({
    description: "The turn that takes the results. Null: no call is open.",
  }),
  toolCalls: Schema.Array(ToolCall),
}).annotations({ description: "The calls of a session that wait for the results of the client." })

export const TurnCompleted = Schema.Struct({
  transcript: text("What the user said. Empty for a turn that begins with tool results."),
  response: text("The reply, as the model wrote it."),
  toolCalls: ToolCalls,
  timings: Timings,
  usage: PricedUsage,
}).annotations({ description: "The turn is saved." })

export const TurnFailed = Schema.Struct({
  error: text("The error code, for programs."),
  message: text("What went wrong and what to do, for people."),
}).annotations({ description: "The turn did not complete." })

/** The data of a turn's server-sent events, by event name, in the order in which they come. */
export const sseEvents = {
  "turn.started": TurnStarted,
  transcript: Transcript,
  "reply.delta": ReplyDelta,
  audio: AudioChunk,
  tool_call: ToolCall,
  "turn.completed": TurnCompleted,
  error: TurnFailed,
} as const

type Events = typeof sseEvents
/** One server-sent event of a turn. Its data is JSON as it stands: no event holds a value that needs encoding. */
export type SseEvent = {
  readonly [Name in keyof Events]: { readonly event: Name; readonly data: Events[Name]["Type"] }
}[keyof Events]

/** The calls that a turn leaves to its client, as clients see them. */
export const shownCalls = (state: TurnState): ReadonlyArray<typeof ToolCall.Type> =>
  clientCalls(state).map(({ callId, name, arguments: args }) => ({ callId, name, arguments: args }))

/** A whole turn, as `application/json`. */
export const TurnResponse = Schema.Struct({
  ...TurnStarted.fields,
  transcript: TurnCompleted.fields.transcript,
  response: TurnCompleted.fields.response,
  toolCalls: ToolCalls,
  audio: Schema.NullOr(Audio).annotations({
    description:
      "The whole spoken reply. Null if the request asked for text only, or if the reply has nothing to speak.",
  }),
  timings: Timings,
  usage: PricedUsage,
})
export type TurnResponse = typeof TurnResponse.Type

/** Every error response. */
export const ErrorBody = Schema.Struct({
  error: TurnFailed.fields.error,
  message: TurnFailed.fields.message,
  requestId: text("The request's id, as in the header X-Request-Id."),
  retryAfter: Schema.optional(
    Schema.Int.annotations({
      description: "Seconds to wait before the next try, as in the header Retry-After. On every 429 and 503.",
    }),
  ),
})
export type ErrorBody = typeof ErrorBody.Type

/** The named schemas of the OpenAPI document. */
export const components = {
  Health,
  Check,
  ProviderCheck,
  Readiness,
  Registered,
  LoggedIn,
  Account,
  ApiKey,
  ListedApiKey,
  ApiKeyList,
  NewApiKey,
  Memory,
  MemoryList,
  Secret,
  OneSecret,
  SecretList,
  Export: Exported,
  AgentTool,
  AgentDefinition,
  Agent,
  OneAgent,
  ListedAgent,
  AgentList,
  AgentVersion,
  AgentVersions,
  NewWebhook,
  WebhookChanges,
  Webhook,
  OneWebhook,
  WebhookList,
  WebhookCreated,
  Delivery,
  OneDelivery,
  DeliveryList,
  Replayed,
  Session,
  SessionDetails,
  SessionCreated,
  OneSession,
  SessionPage,
  Message,
  MessagePage,
  ToolCall,
  OpenToolCalls,
  Timings,
  Usage: PricedUsage,
  UsageEntry,
  UsageTotal,
  UsageMonth,
  UsageReport,
  RealtimeSession,
  Turn: TurnResponse,
  Error: ErrorBody,
} as const

/** The timings of a Server-Timing header. `total` is not one: headers leave before the turn ends. */
const timed = Struct.keys(Struct.omit(Timings.fields, "total"))

/** A timing's name in the header: `llmTtft` is `llm_ttft`. */
const headerName = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export const serverTimingNames: ReadonlyArray<string> = timed.map(headerName)

/** The timings known so far as a Server-Timing header, which browsers show beside the request. */
export const serverTiming = (timings: Partial<Timings>): string =>
  timed
    .filter((name) => timings[name] !== undefined)
    .map((name) => `${headerName(name)};dur=${timings[name]}`)
    .join(", ")

import { Schema } from "effect"
import { configuredId, ItemId, SessionId, ShownAgentId, Time, TurnId, WebhookId } from "../schema.ts"

const agent = {
  agentId: ShownAgentId.annotations({
    description: `The agent's id, or \`${configuredId}\`.`,
  }),
  agentVersion: Schema.NullOr(Schema.Int),
}

const said = (description: string) =>
  Schema.optional(
    Schema.NullOr(Schema.String).annotations({
      description: `${description} Only for a webhook with \`transcripts\`. Null if the session was deleted.`,
    }),
  )

const ended = { turnId: TurnId, sessionId: SessionId, ...agent, startedAt: Time, endedAt: Time }
const words = {
  transcript: said("What the user said."),
  response: said("The reply, as the model wrote it."),
}

/** How a turn failed. `lost`: the process of the turn ended. */
export const FailureReason = Schema.Literal("failed", "lost")

/** The data of the events that webhooks can ask for, by their types. */
const eventData = {
  "turn.completed": Schema.Struct({
    ...ended,
    status: Schema.Literal("completed", "interrupted", "cancelled").annotations({
      description:
        "`interrupted`: the user interrupted the reply, or the client left during it. `cancelled`: before any of it was heard.",
    }),
    ...words,
  }).annotations({ description: "A turn is saved." }),
  "turn.failed": Schema.Struct({
    ...ended,
    status: Schema.Literal("failed", "interrupted").annotations({
      description: "`interrupted`: the conversation has a part of the turn.",
    }),
    reason: FailureReason.annotations({
      description:
        "`failed`: an error, or the client left before it heard anything. `lost`: the process of the turn ended.",
    }),
    code: Schema.NullOr(Schema.String).annotations({
      description: "Of the error, as in the list of errors. Null after a turn that failed without one.",
    }),
    ...words,
  }).annotations({ description: "A turn failed." }),
  "session.expired": Schema.Struct({
    sessionId: SessionId,
    ...agent,
    lastActivityAt: Time,
    expiredAt: Time,
  }).annotations({ description: "A session had no activity for the server's `SESSION_TIMEOUT_MINUTES`." }),
  "tool.called": Schema.Struct({
    turnId: TurnId,
    sessionId: SessionId,
    itemId: ItemId.annotations({ description: "Of the call. It is also its idempotency key." }),
    callId: Schema.String,
    tool: Schema.String.annotations({ description: "The tool's name." }),
    isError: Schema.Boolean,
    startedAt: Time,
    endedAt: Time,
  }).annotations({ description: "The service has the outcome of a tool that it runs." }),
}

export const EventType = Schema.Literal("turn.completed", "turn.failed", "session.expired", "tool.called")
export type EventType = typeof EventType.Type

/** The fields that are recorded with an event. What was said is read when it is sent. */
export type RecordedField<Type extends EventType> = Exclude<
  keyof (typeof eventData)[Type]["Type"],
  keyof typeof words
>

/** The type of the event that a user sends as a test. */
export const testType = "webhook.test"

const event = <const Type extends string, A, I>(type: Type, data: Schema.Schema<A, I>) =>
  Schema.Struct({
    type: Schema.Literal(type),
    timestamp: Time.annotations({ description: "The time of the event." }),
    data,
  })

/** The body of a request to a webhook, by the type of its event. */
export const events = {
  "turn.completed": event("turn.completed", eventData["turn.completed"]),
  "turn.failed": event("turn.failed", eventData["turn.failed"]),
  "session.expired": event("session.expired", eventData["session.expired"]),
  "tool.called": event("tool.called", eventData["tool.called"]),
  [testType]: event(
    testType,
    Schema.Struct({ webhookId: WebhookId }).annotations({ description: "A test. It tells of nothing." }),
  ),
}

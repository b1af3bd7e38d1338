/** Schemas of the API's responses. Reading fails if a key is missing or unknown. */
import { expect } from "bun:test"
import { Schema } from "effect"

const exact = { onExcessProperty: "error" } as const

/** Decodes the JSON of a response. Fails on missing or unknown keys. */
export const readAs = async <A, I>(schema: Schema.Schema<A, I>, response: Response): Promise<A> =>
  Schema.decodeUnknownSync(schema, exact)(await response.json())

export const Registered = Schema.Struct({
  userId: Schema.UUID,
  apiKey: Schema.String.pipe(Schema.pattern(/^sk_[0-9a-f]{64}$/)),
  message: Schema.Literal("API key created. Save this key securely - it will not be shown again."),
})

export const LoggedIn = Schema.Struct({ token: Schema.String, userId: Schema.UUID, email: Schema.String })

/** ISO 8601 in UTC. */
const Time = Schema.String.pipe(Schema.pattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/))

const KeyTime = Schema.NullOr(Time)

export const NewApiKey = Schema.Struct({
  id: Schema.UUID,
  name: Schema.String,
  apiKey: Registered.fields.apiKey,
  expiresAt: KeyTime,
  message: Registered.fields.message,
})

export const ApiKeyList = Schema.Struct({
  keys: Schema.Array(
    Schema.Struct({
      id: Schema.UUID,
      name: Schema.String,
      prefix: Schema.NullOr(Schema.String.pipe(Schema.pattern(/^sk_[0-9a-f]{4}$/))),
      createdAt: Time,
      lastUsedAt: KeyTime,
      expiresAt: KeyTime,
      revokedAt: KeyTime,
      current: Schema.Boolean,
    }),
  ),
})

export const Account = Schema.Struct({ userId: Schema.UUID, email: Schema.String, createdAt: Time })

export const Created = Schema.Struct({ sessionId: Schema.UUID, createdAt: Time })

export const Session = Schema.Struct({
  id: Schema.UUID,
  userId: Schema.UUID,
  title: Schema.NullOr(Schema.String),
  metadata: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  agentId: Schema.String,
  agentVersion: Schema.NullOr(Schema.Union(Schema.Int, Schema.Literal("latest"))),
  createdAt: Time,
  lastActivityAt: Time,
  expired: Schema.Boolean,
})

export const OneSession = Schema.Struct({ session: Session })

export const SessionList = Schema.Struct({
  sessions: Schema.Array(Session),
  nextCursor: Schema.NullOr(Schema.String),
})

export const MessageList = Schema.Struct({
  messages: Schema.Array(
    Schema.Struct({
      id: Schema.UUID,
      turnId: Schema.UUID,
      role: Schema.String,
      content: Schema.String,
      interrupted: Schema.Boolean,
      createdAt: Time,
    }),
  ),
})

const message = MessageList.fields.messages.value

const ExportedTurn = Schema.Struct({
  id: Schema.UUID,
  sessionId: Schema.UUID,
  agentId: Schema.NullOr(Schema.UUID),
  agentVersion: Schema.NullOr(Schema.Int),
  state: Schema.String,
  transcript: Schema.NullOr(Schema.String),
  response: Schema.NullOr(Schema.String),
  timings: Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Number })),
  usage: Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.Number })),
  models: Schema.NullOr(Schema.Array(Schema.Unknown)),
  cost: Schema.NullOr(Schema.Number),
  currency: Schema.NullOr(Schema.String),
  keyId: Schema.NullOr(Schema.UUID),
  rounds: Schema.Array(
    Schema.Struct({
      transcript: Schema.NullOr(Schema.String),
      results: Schema.Array(Schema.Struct({ callId: Schema.String, output: Schema.String })),
      text: Schema.String,
      calls: Schema.Array(
        Schema.Struct({
          name: Schema.String,
          arguments: Schema.String,
          output: Schema.NullOr(Schema.String),
        }),
      ),
    }),
  ),
  createdAt: Time,
  endedAt: KeyTime,
})

export const Exported = Schema.Struct({
  exportedAt: Time,
  user: Schema.Struct({
    ...Account.fields,
    monthlyLimit: Schema.Union(Schema.Number, Schema.Literal("none", "default")),
  }),
  keys: Schema.Array(ApiKeyList.fields.keys.value.omit("current")),
  memories: Schema.Array(Schema.Struct({ id: Schema.UUID, text: Schema.String, createdAt: Time })),
  secrets: Schema.Array(
    Schema.Struct({ name: Schema.String, createdAt: Schema.String, updatedAt: Schema.String }),
  ),
  clientSecrets: Schema.Array(
    Schema.Struct({
      id: Schema.UUID,
      createdAt: Time,
      expiresAt: Time,
      session: Schema.Unknown,
      agentId: Schema.NullOr(Schema.UUID),
    }),
  ),
  agents: Schema.Array(
    Schema.Struct({ id: Schema.UUID, version: Schema.Int, definition: Schema.Unknown, createdAt: Time }),
  ),
  webhooks: Schema.Array(Schema.Struct({ id: Schema.UUID })),
  webhookDeliveries: Schema.Array(Schema.Struct({ id: Schema.UUID })),
  sessions: Schema.Array(
    Schema.Struct({
      ...Session.omit("userId", "expired").fields,
      messages: Schema.Array(message),
      items: Schema.Array(
        Schema.Struct({
          id: Schema.UUID,
          turnId: Schema.UUID,
          payload: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
          createdAt: Time,
        }),
      ),
    }),
  ),
  turns: Schema.Array(ExportedTurn),
  usage: Schema.Array(
    Schema.Struct({
      day: Schema.String,
      agentId: Schema.NullOr(Schema.UUID),
      keyId: Schema.NullOr(Schema.UUID),
      currency: Schema.NullOr(Schema.String),
      turns: Schema.Number,
      unpriced: Schema.Number,
      audioSeconds: Schema.Number,
      inputTokens: Schema.Number,
      outputTokens: Schema.Number,
      charactersSpoken: Schema.Number,
      cost: Schema.Number,
    }),
  ),
})

const Problem = Schema.Struct({
  error: Schema.String,
  message: Schema.String,
  requestId: Schema.UUID,
  retryAfter: Schema.optional(Schema.Number),
})

/** Matches stacks, file names, SQL, keys and validator internals. */
const secrets =
  /\n|\bat \S+ \(|\.ts\b|node_modules|\/\w+\/|\b(select|insert into|update \w+ set|delete from|relation)\b|sk_[0-9a-f]|readonly|\bactual\b/i

interface Expected {
  readonly status: number
  readonly code: string
  /** The whole message, or a pattern. */
  readonly message?: string | RegExp
  /** In seconds, on a 429 or 503. Default: 1. */
  readonly retryAfter?: number
}

/** Checks an error's status, code, envelope and headers, and that it reveals no internals. Returns its message. */
export const expectProblem = async (
  response: Pick<Response, "status" | "headers" | "text">,
  { status, code, message, retryAfter = 1 }: Expected,
): Promise<string> => {
  const text = await response.text()
  expect({ status: response.status, text }).toEqual({ status, text: expect.stringContaining(`"${code}"`) })
  expect(response.headers.get("content-type")).toStartWith("application/json")
  const problem = Schema.decodeUnknownSync(Schema.parseJson(Problem), exact)(text)
  expect(problem.error).toBe(code)
  expect(response.headers.get("x-request-id")).toBe(problem.requestId)
  expect(response.headers.get("retry-after")).toBe(
    problem.retryAfter === undefined ? null : `${problem.retryAfter}`,
  )
  expect(problem.retryAfter).toBe(status === 503 || status === 429 ? retryAfter : undefined)
  if (typeof message === "string") expect(problem.message).toBe(message)
  if (message instanceof RegExp) expect(problem.message).toMatch(message)
  expect(problem.message).not.toMatch(secrets)
  return problem.message
}

/** A webhook's endpoint over real HTTP, and the API calls around it. */
import { Schema } from "effect"
import { Webhook } from "standardwebhooks"
import { events } from "../../src/webhooks/events.ts"
import type { Service } from "./service.ts"
import { startToolServer, type ToolRequest } from "./tool-server.ts"

/** What the service needs to send to this machine, and to store secrets. */
export const webhookEnv = {
  OUTBOUND_ALLOWED_NETWORKS: "127.0.0.1",
  ENCRYPTION_KEY: Buffer.alloc(32, 7).toString("base64"),
}

const Data = Schema.Record({ key: Schema.String, value: Schema.Unknown })

const AnyEvent = Schema.Struct({ type: Schema.String, timestamp: Schema.String, data: Data })
const documented = Schema.decodeUnknownSync(Schema.Union(...Object.values(events)), {
  onExcessProperty: "error",
})

/** Throws for what is no event, or has a field that is not documented. */
export const readEvent = (body: unknown): typeof AnyEvent.Type => {
  documented(body)
  return Schema.decodeUnknownSync(AnyEvent)(body)
}

/** Throws if the message is not signed with the secret. */
export const verified = (secret: string, { body, headers }: ToolRequest) => {
  const named = Object.entries(headers).map(([name, value]) => [name, value ?? ""] as const)
  return readEvent(new Webhook(secret).verify(body, Object.fromEntries(named)))
}

const LoggedDelivery = Schema.Struct({
  id: Schema.String,
  type: Schema.String,
  state: Schema.String,
  attempts: Schema.Int,
  nextAttemptAt: Schema.NullOr(Schema.String),
  status: Schema.NullOr(Schema.Int),
  answer: Schema.NullOr(Schema.String),
  error: Schema.NullOr(Schema.String),
  data: Data,
})
export type LoggedDelivery = typeof LoggedDelivery.Type

const readCreated = Schema.decodeUnknownSync(
  Schema.Struct({ webhook: Schema.Struct({ id: Schema.String }), secret: Schema.String }),
)
const readLog = Schema.decodeUnknownSync(Schema.Struct({ deliveries: Schema.Array(LoggedDelivery) }))

type Caller = Pick<Service, "call">

/** A webhook of the key's user; for every event unless `fields` says otherwise. */
export const createWebhook = async (
  service: Caller,
  key: string,
  fields: { readonly url: string; readonly events?: ReadonlyArray<string>; readonly transcripts?: boolean },
) => {
  const events = fields.events ?? ["turn.completed", "turn.failed", "session.expired", "tool.called"]
  const answer = await service.call("POST", "/webhooks", { key, body: { ...fields, events } })
  const { webhook, secret } = readCreated(await answer.json())
  return { id: webhook.id, secret }
}

/** Latest first. */
export const deliveriesOf = async (service: Caller, key: string, id: string) => {
  const answer = await service.call("GET", `/webhooks/${id}/deliveries?limit=100`, { key })
  return readLog(await answer.json()).deliveries
}

/** Answers with 204, or as `answer` says. */
export const startEndpoint = (
  answer: Parameters<typeof startToolServer>[0] = (out) => out.writeHead(204).end(),
) => startToolServer(answer)

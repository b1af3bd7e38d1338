import type { Schema } from "effect"
import { events } from "../../webhooks/events.ts"
import { toJsonSchema } from "./json-schema.ts"
import { type HeaderParameter, headerParameter } from "./operation.ts"

/** By Standard Webhooks. */
const signature: ReadonlyArray<HeaderParameter> = [
  {
    name: "webhook-id",
    description: "The id of the delivery, the same in every attempt and replay.",
    schema: { type: "string", format: "uuid" },
  },
  {
    name: "webhook-timestamp",
    description: "The time of the attempt, in seconds since 1970.",
    schema: { type: "string", pattern: "^\\d+$" },
  },
  {
    name: "webhook-signature",
    description:
      "`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64. There may be several, separated by spaces.",
    schema: { type: "string" },
  },
]

const requestOf = (type: string, schema: Schema.Schema.All) => ({
  post: {
    operationId: `on ${type}`.replace(/\W(\w)/g, (_, letter: string) => letter.toUpperCase()),
    tags: ["Webhooks"],
    summary: `The event ${type}`,
    security: [],
    parameters: signature.map(headerParameter),
    requestBody: { required: true, content: { "application/json": { schema: toJsonSchema(schema) } } },
    responses: {
      "2XX": { description: "The event is delivered." },
      "410": { description: "The webhook is disabled." },
      default: { description: "A failed attempt. Others follow, for over three days." },
    },
  },
})

/** What the service sends to webhooks, as OpenAPI 3.1 describes it. */
export const webhooks = Object.fromEntries(
  Object.entries(events).map(([type, schema]) => [type, requestOf(type, schema)]),
)

import type { Schema } from "effect"
import type { Limited } from "../../limits/rate-limits.ts"
import type { AppError } from "../errors.ts"
import type { AnswerHeader } from "./headers.ts"
import type { JsonSchema } from "./json-schema.ts"

/** The groups of operations, with their descriptions. */
export const tags = {
  Voice: "A turn takes speech or text and returns the reply, spoken or written.",
  Realtime:
    "A WebSocket that listens all the time, replies at once and can be interrupted. It speaks OpenAI's Realtime protocol.",
  Sessions: "A session is a conversation: its messages in order, which are the context of its next turn.",
  Agents:
    "An agent answers turns: with its instructions, models, voice and tools. A change adds a version; a session keeps the version that it began with.",
  Webhooks:
    "A webhook is a URL of yours that the service tells of events. What it sends is signed by Standard Webhooks.",
  Account: "The account, its API keys, and its stored data.",
  Access: "Register, and check an API key. These operations need no API key.",
  Health: "For load balancers and monitors. These operations need no API key.",
} as const

/** One media type of a body. */
export interface Content {
  readonly schema: Schema.Schema.All | JsonSchema
  readonly example?: unknown
}

export interface Answer {
  readonly status: number
  readonly description: string
  readonly headers?: ReadonlyArray<AnswerHeader>
  /** By media type. Absent for a response without a body. */
  readonly content?: Readonly<Record<string, Content>>
}

export interface HeaderParameter {
  readonly name: string
  readonly description: string
  readonly schema: JsonSchema
}

/** The parameter as OpenAPI writes it. */
export const headerParameter = ({ name, description, schema }: HeaderParameter) => ({
  name,
  in: "header",
  description,
  schema,
})

interface Described {
  /** The operationId, which generated clients use as the name. */
  readonly id: string
  readonly tag: keyof typeof tags
  readonly summary: string
  readonly description?: string
  /** Whether it works without an API key. */
  readonly isPublic?: boolean
  /** The rate limit that counts its requests. */
  readonly countedAs?: Exclude<Limited, "wrongKeys">
  /** Descriptions of the path parameters. One without a schema is a UUID. */
  readonly path?: Readonly<
    Record<string, string | { readonly description: string; readonly schema: JsonSchema }>
  >
  readonly headers?: ReadonlyArray<HeaderParameter>
  /** The body, if the route reads it itself. Otherwise the route's own Schema describes it. */
  readonly body?: Readonly<Record<string, Content>>
  /** An example of the route's own body. */
  readonly example?: unknown
  readonly answers: ReadonlyArray<Answer>
  /** Its errors, besides those of every key, body and query. A name stands for the usual example. */
  readonly failures?: ReadonlyArray<AppError["_tag"] | AppError>
}

/** The part of a route's description that its Schemas do not contain. */
export class Operation {
  private static count = 0
  readonly described: Described
  /** The document lists operations in the order of their descriptions, not of their routes. */
  readonly position: number
  constructor(described: Described) {
    this.described = described
    this.position = Operation.count++
  }
}

/** For a route's `detail`, where the document finds it: Elysia keeps unknown fields there. */
export const describe = (described: Described) => ({
  operationId: described.id,
  operation: new Operation(described),
})

/** A JSON body. */
export const json = <A, I>(
  schema: Schema.Schema<A, I>,
  example: NoInfer<I>,
): Readonly<Record<string, Content>> => ({
  "application/json": { schema, example },
})

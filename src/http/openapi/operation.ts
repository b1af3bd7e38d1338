import type { Schema } from "effect"
import type { Limited } from "../../limits/rate-limits.ts"
import type { AppError } from "../errors.ts"
import type { AnswerHeader } from "./headers.ts"
import type { JsonSchema } from "./json-schema.ts"

/** What the operations are grouped by, and what is said of each group. */
export const tags = {
  Voice: "Turns: speech or text in, the reply out, spoken or written.",
  Sessions: "Conversations: what was said, in order, which the next turn goes on from.",
  Account: "Who one is, one's keys, and all that is stored of one.",
  Access: "A first key. No key is needed for these.",
  Health: "For load balancers and monitors. No key is needed for these.",
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
  /** By media type; an answer without any has no body. */
  readonly content?: Readonly<Record<string, Content>>
}

export interface HeaderParameter {
  readonly name: string
  readonly description: string
  readonly schema: JsonSchema
}

interface Described {
  /** The operationId: what generated clients call it. */
  readonly id: string
  readonly tag: keyof typeof tags
  readonly summary: string
  readonly description?: string
  /** Needs no key. */
  readonly isPublic?: boolean
  /** By which of the allowances its requests are counted. */
  readonly countedAs?: Exclude<Limited, "wrongKeys">
  /** What each parameter of its path is. */
  readonly path?: Readonly<Record<string, string>>
  readonly headers?: ReadonlyArray<HeaderParameter>
  /** A body that the route reads by itself; the schema of any other one is the route's own. */
  readonly body?: Readonly<Record<string, Content>>
  /** Of the route's own body. */
  readonly example?: unknown
  readonly answers: ReadonlyArray<Answer>
  /**
   * What it fails with beside what follows from its key, its body and its query: by name, or as an example that says
   * more than the usual one.
   */
  readonly failures?: ReadonlyArray<AppError["_tag"] | AppError>
}

/** What a route can't say by itself of what it does. */
export class Operation {
  readonly described: Described
  constructor(described: Described) {
    this.described = described
  }
}

/** For a route's `detail`, where the document finds it; Elysia keeps what it does not know as it is. */
export const describe = (described: Described) => ({
  operationId: described.id,
  operation: new Operation(described),
})

/** A body of JSON. */
export const json = <A, I>(
  schema: Schema.Schema<A, I>,
  example: NoInfer<I>,
): Readonly<Record<string, Content>> => ({
  "application/json": { schema, example },
})

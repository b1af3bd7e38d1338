import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll } from "../db/rows.ts"
import { MemoryId, parseId, Time, type UserId } from "../schema.ts"
import { MemoryNotFound } from "./errors.ts"

/** Of one user. All of them fit into a prompt, and into one page of the API. */
export const maxMemories = 200

/** Characters of one memory. */
export const maxMemoryLength = 500

/** What an agent remembers of a user. */
export const Memory = Schema.Struct({ id: MemoryId, text: Schema.String, createdAt: Time })
export type Memory = typeof Memory.Type

/** `kept`: also where the same text was there before. */
export type Remembered = "kept" | "full"

/** What agents remember of users. */
export class Memories extends Context.Tag("voice-agent/Memories")<
  Memories,
  {
    /** Oldest first. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<Memory>, DatabaseError>
    /** Adds a memory of at most 500 characters. The same id adds it once. */
    readonly add: (userId: UserId, id: MemoryId, text: string) => Effect.Effect<Remembered, DatabaseError>
    /** Deletes a memory. `id` is the text that a client sent. */
    readonly remove: (userId: UserId, id: string) => Effect.Effect<void, MemoryNotFound | DatabaseError>
    readonly removeAll: (userId: UserId) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Memories,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      const list = Effect.fn("Memories.list")((userId: UserId) =>
        query(
          findAll(
            Memory,
            sql`select id, text, created_at from memories where user_id = ${userId} order by created_at, id`,
          ),
        ),
      )

      const add = Effect.fn("Memories.add")((userId: UserId, id: MemoryId, text: string) => {
        const all = Effect.gen(function* () {
          // Two calls at once must not pass the limit together.
          yield* sql`select 1 from users where id = ${userId} for no key update`
          const known =
            yield* sql`select 1 from memories where user_id = ${userId} and (id = ${id} or text = ${text})`
          if (known.length > 0) return "kept" as const
          const added = yield* sql`insert into memories (id, user_id, text)
            select ${id}, ${userId}, ${text}
            where (select count(*) from memories where user_id = ${userId}) < ${maxMemories}
            returning 1`
          return added.length > 0 ? ("kept" as const) : ("full" as const)
        })
        return transaction(sql, all, { isRepeatable: true })
      })

      const remove = Effect.fn("Memories.remove")(function* (userId: UserId, text: string) {
        const id = yield* Effect.mapError(parseId(MemoryId, text), () => new MemoryNotFound())
        const removed = yield* query(
          sql`delete from memories where id = ${id} and user_id = ${userId} returning 1`,
        )
        if (removed.length === 0) return yield* new MemoryNotFound()
      })

      const removeAll = Effect.fn("Memories.removeAll")((userId: UserId) =>
        Effect.asVoid(query(sql`delete from memories where user_id = ${userId}`)),
      )

      return { list, add, remove, removeAll }
    }),
  )
}

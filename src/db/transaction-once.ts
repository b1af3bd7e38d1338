import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Effect, identity, Option, Schedule, Schema } from "effect"
import type { DatabaseError } from "./errors.ts"
import { query, transaction } from "./postgres.ts"
import { findOne } from "./rows.ts"

const Transaction = Schema.Struct({ id: Schema.String })
const Status = Schema.Struct({ status: Schema.NullOr(Schema.String) })

/** The server may notice the end of a connection, and so of its transaction, late. */
const askAgain = Schedule.spaced("100 millis").pipe(Schedule.upTo("5 seconds"))

/**
 * A transaction whose effect adds up, so that nobody may repeat it after a success. If the answer to its COMMIT is lost, asks
 * PostgreSQL what became of it. Fails also if the database is away for longer than that: then it may be committed.
 */
export const transactionOnce = <A, E, R>(
  sql: SqlClient,
  effect: Effect.Effect<A, E | SqlError, R>,
): Effect.Effect<void, Exclude<E, SqlError> | DatabaseError, R> =>
  Effect.suspend(() => {
    let id = Option.none<string>()
    const noted = Effect.zipRight(
      effect,
      Effect.map(findOne(Transaction, sql`select pg_current_xact_id()::text as id`), (begun) => {
        id = Option.some(begun.id)
      }),
    )
    const isCommitted = (begun: string) =>
      query(findOne(Status, sql`select pg_xact_status(${begun}::text::xid8) as status`)).pipe(
        Effect.filterOrFail(
          ({ status }) => status !== "in progress",
          () => "in progress" as const,
        ),
        Effect.retry(askAgain),
        Effect.match({ onSuccess: ({ status }) => status === "committed", onFailure: () => false }),
      )
    return Effect.catchAll(transaction(sql, noted), (error) =>
      Option.match(id, {
        onNone: () => Effect.fail(error),
        onSome: (begun) => Effect.filterOrFail(isCommitted(begun), identity, () => error),
      }),
    ).pipe(Effect.asVoid)
  })

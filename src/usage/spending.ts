import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Schema } from "effect"
import type { PriceTable } from "../config/prices.ts"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findOne } from "../db/rows.ts"
import { Time, type UserId } from "../schema.ts"
import { amountOf } from "./bill.ts"
import { otherCurrencies } from "./other-currencies.ts"
import { unpricedModels } from "./unpriced.ts"

/** The user's turns of this month cost as much as they may. */
export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  limit: Schema.Number,
  currency: Schema.String,
  /** The begin of the next month. */
  resetsAt: Schema.DateFromSelf,
  /** Seconds until then. */
  retryAfter: Schema.Number,
}) {}

/** What a user may spend in a calendar month in UTC, and has spent. Amounts of the configured currency. */
export interface Month {
  readonly limit: Option.Option<number>
  readonly spent: number
  readonly resetsAt: Date
}

/** `amount`: null: that of the configuration; Infinity: none. */
const Row = Schema.Struct({
  amount: Schema.NullOr(Schema.Number),
  spentNanos: Schema.Number,
  resetsAt: Time,
  retryAfter: Schema.Number,
})

/** The monthly limits of users. */
export class Spending extends Context.Tag("voice-agent/Spending")<
  Spending,
  {
    /** What models cost, and so what counts. */
    readonly prices: PriceTable
    /**
     * Fails if the user has spent the limit. What runs by then is not counted, so that a user passes the limit by the cost of
     * the turns, summaries and transcriptions that run at the same time, at most.
     */
    readonly check: (userId: UserId) => Effect.Effect<void, QuotaExceeded | DatabaseError>
    readonly month: (userId: UserId) => Effect.Effect<Month, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Spending,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const settings = yield* Settings
      const { prices, monthlyLimit } = settings.usage
      yield* Option.match(unpricedModels(settings), {
        onNone: () => Effect.void,
        onSome: (fields) => Effect.annotateLogs(Effect.logWarning("usage.unpriced_models"), fields),
      })
      yield* Effect.ignore(
        Effect.flatMap(
          otherCurrencies(settings),
          Option.match({
            onNone: () => Effect.void,
            onSome: (fields) => Effect.annotateLogs(Effect.logWarning("usage.other_currencies"), fields),
          }),
        ),
      )
      const { currency } = prices
      const month = sql`date_trunc('month', now() at time zone 'UTC')`
      const next = sql`(${month} + interval '1 month') at time zone 'UTC'`

      const read = (userId: UserId) =>
        query(
          findOne(
            Row,
            sql`select (select amount from monthly_limits where user_id = ${userId}) as amount,
              coalesce((select sum(cost_nanos) from usage_days
                where user_id = ${userId} and day >= ${month} and currency = ${currency}), 0)::float8 as spent_nanos,
              ${next} as resets_at, ceil(extract(epoch from ${next} - now()))::float8 as retry_after`,
          ),
        ).pipe(
          Effect.map(({ amount, spentNanos, ...times }) => ({
            ...times,
            limit:
              amount === null
                ? monthlyLimit
                : Option.liftPredicate(amount, (limit) => limit < Number.POSITIVE_INFINITY),
            spent: amountOf(spentNanos),
          })),
        )

      const check = Effect.fn("Spending.check")(function* (userId: UserId) {
        const { limit, spent, resetsAt, retryAfter } = yield* read(userId)
        if (Option.isNone(limit) || spent < limit.value) return
        return yield* new QuotaExceeded({ limit: limit.value, currency, resetsAt, retryAfter })
      })

      return { prices, check, month: Effect.fn("Spending.month")(read) }
    }),
  )
}

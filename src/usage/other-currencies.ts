import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Option, Schema } from "effect"
import type { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"
import { findOne } from "../db/rows.ts"

const Row = Schema.Struct({ currencies: Schema.NullOr(Schema.String), isLimited: Schema.Boolean })

/** What was spent this month in currencies that limits do not count. None: nothing, or there is no limit. */
export const otherCurrencies = Effect.fn("otherCurrencies")(function* ({
  usage: { prices, monthlyLimit },
}: Pick<Settings["Type"], "usage">) {
  const sql = yield* SqlClient.SqlClient
  const { currencies, isLimited } = yield* query(
    findOne(
      Row,
      sql`select string_agg(distinct currency, ', ') as currencies, exists (select from monthly_limits) as "isLimited"
        from usage_days
        where day >= date_trunc('month', now() at time zone 'UTC') and currency <> ${prices.currency} and cost_nanos > 0`,
    ),
  )
  return Option.fromNullable(currencies).pipe(
    Option.filter(() => isLimited || Option.isSome(monthlyLimit)),
    Option.map((currencies) => ({
      currencies,
      hint: `Limits of this month count ${prices.currency} only: what was spent in ${currencies} is not counted. Set the currency of PRICES back, or lower the limits until the next month.`,
    })),
  )
})

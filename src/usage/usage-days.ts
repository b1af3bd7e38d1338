import * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Effect, Encoding, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findAll, findOne } from "../db/rows.ts"
import { transactionOnce } from "../db/transaction-once.ts"
import { type AgentId, type ApiKeyId, UnknownPosition, type Usage, type UserId } from "../schema.ts"
import { amountOf, type Bill, type Consumed, rounded, wholeNanos } from "./bill.ts"

/** Whose usage it is, and what it is counted by. Absent: the agent of the configuration, and no known key. */
export interface Payer {
  readonly userId: UserId
  readonly agentId?: AgentId | undefined
  readonly keyId?: ApiKeyId | undefined
}

/** The statement that adds to the sums of today what has no turn of its own. Each run of it counts: not for `query`. */
export const addUsageOf = (
  sql: SqlClient.SqlClient,
  pg: PgClient.PgClient,
  { userId, agentId, keyId }: Payer,
  { usage, bill }: { readonly usage: Usage; readonly bill?: Bill | undefined },
) => sql`select add_usage(${userId}::uuid, ${agentId ?? null}::uuid, ${keyId ?? null}::uuid, ${bill?.currency ?? null},
    0, ${pg.json(usage)}, ${bill === undefined ? null : wholeNanos(bill)}::bigint)`

export const UsageGroup = Schema.Literal("day", "agent", "key")
export type UsageGroup = typeof UsageGroup.Type

/** Days in UTC, `2026-01-31`, both included. */
export interface UsageRange {
  readonly from: string
  readonly to: string
}

export interface UsagePage {
  readonly groupBy: UsageGroup
  readonly limit: number
  readonly cursor: Option.Option<string>
}

const sums = {
  turns: Schema.Number,
  unpriced: Schema.Number,
  audioSeconds: Schema.Number,
  inputTokens: Schema.Number,
  outputTokens: Schema.Number,
  charactersSpoken: Schema.Number,
  costNanos: Schema.Number,
}
const Sums = Schema.Struct(sums)
/** `group`: a day, the id of an agent or `default`, or the id of a key or nothing. */
const Group = Schema.Struct({ group: Schema.String, name: Schema.NullOr(Schema.String), ...sums })
const Today = Schema.Struct({ today: Schema.String })

/** Null if there was usage, but none of a known price. */
const shown = ({ costNanos, ...counts }: typeof Sums.Type) => ({
  ...counts,
  audioSeconds: rounded(counts.audioSeconds),
  cost: costNanos === 0 && counts.unpriced > 0 ? null : amountOf(costNanos),
})
export type UsageSums = ReturnType<typeof shown>

export interface UsageList {
  readonly groups: ReadonlyArray<UsageSums & Pick<typeof Group.Type, "group" | "name">>
  /** Of all pages. */
  readonly total: UsageSums
  readonly nextCursor: Option.Option<string>
}

/** A day, a UUID, `default`, or nothing. */
const isGroup = (text: string) => /^[\da-z-]{0,36}$/.test(text)

/** What users consumed, day by day, in UTC. */
export class UsageDays extends Context.Tag("voice-agent/UsageDays")<
  UsageDays,
  {
    /** The sums of a user's turns, in ascending order of what they are grouped by. */
    readonly list: (
      userId: UserId,
      range: UsageRange,
      page: UsagePage,
    ) => Effect.Effect<UsageList, UnknownPosition | DatabaseError>
    readonly today: Effect.Effect<string, DatabaseError>
    /** Adds what was consumed outside of turns. */
    readonly add: (payer: Payer, consumed: Consumed) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    UsageDays,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const { currency } = (yield* Settings).usage.prices

      // JSON has no greater whole number that every client reads.
      const whole = (sum: Statement.Fragment) =>
        sql`least(${sum}, ${Number.MAX_SAFE_INTEGER}::bigint)::float8`
      // What was priced in another currency has no cost in this one.
      const columns = sql`sum(turns)::float8 as turns,
        sum(case when currency = ${currency} then unpriced else greatest(turns, unpriced) end)::float8 as unpriced,
        sum(audio_seconds)::float8 as audio_seconds, ${whole(sql`sum(input_tokens)`)} as input_tokens,
        ${whole(sql`sum(output_tokens)`)} as output_tokens,
        ${whole(sql`sum(characters_spoken)`)} as characters_spoken,
        coalesce(sum(cost_nanos) filter (where currency = ${currency}), 0)::float8 as cost_nanos`
      const noSums = { turns: 0, unpriced: 0, audioSeconds: 0, costNanos: 0 }
      const nothing = { ...noSums, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }

      const groups = {
        day: { text: sql`day::text`, name: sql`null::text` },
        agent: {
          text: sql`coalesce(agent_id::text, 'default')`,
          name: sql`(select name from agents where agents.id = (array_agg(agent_id))[1])`,
        },
        key: {
          text: sql`coalesce(key_id::text, '')`,
          name: sql`(select name from api_keys where api_keys.id = (array_agg(key_id))[1])`,
        },
      } as const

      const within = (userId: UserId, { from, to }: UsageRange) =>
        sql`user_id = ${userId} and day between ${from}::date and ${to}::date`

      const list = Effect.fn("UsageDays.list")(function* (
        userId: UserId,
        range: UsageRange,
        { groupBy, limit, cursor }: UsagePage,
      ) {
        const after = yield* Effect.transposeMapOption(cursor, (text) =>
          Effect.filterOrFail(
            Effect.mapError(Encoding.decodeBase64UrlString(text), UnknownPosition.cursor),
            isGroup,
            UnknownPosition.cursor,
          ),
        )
        const { text, name } = groups[groupBy]
        const later = Option.match(after, {
          onNone: () => sql`true`,
          onSome: (last) => sql`${text} > ${last}`,
        })
        const rows = yield* query(
          findAll(
            Group,
            sql`select ${text} as "group", ${name} as name, ${columns} from usage_days
              where ${within(userId, range)} and ${later} group by 1 order by 1 limit ${limit + 1}`,
          ),
        )
        const [total = nothing] = yield* query(
          findAll(
            Sums,
            sql`select ${columns} from usage_days where ${within(userId, range)} having count(*) > 0`,
          ),
        )
        const last = rows.length > limit ? rows[limit - 1] : undefined
        return {
          groups: rows
            .slice(0, limit)
            .map(({ group, name, ...counts }) => ({ group, name, ...shown(counts) })),
          total: shown(total),
          nextCursor: Option.map(Option.fromNullable(last), ({ group }) => Encoding.encodeBase64Url(group)),
        }
      })

      const today = query(findOne(Today, sql`select (now() at time zone 'UTC')::date::text as today`)).pipe(
        Effect.map(({ today }) => today),
      )

      const add = Effect.fn("UsageDays.add")((payer: Payer, consumed: Consumed) =>
        transactionOnce(sql, addUsageOf(sql, pg, payer, consumed)),
      )

      return { list, today, add }
    }),
  )
}

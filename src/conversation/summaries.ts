import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"
import { ItemId, newId, type SessionId, type Usage } from "../schema.ts"
import { toStorable } from "../text/well-formed.ts"
import { sinceSummary } from "./history.ts"
import type { Item } from "./item.ts"

/** How long a process may work on a summary before another one takes the session. */
const summaryLease = Duration.minutes(2)

const Lease = Schema.Struct({ summaryUpTo: Schema.String })

/** The right to save a summary of a session, as long as it lasts. */
export interface SummaryLease {
  readonly sessionId: SessionId
  readonly id: string
}

/**
 * The summaries of sessions. One takes the place of all items up to one of them. The ledger removes it when one of those
 * changes, and ends the lease of a process that has read them.
 */
export class Summaries extends Context.Tag("voice-agent/Summaries")<
  Summaries,
  {
    /**
     * Begins a summary. `plan` gets the present one, if there is one, and the newest `limit` items after it, oldest first. It
     * says how many of these items the new summary will stand for. None: there is nothing to do, another process makes a
     * summary of the session, or it is deleted.
     */
    readonly begin: <Plan extends { readonly covers: number }>(
      sessionId: SessionId,
      limit: number,
      plan: (history: ReadonlyArray<Item>) => Option.Option<Plan>,
    ) => Effect.Effect<Option.Option<{ readonly lease: SummaryLease; readonly plan: Plan }>, DatabaseError>
    /** Saves the summary in place of an earlier one. False if the lease has ended: the items have changed, or it ran out. */
    readonly save: (
      lease: SummaryLease,
      text: string,
      usage: Pick<Usage, "inputTokens" | "outputTokens">,
    ) => Effect.Effect<boolean, DatabaseError>
    /** Ends a lease without a summary. */
    readonly release: (lease: SummaryLease) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Summaries,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient

      const begin: Summaries["Type"]["begin"] = Effect.fn("Summaries.begin")((sessionId, limit, plan) => {
        const all = Effect.gen(function* () {
          const free = yield* sql`select 1 from sessions where id = ${sessionId}
            and (summary_lease is null or summary_lease_until < clock_timestamp()) for no key update`
          if (free.length === 0) return Option.none()
          const history = (yield* sinceSummary(sql, sessionId, limit)).toReversed()
          const items = history.filter(({ payload }) => payload.type !== "summary")
          const planned = plan(history)
          const last = Option.flatMap(planned, ({ covers }) => Option.fromNullable(items[covers - 1]))
          if (Option.isNone(planned) || Option.isNone(last)) return Option.none()
          const lease = { sessionId, id: crypto.randomUUID() }
          yield* sql`update sessions set summary_lease = ${lease.id},
              summary_up_to = (select sequence from items where id = ${last.value.id}),
              summary_lease_until = clock_timestamp() + make_interval(secs => ${Duration.toSeconds(summaryLease)})
            where id = ${sessionId}`
          return Option.some({ lease, plan: planned.value })
        })
        return transaction(sql, all)
      })

      const ended = ({ sessionId, id }: SummaryLease) => sql`update sessions
        set summary_lease = null, summary_lease_until = null
        where id = ${sessionId} and summary_lease = ${id} and summary_lease_until > clock_timestamp()
        returning summary_up_to`

      const save: Summaries["Type"]["save"] = Effect.fn("Summaries.save")((lease, text, usage) => {
        const { sessionId } = lease
        const id = newId(ItemId)
        const payload = pg.json({ text: toStorable(text), usage })
        const all = Effect.gen(function* () {
          const own = yield* findFirst(Lease, ended(lease))
          if (Option.isNone(own)) return false
          yield* sql`delete from items where session_id = ${sessionId} and type = 'summary'`
          // The turn of the last item: a turn that replaces that one removes the summary too.
          const added = yield* sql`insert into items (id, session_id, turn_id, sequence, type, payload)
            select ${id}, session_id, turn_id, sequence, 'summary', ${payload} from items
            where session_id = ${sessionId} and sequence = ${own.value.summaryUpTo}
            returning 1`
          return added.length > 0
        })
        return transaction(sql, all)
      })

      const release = Effect.fn("Summaries.release")((lease: SummaryLease) =>
        Effect.asVoid(query(ended(lease))),
      )

      return { begin, save, release }
    }),
  )
}

import type * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Option, Schema } from "effect"
import { transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { ItemId, SessionId, type TurnId, type UserId } from "../schema.ts"
import { toStorable } from "../text/well-formed.ts"
import { type NewItem, toStorableFields } from "./item.ts"
import { ItemNotFound } from "./model.ts"

/**
 * The items before and after a place in a conversation, in order, as far as a client was shown them. Some may not be stored:
 * items belong after the last one of `earlier` that is. If none of `later` is stored, they belong at the end.
 */
export interface Neighbours {
  readonly earlier: ReadonlyArray<ItemId>
  readonly later: ReadonlyArray<ItemId>
}

/**
 * Where items are added to a conversation. A function is called when the turns ahead have ended: what these have stored
 * decides.
 */
export type ItemPlace = "end" | (() => Neighbours)

/** The part of an assistant's message that the client heard. */
export interface HeardPart {
  readonly text: string
  /** Milliseconds of its audio; null for a message without audio. */
  readonly ms: number | null
  /** False if it is the whole message. */
  readonly interrupted: boolean
}

const Placed = Schema.Struct({ id: ItemId, sequence: Schema.String })
const Position = Schema.Struct({ sessionId: SessionId, sequence: Schema.String })
const Reply = Schema.Struct({ ...Position.fields, text: Schema.String, interrupted: Schema.Boolean })

const atEnd: Neighbours = { earlier: [], later: [] }

/** The ledger's writes to `items`. `append` and `add` run inside a transaction, while no other turn of the session runs. */
export const makeItemWrites = (sql: SqlClient.SqlClient, pg: PgClient.PgClient) => {
  const append = (sessionId: SessionId, turnId: TurnId, items: ReadonlyArray<NewItem>) =>
    Effect.asVoid(
      sql`insert into items ${sql.insert(
        items.map(({ payload: { type, ...payload }, ...item }) => ({
          ...item,
          sessionId,
          turnId,
          type,
          payload: pg.json(toStorableFields(payload)),
        })),
      )}`,
    )

  /** Until the end of the transaction, no summary of the session is begun or saved. Comes before changes of items. */
  const holdSummaries = (of: Statement.Fragment) => sql`select 1 from sessions where ${of} for no key update`

  /**
   * Removes the summary if its sequence is as `covers` says: it stands for an item that has changed. Ends the work on such a
   * summary.
   */
  const dropSummary = (sessionId: SessionId, covers: (sequence: Statement.Fragment) => Statement.Fragment) =>
    Effect.zipRight(
      sql`update sessions set summary_lease = null
        where id = ${sessionId} and summary_lease is not null and ${covers(sql`summary_up_to`)}`,
      sql`delete from items where session_id = ${sessionId} and type = 'summary' and ${covers(sql`sequence`)}`,
    )
  const upTo = (position: string) => (sequence: Statement.Fragment) => sql`${sequence} >= ${position}::bigint`
  const after = (position: string) => (sequence: Statement.Fragment) => sql`${sequence} > ${position}::bigint`
  const every = () => sql`true`

  /** Removes the items of a turn that another one replaces. */
  const removeOf = Effect.fnUntraced(function* (turnId: TurnId) {
    const session = sql`(select session_id from turns where id = ${turnId})`
    yield* holdSummaries(sql`id = ${session}`)
    const first = yield* findFirst(
      Position,
      sql`select session_id, min(sequence) as sequence from items
        where turn_id = ${turnId} and session_id = ${session} group by session_id`,
    )
    if (Option.isNone(first)) return
    const { sessionId, sequence } = first.value
    yield* dropSummary(sessionId, upTo(sequence))
    yield* sql`delete from items where turn_id = ${turnId} and session_id = ${sessionId}`
  })

  /** Moves items, which are the last ones, before all others. */
  const moveToStart = (sessionId: SessionId, ids: ReadonlyArray<ItemId>) =>
    sql`update items set sequence = placed.sequence
      from (
        select id, first.sequence - row_number() over (order by mine.sequence desc) as sequence
        from items as mine,
          (select sequence from items where session_id = ${sessionId} order by items.sequence limit 1) as first
        where ${sql.in("id", ids)}
      ) as placed
      where items.id = placed.id`

  /** Moves a turn's items, which are the last ones, after the position. Later items are renumbered. */
  const moveAfter = (sessionId: SessionId, turnId: TurnId, position: string) =>
    sql`with later as (
        select id, sequence, row_number() over (order by sequence) as place,
          row_number() over (order by turn_id <> ${turnId}, sequence) as new_place
        from items where session_id = ${sessionId} and sequence > ${position}
      )
      update items set sequence = target.sequence
      from later join later as target on target.place = later.new_place
      where items.id = later.id and items.sequence <> target.sequence`

  /** Adds items at a place in the conversation. */
  const add = Effect.fnUntraced(function* (
    sessionId: SessionId,
    turnId: TurnId,
    items: ReadonlyArray<NewItem>,
    place: ItemPlace,
  ) {
    yield* append(sessionId, turnId, items)
    const { earlier, later } = place === "end" ? atEnd : place()
    if (later.length === 0) return
    const neighbours = yield* findAll(
      Placed,
      sql`select id, sequence from items
        where session_id = ${sessionId} and ${sql.in("id", [...earlier, ...later])}`,
    )
    const stored = new Map(neighbours.map(({ id, sequence }) => [id, sequence]))
    if (!later.some((id) => stored.has(id))) return
    const before = earlier.findLast((id) => stored.has(id))
    const position = before === undefined ? undefined : stored.get(before)
    const ids = items.map(({ id }) => id)
    // Adding the items has locked the session's row, as `holdSummaries` does.
    yield* dropSummary(sessionId, position === undefined ? every : after(position))
    yield* position === undefined ? moveToStart(sessionId, ids) : moveAfter(sessionId, turnId, position)
  })

  const truncate = Effect.fn("Ledger.truncate")(
    (userId: UserId, itemId: ItemId, { text, ms, interrupted }: HeardPart) => {
      const reply = findFirst(
        Reply,
        sql`select session_id, sequence, payload ->> 'text' as text, interrupted
          from items join sessions on sessions.id = session_id
          where items.id = ${itemId} and user_id = ${userId}
            and type = 'message' and payload ->> 'role' = 'assistant'`,
      )
      const all = Effect.gen(function* () {
        yield* holdSummaries(
          sql`id = (select session_id from items where id = ${itemId}) and user_id = ${userId}`,
        )
        const found = yield* reply
        if (Option.isNone(found)) return yield* new ItemNotFound()
        const { sessionId, sequence, ...before } = found.value
        const heard = toStorable(text)
        yield* sql`update items
          set payload = payload || ${pg.json({ text: heard })}::jsonb, interrupted = ${interrupted}, heard_ms = ${ms}
          where id = ${itemId}`
        const isSame = before.text === heard && before.interrupted === interrupted
        if (!isSame) yield* dropSummary(sessionId, upTo(sequence))
      })
      return transaction(sql, all, { isRepeatable: true })
    },
  )

  const removeItem = Effect.fn("Ledger.removeItem")(
    (userId: UserId, sessionId: SessionId, itemId: ItemId) => {
      const removed = findFirst(
        Position,
        sql`delete from items using sessions
        where items.id = ${itemId} and session_id = ${sessionId} and sessions.id = session_id and user_id = ${userId}
        returning session_id, sequence`,
      )
      const all = Effect.gen(function* () {
        yield* holdSummaries(sql`id = ${sessionId} and user_id = ${userId}`)
        const item = yield* removed
        if (Option.isNone(item)) return yield* new ItemNotFound()
        yield* dropSummary(sessionId, upTo(item.value.sequence))
      })
      return transaction(sql, all, { isRepeatable: true })
    },
  )

  return { append, add, removeOf, truncate, removeItem }
}

import type * as SqlClient from "@effect/sql/SqlClient"
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Schema } from "effect"
import { query } from "../db/postgres.ts"
import { findAll } from "../db/rows.ts"
import { ItemId, type SessionId, type TurnId, type UserId } from "../schema.ts"
import { type NewItem, toStorable } from "./item.ts"
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
          payload: pg.json(toStorable(payload)),
        })),
      )}`,
    )

  /** Removes the items of a turn that another one replaces. */
  const removeOf = (turnId: TurnId) =>
    Effect.asVoid(
      sql`delete from items where turn_id = ${turnId}
        and session_id = (select session_id from turns where id = ${turnId})`,
    )

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
    yield* position === undefined ? moveToStart(sessionId, ids) : moveAfter(sessionId, turnId, position)
  })

  const truncate = Effect.fn("Ledger.truncate")(function* (
    userId: UserId,
    itemId: ItemId,
    { text, ms, interrupted }: HeardPart,
  ) {
    const changed = sql`update items
      set payload = payload || ${pg.json(toStorable({ text }))}::jsonb, interrupted = ${interrupted}, heard_ms = ${ms}
      from sessions
      where items.id = ${itemId} and sessions.id = session_id and user_id = ${userId}
        and type = 'message' and payload ->> 'role' = 'assistant'
      returning 1`
    if ((yield* query(changed)).length === 0) return yield* new ItemNotFound()
  })

  const removeItem = Effect.fn("Ledger.removeItem")(function* (
    userId: UserId,
    sessionId: SessionId,
    itemId: ItemId,
  ) {
    const removed = sql`delete from items using sessions
      where items.id = ${itemId} and session_id = ${sessionId} and sessions.id = session_id and user_id = ${userId}
      returning 1`
    if ((yield* query(removed)).length === 0) return yield* new ItemNotFound()
  })

  return { append, add, removeOf, truncate, removeItem }
}

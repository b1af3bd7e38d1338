import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Either, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import type { ToolCall } from "../providers/tools.ts"
import { AgentId, parseId, SessionId, TurnId, type UserId } from "../schema.ts"
import {
  type CalledItem,
  type CallsRefusal,
  type GivenResult,
  openCalls,
  resultsToAdd,
} from "./call-results.ts"
import { ItemPayload } from "./item.ts"
import { SessionNotFound } from "./model.ts"
import { agentOfColumns, type SessionAgent, TurnNotFound, TurnState } from "./stored-turn.ts"

/** Items read from a turn's first call on, or at the end of a session: far more than a turn's calls and their results. */
const maxItems = 1000

const TurnRow = Schema.Struct({
  id: TurnId,
  sessionId: SessionId,
  agentId: Schema.NullOr(AgentId),
  agentVersion: Schema.NullOr(Schema.Int),
})
const CalledTurn = Schema.Struct({ turnId: TurnId })
const CalledRow = Schema.Struct({
  turnId: TurnId,
  state: Schema.NullOr(TurnState),
  payload: ItemPayload,
})

/** A turn whose calls a client may bring results for. */
export interface CallingTurn {
  readonly id: TurnId
  readonly sessionId: SessionId
  /** None: that of the configuration. */
  readonly agent: Option.Option<SessionAgent>
}

/** The calls that wait for the client. */
export interface OpenCalls {
  /** None: no call is open. */
  readonly turnId: Option.Option<TurnId>
  readonly calls: ReadonlyArray<ToolCall>
}

/** The calls that turns leave to their clients. Ids are the texts that a client sent. */
export class ClientCalls extends Context.Tag("voice-agent/ClientCalls")<
  ClientCalls,
  {
    readonly turn: (
      userId: UserId,
      turnId: string,
    ) => Effect.Effect<CallingTurn, TurnNotFound | DatabaseError>
    /** The calls of the session that still wait for a result. */
    readonly open: (
      userId: UserId,
      sessionId: string,
    ) => Effect.Effect<OpenCalls, SessionNotFound | DatabaseError>
    /**
     * The results that have to be added to the conversation; those of an earlier try are there already. To be called while no
     * other turn of the session runs. `replaced`: a turn whose items do not count.
     */
    readonly accept: (
      sessionId: SessionId,
      turnId: TurnId,
      results: ReadonlyArray<GivenResult>,
      replaced: Option.Option<TurnId>,
    ) => Effect.Effect<ReadonlyArray<GivenResult>, CallsRefusal | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    ClientCalls,
    Effect.map(SqlClient.SqlClient, (sql) => {
      const turn = Effect.fn("ClientCalls.turn")(function* (userId: UserId, text: string) {
        const id = yield* Effect.mapError(parseId(TurnId, text), () => new TurnNotFound())
        const found = yield* query(
          findFirst(
            TurnRow,
            sql`select id, session_id, agent_id, agent_version from turns where id = ${id} and user_id = ${userId}`,
          ),
        )
        if (Option.isNone(found)) return yield* new TurnNotFound()
        const { sessionId } = found.value
        return { id, sessionId, agent: agentOfColumns(found.value) }
      })

      const since = (sessionId: SessionId, turnId: TurnId, replaced: Option.Option<TurnId>) =>
        query(
          findAll(
            CalledRow,
            sql`select turn_id, state, payload || jsonb_build_object('type', type) as payload
              from items left join turns on turns.id = turn_id
              where items.session_id = ${sessionId}
                and items.sequence >= (select min(first.sequence) from items as first
                  where first.session_id = ${sessionId} and first.turn_id = ${turnId} and first.type = 'tool_call')
                and turn_id is distinct from ${Option.getOrNull(replaced)}::uuid
              order by items.sequence limit ${maxItems}`,
          ),
        )

      const open = Effect.fn("ClientCalls.open")(function* (userId: UserId, text: string) {
        const id = yield* Effect.mapError(parseId(SessionId, text), () => new SessionNotFound())
        const owned = yield* query(sql`select 1 from sessions where id = ${id} and user_id = ${userId}`)
        if (owned.length === 0) return yield* new SessionNotFound()
        const last = yield* query(
          findFirst(
            CalledTurn,
            sql`select turn_id from (
                select turn_id, type, payload, sequence from items where session_id = ${id}
                order by sequence desc limit ${maxItems}
              ) as latest
              where type = 'tool_call' and payload ->> 'runBy' is null order by sequence desc limit 1`,
          ),
        )
        const none: OpenCalls = { turnId: Option.none(), calls: [] }
        if (Option.isNone(last)) return none
        const { turnId } = last.value
        const items: ReadonlyArray<CalledItem> = yield* since(id, turnId, Option.none())
        const calls = openCalls(items, turnId)
        return calls.length === 0 ? none : { turnId: Option.some(turnId), calls }
      })

      const accept: ClientCalls["Type"]["accept"] = Effect.fn("ClientCalls.accept")(
        function* (sessionId, turnId, results, replaced) {
          const items = yield* since(sessionId, turnId, replaced)
          return yield* Either.match(resultsToAdd(items, turnId, results), {
            onLeft: Effect.fail,
            onRight: Effect.succeed,
          })
        },
      )

      return { turn, open, accept }
    }),
  )
}

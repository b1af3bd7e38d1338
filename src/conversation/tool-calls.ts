import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"
import type { ItemId, TurnId } from "../schema.ts"
import { toStorable } from "../text/well-formed.ts"
import { withToolEvent } from "../webhooks/outbox.ts"
import { WebhookSignal } from "../webhooks/signal.ts"
import { SessionNotFound } from "./model.ts"
import type { CallResult, RecordedCall, RecordedInput, RecordedRound } from "./rounds.ts"
import { TurnCancelled, TurnLost } from "./stored-turn.ts"

/** A round whose calls are about to be made. */
export interface BegunRound extends RecordedRound, RecordedInput {
  readonly turnId: TurnId
  /** From 0. */
  readonly round: number
}

const Refused = Schema.Struct({ isCancelled: Schema.Boolean })

const valuesOf = (result: RecordedCall["result"]) => {
  const { itemId, output, isError } = Option.getOrElse(result, () => ({
    itemId: null,
    output: null,
    isError: null,
  }))
  return { resultId: itemId, output: output === null ? null : toStorable(output), isError }
}

/** The record of the tool calls of running turns, which outlives the process that makes the calls. */
export class ToolCalls extends Context.Tag("voice-agent/ToolCalls")<
  ToolCalls,
  {
    /**
     * Records a round with its calls. Only then may the calls be made. Fails if the turn may not go on: its lease ran out, or
     * it was cancelled or deleted. May be repeated.
     */
    readonly begin: (
      round: BegunRound,
    ) => Effect.Effect<void, SessionNotFound | TurnCancelled | DatabaseError>
    /** Records what came back of the call with this item. The first result stays. */
    readonly finish: (call: ItemId, result: CallResult) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    ToolCalls,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { wakeIf } = yield* WebhookSignal

      const refusal = Effect.fnUntraced(function* (turnId: TurnId) {
        const found = yield* findFirst(
          Refused,
          sql`select cancel_requested and lease_until > clock_timestamp() as is_cancelled from turns where id = ${turnId}`,
        )
        if (Option.isNone(found)) return yield* new SessionNotFound()
        if (found.value.isCancelled) return yield* new TurnCancelled()
        return yield* new DatabaseUnavailable({ cause: new TurnLost() })
      })

      const begin = Effect.fn("ToolCalls.begin")(({ turnId, round, calls, ...begun }: BegunRound) => {
        // The lock keeps a cancellation, and a turn that takes over, until the calls are there.
        const allowed = sql`select 1 from turns where id = ${turnId} and state = 'running'
          and lease_until > clock_timestamp() and not cancel_requested for share`
        const transcript = Option.getOrNull(Option.map(begun.transcript, toStorable))
        const row = {
          turnId,
          round,
          transcript,
          // Once for the turn. Every turn with rounds has the first one.
          brought: JSON.stringify(round === 0 ? begun.brought : []),
          messageId: begun.messageId,
          text: toStorable(begun.text),
        }
        const rows = calls.map(({ itemId, callId, name, by, result, ...call }, place) => ({
          id: itemId,
          turnId,
          round,
          place,
          callId,
          name,
          arguments: toStorable(call.arguments),
          runBy: by,
          ...valuesOf(result),
        }))
        const all = Effect.gen(function* () {
          if ((yield* allowed).length === 0) return yield* refusal(turnId)
          yield* sql`insert into turn_rounds ${sql.insert(row)} on conflict do nothing`
          yield* sql`insert into tool_calls ${sql.insert(rows)} on conflict do nothing`
        })
        return transaction(sql, all, { isRepeatable: true })
      })

      const finish = Effect.fn("ToolCalls.finish")((call: ItemId, result: CallResult) =>
        query(
          withToolEvent(
            sql,
            sql`update tool_calls set ${sql.update(valuesOf(Option.some(result)))}, ended_at = now()
              where id = ${call} and result_id is null returning *`,
          ),
        ).pipe(Effect.flatMap((deliveries) => wakeIf(deliveries.length > 0))),
      )

      return { begin, finish }
    }),
  ).pipe(Layer.provide(WebhookSignal.layer))
}

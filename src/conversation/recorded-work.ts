import type * as SqlClient from "@effect/sql/SqlClient"
import { Array as Arr, Effect, Option, Schema } from "effect"
import { query } from "../db/postgres.ts"
import { findAll } from "../db/rows.ts"
import { ItemId, type TurnId } from "../schema.ts"
import type { RecordedCall, RecordedWork } from "./rounds.ts"

const RoundRow = Schema.Struct({
  round: Schema.Number,
  transcript: Schema.NullOr(Schema.String),
  brought: Schema.Array(Schema.Struct({ itemId: ItemId, callId: Schema.String, output: Schema.String })),
  messageId: ItemId,
  text: Schema.String,
})
const CallRow = Schema.Struct({
  id: ItemId,
  round: Schema.Number,
  callId: Schema.String,
  name: Schema.String,
  arguments: Schema.String,
  runBy: Schema.Literal("client", "service"),
  resultId: Schema.NullOr(ItemId),
  output: Schema.NullOr(Schema.String),
  isError: Schema.NullOr(Schema.Boolean),
})
const resultOf = ({ resultId, output, isError }: typeof CallRow.Type): RecordedCall["result"] =>
  resultId === null || output === null || isError === null
    ? Option.none()
    : Option.some({ itemId: resultId, output, isError })

const callOf = (row: typeof CallRow.Type): RecordedCall => ({
  itemId: row.id,
  callId: row.callId,
  name: row.name,
  arguments: row.arguments,
  by: row.runBy,
  result: resultOf(row),
})

/** What a turn has done so far, also before it took over from another one. None: no round is recorded. */
export const readWork = Effect.fn("readWork")(function* (sql: SqlClient.SqlClient, turnId: TurnId) {
  const rounds = yield* query(
    findAll(
      RoundRow,
      sql`select round, transcript, brought, message_id, text from turn_rounds where turn_id = ${turnId} order by round`,
    ),
  )
  if (!Arr.isNonEmptyReadonlyArray(rounds)) return Option.none()
  const calls = yield* query(
    findAll(
      CallRow,
      sql`select id, round, call_id, name, arguments, run_by, result_id, output, is_error
        from tool_calls where turn_id = ${turnId} order by round, place`,
    ),
  )
  return Option.some<RecordedWork>({
    transcript: Option.fromNullable(rounds[0].transcript),
    brought: rounds[0].brought,
    rounds: rounds.map(({ round, messageId, text }) => ({
      messageId,
      text,
      calls: calls.filter((call) => call.round === round).map(callOf),
    })),
  })
})

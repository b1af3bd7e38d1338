import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import { Array as Arr, Effect, type Option, Schema } from "effect"

type Rows<R> = Effect.Effect<ReadonlyArray<unknown>, SqlError, R>

/**
 * The rows of a statement, decoded. `schema` describes them as the driver returns them (a timestamp is a Date), so its
 * type side is used. Rows of another shape are a defect: the statement and the schema disagree.
 */
export const findAll = <A, I, R>(
  schema: Schema.Schema<A, I>,
  statement: Rows<R>,
): Effect.Effect<ReadonlyArray<A>, SqlError, R> =>
  SqlSchema.findAll({
    Request: Schema.Void,
    Result: Schema.typeSchema(schema),
    execute: () => statement,
  })(undefined).pipe(Effect.catchTag("ParseError", Effect.die))

/** The first row, decoded; None where there is no row. */
export const findFirst = <A, I, R>(
  schema: Schema.Schema<A, I>,
  statement: Rows<R>,
): Effect.Effect<Option.Option<A>, SqlError, R> => Effect.map(findAll(schema, statement), Arr.head)

/** The first row of a statement that always returns one. */
export const findOne = <A, I, R>(
  schema: Schema.Schema<A, I>,
  statement: Rows<R>,
): Effect.Effect<A, SqlError, R> =>
  Effect.flatMap(findFirst(schema, statement), (row) =>
    Effect.orElse(row, () => Effect.dieMessage("a statement that always returns a row returned none")),
  )

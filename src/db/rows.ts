import type { SqlError } from "@effect/sql/SqlError"
import { Array as Arr, Effect, Either, type Option, Schema } from "effect"

type Rows<R> = Effect.Effect<ReadonlyArray<unknown>, SqlError, R>

/**
 * The rows of a statement, decoded. `schema` describes them as the driver returns them (a timestamp is a Date), so its
 * type side is used. Rows of another shape are a defect: the statement and the schema disagree. Row by row: Effect keeps the
 * compiled decoder of a schema, and would compile one for the array with each statement.
 */
export const findAll = <A, I, R>(
  schema: Schema.Schema<A, I>,
  statement: Rows<R>,
): Effect.Effect<ReadonlyArray<A>, SqlError, R> => {
  const decode = Schema.validateEither(schema)
  return Effect.flatMap(statement, (rows) =>
    Either.match(Either.all(rows.map((row) => decode(row))), {
      onLeft: Effect.die,
      onRight: Effect.succeed,
    }),
  )
}

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

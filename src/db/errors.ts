import { SqlError } from "@effect/sql/SqlError"
import { Effect, Predicate, Schema } from "effect"

/** The database can't be reached, is starting or stopping, or has no connection to spare. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  cause: Schema.Defect,
}) {}

/** A rule of the schema refused a row. */
export class ConstraintViolated extends Schema.TaggedError<ConstraintViolated>()("ConstraintViolated", {
  constraint: Schema.String,
  cause: Schema.Defect,
}) {}

export type DatabaseError = DatabaseUnavailable | ConstraintViolated

export const isSqlError = (error: unknown): error is SqlError => error instanceof SqlError

/** The SQLSTATE of a failed statement; undefined where no server answered (a lost or refused connection). */
const sqlState = (error: SqlError): string | undefined =>
  Predicate.hasProperty(error.cause, "code") &&
  typeof error.cause.code === "string" &&
  /^[0-9A-Z]{5}$/.test(error.cause.code)
    ? error.cause.code
    : undefined

/** Class 08: connection; 53: no resources; 57P: shutting down, crashed, starting. */
const isUnavailable = (state: string | undefined) =>
  state === undefined || state.startsWith("08") || state.startsWith("53") || state.startsWith("57P")

/** What sql-pg says where the pool gave no connection; its error carries nothing else to tell that by. */
const notAcquired = "Failed to acquire connection"

/** A connection that was there and broke, which another may replace; not one that could not be had at all. */
export const isConnectionLost = (error: unknown): boolean =>
  isSqlError(error) && isUnavailable(sqlState(error)) && error.message.startsWith(notAcquired) === false

/** The server is away or starting, so that a later try may succeed. */
export const isDatabaseAway = (error: SqlError) => isUnavailable(sqlState(error))

/** Gives what a caller can act on a type; all else (a wrong statement, say) is a defect. */
export const translateSqlError = (error: SqlError): Effect.Effect<never, DatabaseError> => {
  const state = sqlState(error)
  if (isUnavailable(state)) return new DatabaseUnavailable({ cause: error })
  if (state?.startsWith("23") === true) {
    const constraint =
      Predicate.hasProperty(error.cause, "constraint") && typeof error.cause.constraint === "string"
        ? error.cause.constraint
        : "unknown"
    return new ConstraintViolated({ constraint, cause: error })
  }
  return Effect.die(error)
}

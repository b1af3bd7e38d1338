import { SqlError } from "@effect/sql/SqlError"
import { Effect, Predicate, Schema } from "effect"

/** The database can't be reached, is starting or stopping, has no connection to spare, or undid what was asked. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  cause: Schema.Defect,
}) {}

/** A rule of the schema refused a row. */
export class ConstraintViolated extends Schema.TaggedError<ConstraintViolated>()("ConstraintViolated", {
  /** Its name; of a column that must not be null, that of the column. */
  constraint: Schema.String,
  cause: Schema.Defect,
}) {}

export type DatabaseError = DatabaseUnavailable | ConstraintViolated

export const isSqlError = (error: unknown): error is SqlError => error instanceof SqlError

/**
 * The SQLSTATE of a failed statement; undefined where no server answered (a lost or refused connection). Only a
 * server's words have a severity: a code alone may be the system's, such as EPIPE.
 */
const sqlState = (error: SqlError): string | undefined =>
  Predicate.hasProperty(error.cause, "severity") &&
  Predicate.hasProperty(error.cause, "code") &&
  typeof error.cause.code === "string"
    ? error.cause.code
    : undefined

/**
 * Nothing is wrong with the statement, and later or on another server it may be carried out. Classes 08: connection; 53:
 * no resources; 57P: shutting down, crashed, starting; 58: its disk. By themselves 25006: a standby, which only reads;
 * 25P03: idle for too long; 55P03: waited for longer than its operator allows.
 */
const unavailable = /^(08|53|57P|58|25006|25P03|55P03)/

const isUnavailable = (state: string | undefined) => state === undefined || unavailable.test(state)

/** What sql-pg says where the pool gave no connection; its error carries nothing else to tell that by. */
const isNotAcquired = (error: SqlError) => error.message.startsWith("Failed to acquire connection")

/** A connection that was there and broke, which another may replace; not one that could not be had at all. */
export const isConnectionLost = (error: unknown): boolean =>
  isSqlError(error) && isUnavailable(sqlState(error)) && !isNotAcquired(error)

/** The server is away or starting, so that a later try may succeed. */
export const isDatabaseAway = (error: SqlError) => isUnavailable(sqlState(error))

/**
 * The server undid the statement, and the transaction around it: class 40, as of two that wait for each other; or 57014,
 * cancelled, by its operator, his statement_timeout, or in place of another. The library cancels the statement of a caller who left by the number
 * of its connection, and on that the next one may run by then.
 */
export const isRolledBack = (error: unknown): boolean => {
  const state = isSqlError(error) ? sqlState(error) : undefined
  return state === "57014" || state?.startsWith("40") === true
}

/** What the server names as concerned. Its words, by contrast, may quote what was to be stored. */
const nameOf = ({ cause }: SqlError, what: "constraint" | "column"): string | undefined => {
  const name = Predicate.hasProperty(cause, what) ? cause[what] : undefined
  return typeof name === "string" ? name : undefined
}

/** Gives what a caller can act on a type; all else (a wrong statement, say) is a defect. */
export const translateSqlError = (error: SqlError): Effect.Effect<never, DatabaseError> => {
  const state = sqlState(error)
  // Without a connection it is away, whatever the server said: a changed password, say, or a dropped database.
  if (isUnavailable(state) || isNotAcquired(error) || isRolledBack(error)) {
    return new DatabaseUnavailable({ cause: error })
  }
  if (state?.startsWith("23") === true) {
    const constraint = nameOf(error, "constraint") ?? nameOf(error, "column") ?? "unknown"
    return new ConstraintViolated({ constraint, cause: error })
  }
  return Effect.die(error)
}

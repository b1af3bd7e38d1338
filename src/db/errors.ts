import { SqlError } from "@effect/sql/SqlError"
import { Effect, Predicate, Schema } from "effect"

/** The database cannot be used. `message` says why, and what to do. */
export class DatabaseNotReady extends Schema.TaggedError<DatabaseNotReady>()("DatabaseNotReady", {
  message: Schema.String,
}) {}

/** The database cannot be reached, is starting or stopping, has no free connection, or rolled the work back. */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>()("DatabaseUnavailable", {
  cause: Schema.Defect,
}) {
  /** For the log, such as `certificate has expired`. These errors quote no stored values. */
  get reason(): string {
    const cause = this.cause instanceof SqlError ? this.cause.cause : this.cause
    return cause instanceof Error ? cause.message || cause.name : `${cause}`
  }
}

/** A constraint of the schema rejected a row. */
export class ConstraintViolated extends Schema.TaggedError<ConstraintViolated>()("ConstraintViolated", {
  /** The name of the constraint; for a NOT NULL violation, the name of the column. */
  constraint: Schema.String,
  cause: Schema.Defect,
}) {}

export type DatabaseError = DatabaseUnavailable | ConstraintViolated

export const isSqlError = (error: unknown): error is SqlError => error instanceof SqlError

/**
 * The SQLSTATE of a failed statement; undefined if no server answered (a lost or refused connection). Only errors of a
 * server have a severity; an error with a code alone may be the system's, such as EPIPE.
 */
export const sqlState = (error: SqlError): string | undefined =>
  Predicate.hasProperty(error.cause, "severity") &&
  Predicate.hasProperty(error.cause, "code") &&
  typeof error.cause.code === "string"
    ? error.cause.code
    : undefined

/**
 * SQLSTATEs of a valid statement that may succeed later, or on another server. Classes: 08 connection; 53 insufficient
 * resources; 57P shutting down, crashed or starting; 58 system error, such as the disk's. Single codes: 25006 read-only
 * standby; 25P03 idle_in_transaction_session_timeout; 55P03 lock_timeout.
 */
const unavailable = /^(08|53|57P|58|25006|25P03|55P03)/

const isUnavailable = (state: string | undefined) => state === undefined || unavailable.test(state)

/** The pool gave no connection. The message of sql-pg's error is the only sign of it. */
const isNotAcquired = (error: SqlError) => error.message.startsWith("Failed to acquire connection")

/** An open connection broke, so a retry on another one may succeed. False if no connection could be opened. */
export const isConnectionLost = (error: unknown): boolean =>
  isSqlError(error) && isUnavailable(sqlState(error)) && !isNotAcquired(error)

/** The message if something else answers than PostgreSQL. */
export const notPostgres = "what answers there is not PostgreSQL"

/**
 * Codes of the system: no such name (yet), no route, refused, reset, timed out, no such socket, out of descriptors. Not
 * those of TLS, which begin with ERR_, CERT_ and the like.
 */
const passingCode = /^(DNS_)?E(?!RR_|ACCES$|PERM$|PROTO$|INVAL$)[A-Z_]+$/

/**
 * pg's own errors have no code. Its others, such as a missing password, do not pass. A server that cannot start a process
 * for a new connection answers the question for TLS with an error.
 */
const passingMessage = /^($|timeout|Connection terminated|no answer|There was an error establishing an SSL)/

/**
 * PgBouncer reports everything as 08P01, also a database or user that it does not know and a parameter that it does not
 * take.
 */
const refusedByPooler =
  /^(no such (database|user)|unsupported startup parameter|password authentication failed)/

const messageOf = ({ cause }: SqlError) =>
  Predicate.hasProperty(cause, "message") && typeof cause.message === "string" ? cause.message : ""

/** The server cannot be reached or is starting, so a later attempt may succeed. */
export const isDatabaseAway = (error: SqlError) => {
  const state = sqlState(error)
  if (state !== undefined) {
    return unavailable.test(state) && !(state === "08P01" && refusedByPooler.test(messageOf(error)))
  }
  return Predicate.hasProperty(error.cause, "code") && typeof error.cause.code === "string"
    ? passingCode.test(error.cause.code)
    : passingMessage.test(messageOf(error))
}

/**
 * The server rolled the transaction back: class 40, such as a deadlock, or 57014, a cancelled statement. A statement is
 * cancelled by an operator, by statement_timeout, or by mistake: sql-pg cancels the statement of an interrupted fiber by
 * the pid of its connection, which may run the next statement by then.
 */
export const isRolledBack = (error: unknown): boolean => {
  const state = isSqlError(error) ? sqlState(error) : undefined
  return state === "57014" || state?.startsWith("40") === true
}

/** The name of the constraint or column. The error's message and detail may quote stored values, so they are not used. */
const nameOf = ({ cause }: SqlError, what: "constraint" | "column"): string | undefined => {
  const name = Predicate.hasProperty(cause, what) ? cause[what] : undefined
  return typeof name === "string" ? name : undefined
}

/** Translates the failures that a caller can act on. All others, such as an invalid statement, are defects. */
export const translateSqlError = (error: SqlError): Effect.Effect<never, DatabaseError> => {
  const state = sqlState(error)
  // Without a connection the database is unavailable, whatever the reason, such as a changed password.
  if (isUnavailable(state) || isNotAcquired(error) || isRolledBack(error)) {
    return new DatabaseUnavailable({ cause: error })
  }
  if (state?.startsWith("23") === true) {
    const constraint = nameOf(error, "constraint") ?? nameOf(error, "column") ?? "unknown"
    return new ConstraintViolated({ constraint, cause: error })
  }
  return Effect.die(error)
}

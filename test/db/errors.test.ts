import { describe, expect, test } from "bun:test"
import { SqlError } from "@effect/sql/SqlError"
import { Effect, Exit } from "effect"
import { isConnectionLost, isDatabaseAway, isRolledBack, translateSqlError } from "../../src/db/errors.ts"

/** An error of the driver, with its extra fields. */
const thrown = (members: object, message = "it failed") => Object.assign(new Error(message), members)
const failed = (cause: unknown, message = "Failed to execute statement") => new SqlError({ cause, message })
/** An error of the server: it always has a severity. */
const answered = (code: string, more: object = {}) => failed(thrown({ code, severity: "ERROR", ...more }))
const translated = (error: SqlError) =>
  Exit.match(Effect.runSyncExit(Effect.flip(translateSqlError(error))), {
    onSuccess: ({ _tag }) => _tag,
    onFailure: ({ _tag }) => _tag,
  })

describe("without a server's answer: unavailable and away", () => {
  test.each([
    ["ECONNREFUSED", failed(thrown({ code: "ECONNREFUSED", errno: -111 }))],
    ["ECONNRESET", failed(thrown({ code: "ECONNRESET" }))],
    // As long as an SQLSTATE.
    ["EPIPE", failed(thrown({ code: "EPIPE", syscall: "write" }))],
    ["ENOTFOUND", failed(thrown({ code: "ENOTFOUND" }))],
    ["a connection that ended", failed(new Error("Connection terminated unexpectedly"))],
    [
      "a timeout",
      failed(new Error("timeout exceeded when trying to connect"), "Failed to acquire connection"),
    ],
    ["no cause", failed(undefined)],
  ])("%s", (_, error) => {
    expect(translated(error)).toBe("DatabaseUnavailable")
    expect(isDatabaseAway(error)).toBe(true)
  })
})

test.each([
  ["08006", "connection failure"],
  ["53300", "too many connections"],
  ["53200", "out of memory"],
  ["57P01", "shut down by its administrator"],
  ["57P02", "crashed"],
  ["57P03", "starting"],
  ["25006", "read-only standby"],
  ["55P03", "lock_timeout"],
  ["58030", "disk failure"],
])("SQLSTATE %s (%s): unavailable and away", (code) => {
  const error = answered(code)
  expect(translated(error)).toBe("DatabaseUnavailable")
  expect(isDatabaseAway(error)).toBe(true)
})

test.each([
  ["28P01", "the password was changed"],
  ["3D000", "the database was dropped"],
  ["42501", "the user may not connect"],
])("SQLSTATE %s (%s) when connecting: unavailable, not away", (code) => {
  for (const message of ["Failed to acquire connection", "Failed to acquire connection for transaction"]) {
    const error = failed(thrown({ code, severity: "FATAL" }), message)
    expect(translated(error)).toBe("DatabaseUnavailable")
    expect(isDatabaseAway(error)).toBe(false)
    expect(isConnectionLost(error)).toBe(false)
  }
})

test.each(["23502", "23503", "23505", "23514"])("SQLSTATE %s: ConstraintViolated", (code) => {
  const error = Effect.runSync(
    Effect.flip(translateSqlError(answered(code, { constraint: "users_email_key" }))),
  )
  expect(error).toMatchObject({ _tag: "ConstraintViolated", constraint: "users_email_key" })
})

test("a NOT NULL violation names the column", () => {
  const error = Effect.runSync(Effect.flip(translateSqlError(answered("23502", { column: "email" }))))
  expect(error).toMatchObject({ _tag: "ConstraintViolated", constraint: "email" })
})

test.each(["42P01", "42601", "22P02", "22021", "XX000", "P0001"])("SQLSTATE %s: defect", (code) => {
  expect(translated(answered(code))).toBe("Die")
})

test.each([
  ["40P01", "deadlock"],
  ["40001", "serialization failure"],
  ["57014", "cancelled by an operator or by statement_timeout"],
])("SQLSTATE %s (%s): rolled back", (code) => {
  expect(isRolledBack(answered(code))).toBe(true)
  expect(isConnectionLost(answered(code))).toBe(false)
  expect(isDatabaseAway(answered(code))).toBe(false)
  expect(translated(answered(code))).toBe("DatabaseUnavailable")
})

test.each(["23505", "57P01", "08006", "42P01"])("SQLSTATE %s: not rolled back", (code) => {
  expect(isRolledBack(answered(code))).toBe(false)
})

test("isConnectionLost: only for open connections that broke", () => {
  expect(isConnectionLost(failed(thrown({ code: "ECONNRESET" })))).toBe(true)
  expect(isConnectionLost(answered("57P01"))).toBe(true)
  expect(isConnectionLost(failed(thrown({ code: "ECONNREFUSED" }), "Failed to acquire connection"))).toBe(
    false,
  )
  expect(isConnectionLost(answered("23505"))).toBe(false)
  expect(isConnectionLost(new Error("Connection terminated unexpectedly"))).toBe(false)
})

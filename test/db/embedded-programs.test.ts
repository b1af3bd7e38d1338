import { expect, test } from "bun:test"
import { lastErrors } from "../../src/db/embedded-programs.ts"

const line = (what: string) => `2026-11-23 06:00:00.000 UTC [4711] ${what}`

test("lastErrors: the last errors, without timestamps and pids", () => {
  const log = [
    ...Array.from({ length: 9 }, (_, n) => line(`FATAL:  refused number ${n}`)),
    line("LOG:  all server processes terminated; reinitializing"),
    line('PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device'),
  ]
  expect(lastErrors(`${log.join("\n")}\n`)).toBe(
    'FATAL:  refused number 6 | FATAL:  refused number 7 | FATAL:  refused number 8 | PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device',
  )
})

test("lastErrors: the last lines if there is no error", () => {
  const log = ["one", "two", "three", "four"].map((word) => line(`LOG:  ${word}`)).join("\n")
  expect(lastErrors(log)).toBe("LOG:  two | LOG:  three | LOG:  four")
})

import { expect, test } from "bun:test"
import { lastErrors } from "../../src/db/embedded-programs.ts"

const line = (what: string) => `2026-11-23 06:00:00.000 UTC [4711] ${what}`

test("a server's last words are what it complained of at last, without time stamps and process ids", () => {
  const log = [
    ...Array.from({ length: 9 }, (_, n) => line(`FATAL:  refused number ${n}`)),
    line("LOG:  all server processes terminated; reinitializing"),
    line('PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device'),
  ]
  expect(lastErrors(`${log.join("\n")}\n`)).toBe(
    'FATAL:  refused number 6 | FATAL:  refused number 7 | FATAL:  refused number 8 | PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device',
  )
})

test("where it complained of nothing, they are its last lines", () => {
  const log = ["one", "two", "three", "four"].map((word) => line(`LOG:  ${word}`)).join("\n")
  expect(lastErrors(log)).toBe("LOG:  two | LOG:  three | LOG:  four")
})

/** Settings of the database and of the role that every session inherits, without and with PgBouncer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Created, OneSession, readAs } from "../http/answers.ts"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type PgBouncer, pgbouncerProgram, startPgBouncer } from "../support/pgbouncer.ts"
import { cleanUpProcesses } from "../support/process.ts"
import { startService } from "../support/service.ts"

let database: TestDatabase
let bouncer: PgBouncer
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  database = await makeDatabase()
  recording = await wav16k()
  if (pgbouncerProgram !== null) bouncer = await startPgBouncer(database.url)
})
afterAll(async () => {
  await bouncer?.stop()
  await cleanUpProcesses()
  await database.drop()
})

/** Registers, takes turns at the same time, and reads all of it. */
const use = async (url: string) => {
  const service = await startService({ database: { ...database, url } })
  try {
    const key = await service.register()
    const created = await readAs(Created, await service.call("POST", "/sessions", { key, body: {} }))
    const { sessionId } = created
    const turn = (to: string | undefined) =>
      service.converse(key, new Blob([recording]), {
        accept: "application/json",
        ...(to === undefined ? {} : { sessionId: to }),
      })
    const turns = await Promise.all([turn(sessionId), turn(sessionId), turn(undefined), turn(undefined)])
    const reads = await Promise.all([
      service.call("GET", "/sessions", { key }),
      service.call("GET", `/sessions/${sessionId}/messages`, { key }),
      service.call("GET", "/users/me", { key }),
      service.call("GET", "/ready"),
    ])
    expect([...turns, ...reads].map(({ status }) => status)).toEqual(Array(8).fill(200))
    const { session } = await readAs(OneSession, await service.call("GET", `/sessions/${sessionId}`, { key }))
    expect(session.createdAt).toBe(created.createdAt)
    expect(Math.abs(Date.parse(`${session.createdAt}`) - Date.now())).toBeLessThan(3_600_000)
  } finally {
    await service.stop()
  }
}

const settings: ReadonlyArray<readonly [string, Readonly<Record<string, string>>]> = [
  ["DateStyle German", { datestyle: "German, DMY" }],
  ["DateStyle SQL", { datestyle: "SQL, DMY" }],
  ["DateStyle Postgres", { datestyle: "Postgres, MDY" }],
  [
    "formats",
    {
      intervalstyle: "sql_standard",
      timezone: "Asia/Kolkata",
      bytea_output: "escape",
      extra_float_digits: "-15",
      standard_conforming_strings: "off",
      backslash_quote: "off",
      client_encoding: "LATIN1",
      lc_messages: "C",
      lc_numeric: "C",
      xmlbinary: "hex",
    },
  ],
  ["serializable transactions", { default_transaction_isolation: "serializable" }],
  ["repeatable read", { default_transaction_isolation: "repeatable read" }],
  ["deferrable, row security", { default_transaction_deferrable: "on", row_security: "off" }],
  [
    "time limits",
    {
      statement_timeout: "5s",
      lock_timeout: "5s",
      idle_in_transaction_session_timeout: "5s",
      tcp_user_timeout: "5000",
    },
  ],
  ["search_path", { search_path: '"$user", missing, public' }],
  ["plans", { plan_cache_mode: "force_generic_plan", enable_seqscan: "off", jit: "off" }],
]

const targets = [
  ["a database", () => database.sql`select current_database() as name`, "database", () => database.url, true],
  ["a role", () => database.sql`select current_user as name`, "role", () => database.url, true],
  [
    "a database behind PgBouncer",
    () => database.sql`select current_database() as name`,
    "database",
    () => bouncer.url,
    pgbouncerProgram !== null,
  ],
] as const

describe.each(targets)("settings of %s", (_, named, kind, url, isHere) => {
  // Without PgBouncer there is nothing to test: apt-get install pgbouncer.
  test.skipIf(!isHere).each(settings)("%s", async (_, values) => {
    const [{ name }] = await named()
    // Those of a role are for this database, as other tests use the role too.
    const [{ current }] = await database.sql`select current_database() as current`
    const subject = kind === "database" ? `database ${name}` : `role ${name} in database ${current}`
    for (const [setting, value] of Object.entries(values)) {
      const literal = setting === "search_path" ? value : `'${value}'`
      await database.sql.unsafe(`alter ${subject} set ${setting} to ${literal}`)
    }
    // The pooler's own connections have the settings of their start.
    if (kind === "database" && url() !== database.url) {
      await database.sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`
    }
    try {
      await use(url())
    } finally {
      await database.sql.unsafe(`alter ${subject} reset all`)
    }
  })
})

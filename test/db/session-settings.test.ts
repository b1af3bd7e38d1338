/** Settings of the database and of the role that every session inherits, without and with PgBouncer. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { ConfigProvider, Effect, Either, Layer } from "effect"
import { migrationsOnly } from "../../src/app.ts"
import { problemOf } from "../../src/db/server.ts"
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

/** Starts on this URL; the sentence of the failure, or `started`. */
const start = async (url: string) => {
  const settings = new Map(Object.entries({ DATABASE_URL: url, LOG_LEVEL: "none", LOG_DIR: "" }))
  const build = Effect.withConfigProvider(Layer.build(migrationsOnly), ConfigProvider.fromMap(settings))
  const outcome = await Effect.runPromise(Effect.either(Effect.scoped(build)))
  return Either.match(outcome, { onLeft: (error) => `${error}`, onRight: () => "started" })
}

describe("a database that the service cannot use stops the start", () => {
  test.each(["LATIN1", "SQL_ASCII", "EUC_JP", "WIN1252"])("%s", async (encoding) => {
    const name = `test_${encoding.toLowerCase()}_${crypto.randomUUID().slice(0, 8)}`
    await database.sql.unsafe(
      `create database ${name} encoding '${encoding}' locale_provider libc locale 'C' template template0`,
    )
    const url = new URL(database.url)
    url.pathname = `/${name}`
    const said = await start(url.href)
    await database.sql.unsafe(`drop database ${name} with (force)`)
    expect(said).toContain(`The database is in ${encoding}`)
    // The advice works as it is written.
    const [advice = ""] = /create database NAME [^.]*/.exec(said) ?? []
    await database.sql.unsafe(advice.replace("NAME", name))
    expect(await start(url.href)).toBe("started")
    await database.sql.unsafe(`drop database ${name} with (force)`)
  })

  test("default_transaction_read_only", async () => {
    const [{ name }] = await database.sql`select current_database() as name`
    await database.sql.unsafe(`alter database ${name} set default_transaction_read_only to on`)
    const said = await start(database.url)
    // The test's own connections are older than the setting.
    await database.sql.unsafe(`alter database ${name} reset all`)
    expect(said).toMatch(/can only be read.*default_transaction_read_only/)
  })

  test("an old server, a standby", () => {
    const server = {
      major: 18,
      version: "18.1",
      encoding: "UTF8",
      isStandby: false,
      isReadOnly: false,
      now: new Date(),
    }
    expect(problemOf(server)).toBeUndefined()
    expect(problemOf({ ...server, major: 14, version: "14.9" })?.advice).toBe("Use PostgreSQL 15 or newer.")
    expect(problemOf({ ...server, isStandby: true, isReadOnly: true })?.problem).toContain("standby")
  })
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

const all = new Map(settings)
const merged = (...names: ReadonlyArray<string>) =>
  [
    names.join(", "),
    Object.fromEntries(names.flatMap((name) => Object.entries(all.get(name) ?? {}))),
  ] as const

/** The same settings in three starts, for what hands them on in another way. No name is in two of a start. */
const together = [
  merged("DateStyle German", "serializable transactions", "search_path", "deferrable, row security"),
  merged("DateStyle SQL", "repeatable read", "plans"),
  merged("DateStyle Postgres", "formats", "time limits"),
]

const targets = [
  [
    "a database",
    () => database.sql`select current_database() as name`,
    "database",
    () => database.url,
    true,
    settings,
  ],
  ["a role", () => database.sql`select current_user as name`, "role", () => database.url, true, together],
  [
    "a database behind PgBouncer",
    () => database.sql`select current_database() as name`,
    "database",
    () => bouncer.url,
    pgbouncerProgram !== null,
    together,
  ],
] as const

describe.each(targets)("settings of %s", (_, named, kind, url, isHere, given) => {
  // Without PgBouncer there is nothing to test: apt-get install pgbouncer.
  test.skipIf(!isHere).each(given)("%s", async (_, values) => {
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

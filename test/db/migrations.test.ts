import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { SQL } from "bun"
import { ConfigProvider, Effect, Exit, Layer } from "effect"
import { migrationsOnly } from "../../src/app.ts"
import { makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, mainFile, startProcess } from "../support/process.ts"
import { until } from "../support/turns.ts"
import { migrateTo } from "./older-schema.ts"

let database: TestDatabase
beforeEach(async () => {
  database = await makeEmptyDatabase()
})
afterEach(() => database.drop())
afterAll(cleanUpProcesses)

const folder = join(import.meta.dir, "../../migrations")
const files = (await readdir(folder)).toSorted()
const env = () => ({
  DATABASE_URL: database.url,
  OPENAI_API_KEY: "sk-test",
  NODE_ENV: "production",
  LOG_LEVEL: "none",
})

/** Migrates the database as the start of the service does. */
const migrate = () => {
  const provider = ConfigProvider.fromMap(new Map(Object.entries({ ...env(), LOG_DIR: "" })))
  return Effect.runPromiseExit(
    Effect.scoped(Layer.build(Layer.provide(migrationsOnly, Layer.setConfigProvider(provider)))),
  )
}
const tables = async () => {
  const rows: ReadonlyArray<{ readonly name: string }> = await database.sql`
    select table_name as name from information_schema.tables where table_schema = 'public' order by 1`
  return rows.map(({ name }) => name)
}
const done = async () => {
  const rows: ReadonlyArray<{ readonly migration_id: number; readonly name: string }> =
    await database.sql`select migration_id, name from schema_migrations order by 1`
  return rows.map(({ migration_id, name }) => `${String(migration_id).padStart(4, "0")}_${name}.sql`)
}

test("the files are numbered from 1 without a gap", () => {
  expect(files.map((file) => Number.parseInt(file, 10))).toEqual(files.map((_, i) => i + 1))
  for (const file of files) expect(file).toMatch(/^\d{4}_\w+\.sql$/)
})

test("an empty database gets every migration once", async () => {
  expect(Exit.isSuccess(await migrate())).toBe(true)
  expect(await done()).toEqual(files)
  const before = await tables()
  expect(before).toEqual(expect.arrayContaining(["messages", "sessions", "users"]))
  await database.sql`insert into users (email) values ('ada@example.com')`
  expect(Exit.isSuccess(await migrate())).toBe(true)
  expect(await done()).toEqual(files)
  expect(await tables()).toEqual(before)
  expect(await database.sql`select 1 from users`).toHaveLength(1)
})

test("six concurrent migrations of an empty database", async () => {
  const exits = await Promise.all(Array.from({ length: 6 }, migrate))
  expect(exits.filter(Exit.isFailure)).toEqual([])
  expect(await done()).toEqual(files)
})

test("three concurrent processes", async () => {
  const processes = Array.from({ length: 3 }, () => startProcess({ args: [mainFile, "migrate"], env: env() }))
  expect(await Promise.all(processes.map(({ ended }) => ended))).toEqual([0, 0, 0])
  expect(await done()).toEqual(files)
}, 60_000)

test("an older version runs on a newer schema and logs it", async () => {
  expect(Exit.isSuccess(await migrate())).toBe(true)
  await database.sql`insert into schema_migrations (migration_id, name) values (9999, 'of_later')`
  await database.sql`alter table turns add column of_later text`
  const older = startProcess({ env: { ...env(), LOG_LEVEL: "info" } })
  const url = await older.url()
  expect(older.records()).toContainEqual(
    expect.objectContaining({
      event: "migration.schema_newer",
      level: "warn",
      foreign: ["9999_of_later"],
    }),
  )
  expect((await fetch(`${url}/api/v1/ready`)).status).toBe(200)
  older.signal("SIGTERM")
  expect(await older.ended).toBe(0)
})

describe("a process of the version before", () => {
  const [user, session, turn] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()]
  const append = `insert into items (session_id, turn_id, type, payload)
    values ('${session}', '${turn}', 'message', '{"role": "user", "text": "Hi"}')`

  /** Transactions in parts: the migration begins after the first part. */
  const transactions: ReadonlyArray<readonly [string, string, ReadonlyArray<string>]> = [
    [
      "saves a turn",
      `select 1 from sessions where id = '${session}' for key share`,
      [
        `update turns set state = 'completed', usage = '{"inputTokens": 1}', lease_until = null where id = '${turn}'`,
        append,
        `delete from turn_rounds where turn_id = '${turn}'`,
      ],
    ],
    [
      "saves a turn of a new session",
      `select 1 from users, (select 1 from sessions for key share) as held where id = '${user}' for key share`,
      [
        `update turns set state = 'completed', usage = '{"inputTokens": 1}', lease_until = null where id = '${turn}'`,
        `insert into sessions (user_id) values ('${user}')`,
        append,
      ],
    ],
    [
      "records a round",
      `select 1 from turns where id = '${turn}' for share`,
      [
        `insert into turn_rounds (turn_id, round, message_id, text) values ('${turn}', 0, gen_random_uuid(), '')`,
      ],
    ],
    [
      "deletes a user",
      `update users set email = 'of-nobody@example.com' where id = '${user}'`,
      [`delete from users where id = '${user}'`],
    ],
  ]

  test.each(transactions)("%s while another one migrates", async (_, first, rest) => {
    await migrateTo(database.sql, 13)
    await database.sql`insert into users (id, email) values (${user}, 'ada@example.com')`
    await database.sql`insert into sessions (id, user_id) values (${session}, ${user})`
    await database.sql`insert into turns (id, user_id, session_id, lease_until)
      values (${turn}, ${user}, ${session}, now() + interval '1 minute')`
    const older = new SQL(database.url, { max: 1 })
    let migrated: Promise<Exit.Exit<unknown, unknown>> | undefined
    await older.begin(async (tx) => {
      await tx.unsafe(first)
      migrated = migrate()
      await until(
        async () =>
          (
            await database.sql`select 1 from pg_locks join pg_database on pg_database.oid = database
            where datname = current_database() and not granted`
          ).length > 0,
        "a migration that waits for the transaction",
      )
      for (const statement of rest) await tx.unsafe(statement)
    })
    const [{ deadlocks }] = await database.sql`
      select deadlocks::int as deadlocks from pg_stat_database where datname = current_database()`
    expect(Exit.isSuccess((await migrated) ?? Exit.void)).toBe(true)
    expect(deadlocks).toBe(0)
    expect(await done()).toEqual(files)
    await older.close()
  })
})

describe("a migration that fails", () => {
  // The first migration creates other tables, then one of this name.
  beforeEach(async () => {
    await database.sql`create table messages (mine text)`
  })

  test("is rolled back, and works after the cause is fixed", async () => {
    expect(Exit.isFailure(await migrate())).toBe(true)
    expect((await tables()).filter((name) => name !== "schema_migrations")).toEqual(["messages"])
    expect(await done()).toEqual([])
    const functions = await database.sql`select 1 from pg_proc where pronamespace = 'public'::regnamespace`
    expect(functions).toHaveLength(0)
    await database.sql`drop table messages`
    expect(Exit.isSuccess(await migrate())).toBe(true)
    expect(await done()).toEqual(files)
  })

  test.each([
    ["migrate", "The database was not migrated."],
    ["serve", "The service did not start."],
  ])("stops %s with one line that names the cause", async (command, opening) => {
    const service = startProcess({ args: [mainFile, command], env: env() })
    expect(await service.ended).toBe(1)
    expect(service.stdout()).toBe("")
    expect(service.stderr()).toStartWith(opening)
    expect(service.stderr().trim()).toMatch(
      /^[\w ]+\. The database could not be migrated: .*initial_schema.*: relation "messages" already exists\.?$/,
    )
  })
})

test("a missing database: one line without the password", async () => {
  const url = new URL(database.url)
  url.pathname = "/nowhere"
  url.password = "s3cret"
  const service = startProcess({ args: [mainFile, "migrate"], env: { ...env(), DATABASE_URL: url.href } })
  expect(await service.ended).toBe(1)
  expect(service.stderr().trim()).toMatch(
    /^The database was not migrated\. The database refused the connection \(.*\): (check|create) /,
  )
  expect(service.stderr().trim().split("\n")).toHaveLength(1)
  expect(`${service.stdout()}${service.stderr()}`).not.toContain("s3cret")
})

import { afterAll, beforeAll, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Layer, Option, Redacted, Schema } from "effect"
import { Secrets } from "../../src/accounts/secrets.ts"
import { Settings } from "../../src/config.ts"
import { Encryption } from "../../src/db/encryption.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { UserId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { tempFolder } from "../support/temp-folders.ts"
import { expectProblem, readAs } from "./answers.ts"

const [firstKey, secondKey] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")]

let database: TestDatabase
let service: Service
beforeAll(async () => {
  database = await makeDatabase()
  service = await startService({ database, env: { ENCRYPTION_KEY: firstKey } })
})
afterAll(async () => {
  await service.stop()
  await database.drop()
})

const Times = { createdAt: Schema.String, updatedAt: Schema.String }
const One = Schema.Struct({ secret: Schema.Struct({ name: Schema.String, ...Times }) })
const List = Schema.Struct({ secrets: Schema.Array(One.fields.secret) })

const put = (key: string, name: string, value: unknown, on = service) =>
  on.call("PUT", `/users/me/secrets/${name}`, { key, body: { value } })
const names = async (key: string) =>
  (await readAs(List, await service.call("GET", "/users/me/secrets", { key }))).secrets.map(
    ({ name }) => name,
  )
const remove = (key: string, name: string) => service.call("DELETE", `/users/me/secrets/${name}`, { key })
const Me = Schema.Struct({ userId: UserId, email: Schema.String, createdAt: Schema.String })
const me = async (key: string) => readAs(Me, await service.call("GET", "/users/me", { key }))
const idOf = async (key: string) => (await me(key)).userId

/** As a tool reads it, in a process with these variables. */
const read = (owner: UserId, name: string, variables: Readonly<Record<string, string>> = {}) =>
  Effect.flatMap(Secrets, ({ read }) => read(owner, name)).pipe(
    Effect.map(Option.map(Redacted.value)),
    Effect.map(Option.getOrNull),
    Effect.provide(
      Secrets.layer.pipe(
        Layer.provide(Layer.merge(Encryption.layer, Postgres.layer)),
        Layer.provide(Settings.layer),
        Layer.provide(BunContext.layer),
        Layer.provide(
          Layer.setConfigProvider(
            ConfigProvider.fromMap(
              new Map(
                Object.entries({
                  DATABASE_URL: database.url,
                  ENCRYPTION_KEY: firstKey,
                  LOG_DIR: "",
                  ...variables,
                }),
              ),
            ),
          ),
        ),
      ),
    ),
    Effect.runPromise,
  )

test("stored encrypted, and never shown", async () => {
  const key = await service.register()
  const created = await put(key, "ORDERS_KEY", "sk-123 ü")
  expect(created.status).toBe(201)
  const { secret } = await readAs(One, created)
  expect(secret).toMatchObject({ name: "ORDERS_KEY", createdAt: secret.updatedAt })
  expect((await put(key, "ORDERS_KEY", "sk-456")).status).toBe(200)
  expect((await put(key, "a-2", "x")).status).toBe(201)
  expect(await names(key)).toEqual(["ORDERS_KEY", "a-2"])
  const owner = await idOf(key)
  expect(await read(owner, "ORDERS_KEY")).toBe("sk-456")
  const rows = JSON.stringify(await database.sql`select * from secrets`)
  const exported = await (await service.call("GET", "/users/me/export", { key })).text()
  for (const text of [rows, exported]) {
    expect(text).toContain("ORDERS_KEY")
    expect(text).not.toContain("sk-4")
  }
})

test("of one user only", async () => {
  const [mine, theirs] = [await service.register(), await service.register()]
  await put(mine, "KEY", "mine")
  await put(theirs, "KEY", "theirs")
  await put(theirs, "OTHER", "theirs")
  expect(await names(mine)).toEqual(["KEY"])
  await expectProblem(await remove(mine, "OTHER"), { status: 404, code: "SECRET_NOT_FOUND" })
  const [own, other] = [await idOf(mine), await idOf(theirs)]
  expect([await read(own, "KEY"), await read(other, "KEY"), await read(own, "OTHER")]).toEqual([
    "mine",
    "theirs",
    null,
  ])
  // A value in the place of another one cannot be read.
  await database.sql`update secrets set value = (select value from secrets where user_id = ${other} and name = 'KEY')
    where user_id = ${own}`
  expect(await read(own, "KEY")).toBeNull()
  expect((await remove(mine, "KEY")).status).toBe(204)
  expect(await names(mine)).toEqual([])
  expect((await service.call("GET", "/users/me/secrets")).status).toBe(401)
})

test("end with their user", async () => {
  const key = await service.register()
  await put(key, "KEY", "x")
  const { userId: owner, email } = await me(key)
  expect((await service.call("DELETE", "/users/me", { key, body: { email } })).status).toBe(204)
  expect(await database.sql`select 1 from secrets where user_id = ${owner}`).toHaveLength(0)
})

test.each(["1A", "a b", "a.b", "ü", "a".repeat(65), "%00"])("a wrong name: %s", async (name) => {
  const key = await service.register()
  await expectProblem(await put(key, encodeURI(name), "x"), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^name: must have 1 to 64 letters/,
  })
  await expectProblem(await remove(key, encodeURI(name)), { status: 404, code: "SECRET_NOT_FOUND" })
})

test.each(["", "\ud800", "a\nb", "a\0b", "\u007f", "x".repeat(4097), 7, null])(
  "a wrong value: %j",
  async (value) => {
    const key = await service.register()
    await expectProblem(await put(key, "KEY", value), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^value: must be a string of 1 to 4096 characters/,
    })
    expect(await names(key)).toEqual([])
  },
)

test("no value", async () => {
  const key = await service.register()
  await expectProblem(await put(key, "KEY", undefined), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: "value: is missing",
  })
})

test("100 at most", async () => {
  const key = await service.register()
  const owner = await idOf(key)
  await database.sql`insert into secrets (user_id, name, value)
    select ${owner}, 'S' || n, 'v' from generate_series(1, 100) n`
  await expectProblem(await put(key, "MORE", "x"), { status: 409, code: "TOO_MANY_SECRETS" })
  expect((await put(key, "S7", "x")).status).toBe(200)
  await remove(key, "S8")
  expect((await put(key, "MORE", "x")).status).toBe(201)
})

test("a new ENCRYPTION_KEY renews what is used", async () => {
  const key = await service.register()
  await put(key, "KEY", "sk-123")
  const owner = await idOf(key)
  const rotated = { ENCRYPTION_KEY: secondKey, ENCRYPTION_PREVIOUS_KEYS: firstKey }
  expect(await read(owner, "KEY", { ENCRYPTION_KEY: secondKey })).toBeNull()
  expect(await read(owner, "KEY", rotated)).toBe("sk-123")
  expect(await read(owner, "KEY", { ENCRYPTION_KEY: secondKey })).toBe("sk-123")
})

test("a key file that cannot be used", async () => {
  const folder = tempFolder("secrets")
  writeFileSync(join(folder, "encryption.key"), "no key")
  const broken = await startService({ database, env: { DATA_DIR: folder } })
  const key = await broken.register()
  await expectProblem(await put(key, "KEY", "x", broken), { status: 500, code: "ENCRYPTION_UNAVAILABLE" })
  expect(await names(key)).toEqual([])
  await broken.stop()
})

test("parallel requests do not pass the limit", async () => {
  const key = await service.register()
  const answers = await Promise.all(Array.from({ length: 150 }, (_, at) => put(key, `S${at}`, "v")))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(100)
  expect(await names(key)).toHaveLength(100)
})

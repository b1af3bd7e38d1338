import { afterAll, beforeAll, expect, test } from "bun:test"
import { ApiKeyList, readAs } from "../http/answers.ts"
import { makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { migrateTo } from "./older-schema.ts"

let database: TestDatabase
let service: Service
/** Keys of users from before migration 3, which allows several keys per user. */
const [ada, bob, eve, mallory] = ["a", "b", "c", "d"].map((digit) => `sk_${digit.repeat(64)}`)
const hash = (key = "") => new Bun.CryptoHasher("sha256").update(key).digest("hex")

beforeAll(async () => {
  database = await makeEmptyDatabase()
  await migrateTo(database.sql, 2)
  await database.sql.unsafe(`
    insert into users (email, api_key_hash, created_at) values
      ('ada@example.com', '${hash(ada)}', '2024-02-29T12:00:00Z'),
      (U&'Bo\\0308b@example.com', '${hash(bob)}', now()),
      (U&'e\\0301ve@example.com', '${hash(eve)}', now()),
      (U&'\\00c9ve@example.com', '${hash(mallory)}', now());
    insert into sessions (user_id, title) select id, 'kept' from users where email = 'ada@example.com';
    insert into messages (session_id, turn_id, role, content) select id, gen_random_uuid(), 'user', 'Hi' from sessions;
    insert into turns (id, user_id, session_id, state)
    select gen_random_uuid(), user_id, id, 'completed' from sessions`)
  service = await startService({ database })
})
afterAll(async () => {
  await service.stop()
  await database.drop()
})

test("keys from before migration 3 still work", async () => {
  for (const key of [ada, bob, eve, mallory]) {
    const answer = await service.call("GET", "/users/me/keys", { key: key ?? "" })
    expect(answer.status).toBe(200)
    expect((await readAs(ApiKeyList, answer)).keys).toMatchObject([
      { name: "API key", prefix: null, expiresAt: null, revokedAt: null, current: true },
    ])
  }
  const answer = await service.call("GET", "/users/me/keys", { key: ada ?? "" })
  expect(await answer.json()).toMatchObject({ keys: [{ createdAt: "2024-02-29T12:00:00.000Z" }] })
  expect((await service.call("POST", "/users/me/keys", { key: ada ?? "", body: {} })).status).toBe(201)
})

test("users keep their sessions", async () => {
  const answer = await service.call("GET", "/users/me/export", { key: ada ?? "" })
  expect(await answer.json()).toMatchObject({
    sessions: [{ title: "kept", messages: [{ content: "Hi" }] }],
    turns: [{ state: "completed" }],
  })
})

test("addresses are normalized unless that makes a duplicate", async () => {
  const emailOf = async (key = "") => (await service.call("GET", "/users/me", { key })).json()
  expect(await emailOf(bob)).toMatchObject({
    email: "B\u00f6b@example.com",
  })
  expect(await emailOf(eve)).toMatchObject({ email: "e\u0301ve@example.com" })
  expect(await emailOf(mallory)).toMatchObject({ email: "\u00c9ve@example.com" })
})

test("the users table keeps no key hash", async () => {
  const columns =
    await database.sql`select column_name as name from information_schema.columns where table_name = 'users'`
  expect(columns.map(({ name }: { readonly name: string }) => name).toSorted()).toEqual([
    "created_at",
    "email",
    "id",
    "updated_at",
  ])
})

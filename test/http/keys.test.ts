import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { ApiKeyList, expectProblem, NewApiKey, readAs } from "./answers.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: Service
/** A second service on the same database. */
let second: Service
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startService({ database: { ...database, url: proxy.url } })
  second = await startService({ database })
})
afterAll(async () => {
  await service.stop()
  await second.stop()
  await proxy.stop()
  await database.drop()
})

const call = (key: string, method: string, path: string, body?: unknown) =>
  service.call(method, `/users/me${path}`, { key, ...(body === undefined ? {} : { body }) })
const make = async (key: string, details: unknown = {}) => {
  const answer = await call(key, "POST", "/keys", details)
  expect(answer.status).toBe(201)
  expect(answer.headers.get("cache-control")).toBe("no-store")
  return readAs(NewApiKey, answer)
}
const rotate = (key: string, id: string, body?: unknown) => call(key, "POST", `/keys/${id}/rotate`, body)
const list = async (key: string) => {
  const answer = await call(key, "GET", "/keys")
  expect(answer.status).toBe(200)
  return (await readAs(ApiKeyList, answer)).keys
}
const idOf = async (key: string) => (await list(key)).find(({ current }) => current)?.id ?? ""
const opens = async (key: string, at = service) => (await at.call("GET", "/users/me", { key })).status === 200
const refused = (key: string, message: RegExp, at = service) =>
  at
    .call("GET", "/sessions", { key })
    .then((answer) => expectProblem(answer, { status: 401, code: "INVALID_API_KEY", message }))
/** Changes the times of a key. */
const change = (id: string, what: string) =>
  database.sql.unsafe(`update api_keys set ${what} where id = '${id}'`)
const daysFromNow = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()

describe("GET /users/me/keys", () => {
  test("lists the keys, newest first, without their secrets", async () => {
    const key = await service.register()
    const expiresAt = daysFromNow(90)
    const made = await make(key, { name: "  Laptop ", expiresAt })
    const answer = await (await call(key, "GET", "/keys")).text()
    expect(answer).not.toContain(key)
    expect(answer).not.toContain(made.apiKey)
    const keys = await list(key)
    expect(keys).toMatchObject([
      { id: made.id, name: "Laptop", expiresAt, current: false, prefix: made.apiKey.slice(0, 7) },
      { name: "API key", expiresAt: null, revokedAt: null, current: true, prefix: key.slice(0, 7) },
    ])
    expect((await list(made.apiKey)).map(({ current }) => current)).toEqual([true, false])
  })

  test("lists the user's own keys only", async () => {
    const [mine, theirs] = [await service.register(), await service.register()]
    const { id } = await make(theirs)
    expect((await list(mine)).map((key) => key.id)).toEqual([await idOf(mine)])
    for (const answer of [await call(mine, "DELETE", `/keys/${id}`), await rotate(mine, id)]) {
      await expectProblem(answer, { status: 404, code: "API_KEY_NOT_FOUND" })
    }
    expect(await list(theirs)).toHaveLength(2)
  })
})

describe("POST /users/me/keys", () => {
  test("creates a key that works at once in every process", async () => {
    const key = await service.register()
    const made = await make(key)
    expect(made).toMatchObject({ name: "API key", expiresAt: null })
    expect(await opens(made.apiKey)).toBe(true)
    expect(await opens(made.apiKey, second)).toBe(true)
    const [stored] = await database.sql`select * from api_keys where id = ${made.id}`
    expect(JSON.stringify(stored)).not.toContain(made.apiKey)
  })

  test("accepts no body, nulls and a form", async () => {
    const key = await service.register()
    expect((await call(key, "POST", "/keys")).status).toBe(201)
    expect(await make(key, { name: null, expiresAt: null })).toMatchObject({
      name: "API key",
      expiresAt: null,
    })
    const form = await fetch(`${service.url}/users/me/keys`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: new URLSearchParams({ name: "By form", expiresAt: "2099-01-31" }),
    })
    expect(await readAs(NewApiKey, form)).toMatchObject({
      name: "By form",
      expiresAt: "2099-01-31T00:00:00.000Z",
    })
  })

  test.each([
    ["2099-12-31T23:59:59+02:00", "2099-12-31T21:59:59.000Z"],
    ["2099-12-31T23:59Z", "2099-12-31T23:59:00.000Z"],
    ["9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"],
  ])("accepts the time %s", async (expiresAt, expected) => {
    expect((await make(await service.register(), { expiresAt })).expiresAt).toBe(expected)
  })

  test.each([
    ["2020-01-01T00:00:00Z"],
    ["2099-02-30"],
    ["2099-13-01T00:00:00Z"],
    ["2099-01-01T25:00:00Z"],
    ["2099-01-01T00:00:00"],
    ["tomorrow"],
    [""],
    [4_102_444_800_000],
    [true],
  ])("rejects the expiry %j", async (expiresAt) => {
    await expectProblem(await call(await service.register(), "POST", "/keys", { expiresAt }), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: "expiresAt: must be a future time in ISO 8601, such as 2035-01-31T12:00:00Z",
    })
  })

  test.each([[""], ["  "], ["x".repeat(101)], ["a\nb"], ["a\0"], ["a\u200bb"], ["\ud800"], [7], [["a"]]])(
    "rejects the name %j",
    async (name) => {
      await expectProblem(await call(await service.register(), "POST", "/keys", { name }), {
        status: 400,
        code: "VALIDATION_ERROR",
        message: /^name: must be a string of 1 to 100 characters/,
      })
    },
  )

  test("accepts a name of 100 characters", async () => {
    const name = "😀".repeat(100)
    expect((await make(await service.register(), { name })).name).toBe(name)
  })

  test("creates at most 20 usable keys, also concurrently", async () => {
    const key = await service.register()
    const answers = await Promise.all(
      Array.from({ length: 24 }, (_, n) => (n % 2 === 0 ? service : second)).map((at) =>
        at.call("POST", "/users/me/keys", { key, body: {} }),
      ),
    )
    const statuses = answers.map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(19)
    expect(statuses.filter((status) => status === 409)).toHaveLength(5)
    await expectProblem(await call(key, "POST", "/keys", {}), {
      status: 409,
      code: "TOO_MANY_API_KEYS",
      message: /20/,
    })
    const [one, other, third] = await list(key)
    // A replaced key in its grace period counts; one without does not.
    const withGrace = await rotate(key, other?.id ?? "", { graceSeconds: 60 })
    await expectProblem(withGrace, { status: 409, code: "TOO_MANY_API_KEYS" })
    expect((await list(key)).find(({ id }) => id === other?.id)?.revokedAt).toBeNull()
    expect((await rotate(key, other?.id ?? "")).status).toBe(201)
    expect((await call(key, "DELETE", `/keys/${one?.id}`)).status).toBe(204)
    await change(third?.id ?? "", "expires_at = now() - interval '1 second'")
    await make(key)
    await make(key)
    expect((await call(key, "POST", "/keys", {})).status).toBe(409)
  })

  test("deletes the oldest ended keys only", async () => {
    const key = await service.register()
    const first = await make(key)
    await database.sql`insert into api_keys (user_id, name, key_hash, created_at, revoked_at)
      select user_id, 'old', md5(${first.id} || n) || md5(n::text), now() - n * interval '1 day', now()
      from api_keys, generate_series(1, 98) n where id = ${first.id}`
    await database.sql`update api_keys set created_at = 'epoch' where id = ${first.id}`
    await make(key)
    const keys = await list(key)
    expect(keys).toHaveLength(100)
    expect(keys.filter(({ name }) => name === "old")).toHaveLength(97)
    expect(keys.at(-1)?.id).toBe(first.id)
  })
})

describe("DELETE /users/me/keys/:id", () => {
  test("revokes a key at once in every process", async () => {
    const key = await service.register()
    const made = await make(key)
    expect(await opens(made.apiKey, second)).toBe(true)
    for (const _ of [1, 2]) {
      const answer = await call(key, "DELETE", `/keys/${made.id}`)
      expect(answer.status).toBe(204)
      expect(await answer.text()).toBe("")
    }
    for (const at of [service, second]) await refused(made.apiKey, /^This API key was revoked\. /, at)
    await expectProblem(await service.call("POST", "/auth/login", { body: { apiKey: made.apiKey } }), {
      status: 401,
      code: "INVALID_API_KEY",
    })
    expect((await list(key))[0]).toMatchObject({ id: made.id, revokedAt: expect.any(String) })
  })

  test("keeps the last key", async () => {
    const key = await service.register()
    const id = await idOf(key)
    const refusal = {
      status: 409,
      code: "LAST_API_KEY",
      message: /Create another one first, or rotate this one\.$/,
    }
    await expectProblem(await call(key, "DELETE", `/keys/${id}`), refusal)
    expect(await opens(key)).toBe(true)
    // Expired keys and keys in a grace period do not count as a way back in.
    const expired = await make(key)
    await change(expired.id, "expires_at = now() - interval '1 second'")
    await expectProblem(await call(key, "DELETE", `/keys/${id}`), refusal)
    const next = await readAs(NewApiKey, await rotate(key, id, { graceSeconds: 600 }))
    await expectProblem(await call(key, "DELETE", `/keys/${next.id}`), refusal)
    expect((await call(next.apiKey, "DELETE", `/keys/${id}`)).status).toBe(204)
    expect(await opens(key)).toBe(false)
  })

  test("keeps one of two that are deleted concurrently", async () => {
    const key = await service.register()
    const made = await make(key)
    const answers = await Promise.all([
      call(key, "DELETE", `/keys/${await idOf(key)}`),
      second.call("DELETE", `/users/me/keys/${made.id}`, { key: made.apiKey }),
    ])
    expect(answers.map(({ status }) => status).filter((status) => status === 204)).toHaveLength(1)
    expect([await opens(key), await opens(made.apiKey)].filter(Boolean)).toHaveLength(1)
  })

  test.each([["none"], [crypto.randomUUID()]])("of %s is 404", async (id) => {
    const key = await service.register()
    for (const answer of [await call(key, "DELETE", `/keys/${id}`), await rotate(key, id)]) {
      await expectProblem(answer, { status: 404, code: "API_KEY_NOT_FOUND" })
    }
  })
})

describe("POST /users/me/keys/:id/rotate", () => {
  test("creates a key of the same name and lifetime", async () => {
    const key = await service.register()
    const old = await make(key, { name: "Phone", expiresAt: daysFromNow(30) })
    await change(
      old.id,
      "created_at = created_at - interval '10 days', expires_at = expires_at - interval '10 days'",
    )
    const answer = await rotate(old.apiKey, old.id)
    expect(answer.status).toBe(201)
    expect(answer.headers.get("cache-control")).toBe("no-store")
    const next = await readAs(NewApiKey, answer)
    expect(next.name).toBe("Phone")
    expect(Math.abs(Date.parse(next.expiresAt ?? "") - Date.parse(daysFromNow(30)))).toBeLessThan(60_000)
    await refused(old.apiKey, /revoked/)
    await refused(old.apiKey, /revoked/, second)
    expect(await opens(next.apiKey)).toBe(true)
    await expectProblem(await rotate(key, old.id), { status: 404, code: "API_KEY_NOT_FOUND" })
  })

  test("with a grace period: the old key works until its end", async () => {
    const key = await service.register()
    const id = await idOf(key)
    const next = await readAs(NewApiKey, await rotate(key, id, { graceSeconds: 604_800 }))
    expect(next.expiresAt).toBeNull()
    expect(await opens(key)).toBe(true)
    const [, old] = await list(next.apiKey)
    expect(Math.abs(Date.parse(old?.revokedAt ?? "") - Date.parse(daysFromNow(7)))).toBeLessThan(60_000)
    // A retry of a lost response: the grace period must not grow.
    await change(id, "revoked_at = now() + interval '1 hour'")
    expect((await rotate(key, id, { graceSeconds: 7200 })).status).toBe(201)
    expect(Date.parse((await list(key)).at(-1)?.revokedAt ?? "")).toBeLessThan(Date.now() + 3_660_000)
    await change(id, "revoked_at = now() - interval '1 second'")
    await refused(key, /revoked/)
    expect(await opens(next.apiKey)).toBe(true)
  })

  test.each([[-1], [604_801], ["long"], [true], [null]])(
    "rejects the grace period %j",
    async (graceSeconds) => {
      const key = await service.register()
      await expectProblem(await rotate(key, await idOf(key), { graceSeconds }), {
        status: 400,
        code: "VALIDATION_ERROR",
        message: "graceSeconds: must be a number from 0 to 604800",
      })
      expect(await opens(key)).toBe(true)
    },
  )
})

test("an expired key is rejected in every process", async () => {
  const key = await service.register()
  const made = await make(key, { expiresAt: daysFromNow(1) })
  expect(await opens(made.apiKey)).toBe(true)
  await change(made.id, "expires_at = now() - interval '1 millisecond'")
  for (const at of [service, second]) await refused(made.apiKey, /^This API key has expired\. /, at)
  expect(await opens(key)).toBe(true)
})

describe("the last use of a key", () => {
  const used = async (key: string) => (await list(key)).find(({ current }) => current)?.lastUsedAt ?? null
  const noted = async (key: string, isNoted: (at: string) => boolean = () => true) => {
    for (;;) {
      const at = await used(key)
      if (at !== null && isNoted(at)) return at
      await Bun.sleep(5)
    }
  }

  test("is written once a minute", async () => {
    const key = await service.register()
    const id = await idOf(key)
    await noted(key)
    proxy.forget()
    await Promise.all(Array.from({ length: 20 }, () => opens(key)))
    expect(proxy.statements().filter((statement) => /update api_keys/.test(statement))).toEqual([])
    await change(id, "last_used_at = now() - interval '61 seconds'")
    const before = (await database.sql`select last_used_at from api_keys where id = ${id}`)[0].last_used_at
    await Promise.all(Array.from({ length: 20 }, () => opens(key)))
    await noted(key, (at) => Date.parse(at) > before.getTime())
    // A second request that read the old time before the first one wrote changes nothing.
    const asked = proxy.statements().filter((statement) => /update api_keys/.test(statement)).length
    expect(asked).toBeWithin(1, 5)
  })

  test("does not delay the request", async () => {
    const key = await service.register()
    const lock = await database.sql.reserve()
    await lock`begin`
    await lock`select 1 from api_keys for update`
    expect(await opens(key)).toBe(true)
    expect(await opens(key)).toBe(true)
    await lock`rollback`
    lock.release()
    await noted(key)
  })
})

test.each([
  ["GET", ""],
  ["DELETE", ""],
  ["GET", "/export"],
  ["GET", "/keys"],
  ["POST", "/keys"],
  ["DELETE", `/keys/${crypto.randomUUID()}`],
  ["POST", `/keys/${crypto.randomUUID()}/rotate`],
])("%s /users/me%s requires a key first", async (method, path) => {
  await expectProblem(await service.call(method, `/users/me${path}`), { status: 401, code: "UNAUTHORIZED" })
  await expectProblem(await service.call(method, `/users/me${path}`, { key: "sk_unknown" }), {
    status: 401,
    code: "INVALID_API_KEY",
  })
})

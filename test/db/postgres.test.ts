import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { SQL } from "bun"
import { Created, expectProblem, OneSession, readAs } from "../http/answers.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: Service
let key: string
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startService({
    database: { ...database, url: proxy.url },
    env: { DATABASE_POOL_SIZE: "4" },
  })
  key = await service.register()
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})
afterEach(() => proxy.restore())

const unavailable = {
  status: 503,
  code: "DATABASE_UNAVAILABLE",
  message: "The database is not available at the moment. Please try again.",
}
const list = () => service.call("GET", "/sessions", { key })
const create = (title: string) => service.call("POST", "/sessions", { key, body: { title } })
const titled = (title: string) => database.sql`select id from sessions where title = ${title}`
/** How many matching statements were sent since the last `forget`. */
const sent = (statement: RegExp) => proxy.statements().filter((each) => statement.test(each)).length
/** The number of the service's connections on the server. */
const backends = async () =>
  (
    await database.sql`select 1 from pg_stat_activity
      where datname = current_database() and application_name = 'voice-agent'`
  ).length
/** The number of the service's queries that wait for a lock. */
const waiting = async () =>
  (
    await database.sql`select 1 from pg_stat_activity
      where datname = current_database() and application_name = 'voice-agent' and state = 'active'
        and wait_event_type = 'Lock'`
  ).length
/** Resolves when all connections of the pool are open and idle. */
const fillPool = () => Promise.all(Array.from({ length: 4 }, list))

describe("without a database", () => {
  const id = crypto.randomUUID()
  test.each([
    ["POST", "/users/register", { email: "ada@example.com" }],
    ["POST", "/auth/register", { email: "ada@example.com" }],
    ["POST", "/auth/login", { apiKey: "sk_unknown" }],
    ["POST", "/sessions", {}],
    ["GET", "/sessions", undefined],
    ["GET", `/sessions/${id}`, undefined],
    ["PATCH", `/sessions/${id}`, { title: "x" }],
    ["DELETE", `/sessions/${id}`, undefined],
    ["GET", `/sessions/${id}/messages`, undefined],
    ["POST", "/voice/conversation", undefined],
  ])("%s %s is 503 with Retry-After", async (method, path, body) => {
    await fillPool()
    proxy.cut()
    // With connections in the pool, and without.
    for (let time = 0; time < 3; time++) {
      const call = await service.call(method, path, { key, ...(body === undefined ? {} : { body }) })
      await expectProblem(call, unavailable)
    }
    proxy.restore()
    expect((await list()).status).toBe(200)
  })

  test("routes without a query still work", async () => {
    proxy.cut()
    expect((await service.call("GET", "/health")).status).toBe(200)
    expect((await service.call("GET", "/sessions")).status).toBe(401)
    expect((await service.call("GET", "/nope")).status).toBe(404)
    await expectProblem(await service.call("POST", "/users/register", { body: {} }), {
      status: 400,
      code: "VALIDATION_ERROR",
    })
  })
})

describe("after it is back", () => {
  test("the next request works on a new connection", async () => {
    for (const next of [
      list,
      () => create("next"),
      () => service.call("POST", "/auth/login", { body: { apiKey: key } }),
    ]) {
      await fillPool()
      expect(proxy.connections()).toBe(4)
      proxy.drop()
      expect((await next()).ok).toBe(true)
    }
  })

  test("many concurrent requests work", async () => {
    await fillPool()
    proxy.drop()
    const answers = await Promise.all(Array.from({ length: 40 }, list))
    expect(answers.map(({ status }) => status)).toEqual(Array(40).fill(200))
  })

  test("a connection ended by the server is replaced", async () => {
    await fillPool()
    await database.sql`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'voice-agent'`
    await until(async () => (await backends()) === 0, "the server to end them")
    expect((await list()).status).toBe(200)
    expect((await create("terminated")).status).toBe(201)
  })
})

describe("a connection breaks", () => {
  test.each(["before", "after"] as const)("in a read, %s the server gets it: one retry", async (when) => {
    proxy.forget()
    proxy.breakOn(/from sessions/, when)
    expect((await list()).status).toBe(200)
    expect(sent(/from sessions/)).toBe(2)
  })

  test("twice during a read: 503", async () => {
    proxy.forget()
    proxy.breakOn(/from sessions/, "before", 2)
    await expectProblem(await list(), unavailable)
    expect(sent(/from sessions/)).toBe(2)
    expect((await list()).status).toBe(200)
  })

  test.each(["before", "after"] as const)("at BEGIN, %s the server gets it: one retry", async (when) => {
    const title = `begin ${when}`
    proxy.forget()
    proxy.breakOn(/^BEGIN/, when)
    expect((await create(title)).status).toBe(201)
    expect([sent(/^BEGIN/), sent(/insert into "?sessions/i), sent(/^COMMIT/)]).toEqual([2, 1, 1])
    expect(await titled(title)).toHaveLength(1)
  })

  test("twice at BEGIN: 503", async () => {
    proxy.forget()
    proxy.breakOn(/^BEGIN/, "before", 2)
    await expectProblem(await create("begin twice"), unavailable)
    expect([sent(/^BEGIN/), sent(/insert into/i)]).toEqual([2, 0])
    expect(await titled("begin twice")).toHaveLength(0)
  })

  test.each([
    ["in the transaction", /insert into "?sessions/i, "before", 0],
    ["in the transaction", /insert into "?sessions/i, "after", 0],
    ["at COMMIT", /^COMMIT/, "before", 0],
    // The statement succeeded, but the service cannot know that.
    ["at COMMIT", /^COMMIT/, "after", 1],
  ] as const)("%s (%p), %s the server gets it: 503, no retry", async (where, statement, when, rows) => {
    const title = `${where} ${when}`
    proxy.forget()
    proxy.breakOn(statement, when)
    await expectProblem(await create(title), unavailable)
    expect([sent(/^BEGIN/), sent(/insert into/i)]).toEqual([1, 1])
    expect(await titled(title)).toHaveLength(rows)
    expect((await create("as ever")).status).toBe(201)
  })
})

test("a database that refuses logins: 503 until it accepts them", async () => {
  const name = new URL(database.url).pathname.slice(1)
  const elsewhere = new SQL(new URL("/template1", database.url).href, { max: 1 })
  await elsewhere.unsafe(`alter database ${name} allow_connections false`)
  await fillPool()
  proxy.drop()
  await expectProblem(await list(), unavailable)
  await expectProblem(await list(), unavailable)
  await elsewhere.unsafe(`alter database ${name} allow_connections true`)
  await elsewhere.close()
  expect((await list()).status).toBe(200)
})

describe("an exhausted pool", () => {
  test("is 503 after the connect timeout, then recovers", async () => {
    const { sessionId } = await readAs(Created, await create("locked"))
    const locks = await database.sql.reserve()
    await locks`begin`
    await locks`select 1 from sessions where id = ${sessionId} for update`
    const patches = Array.from({ length: 4 }, (_, n) =>
      service.call("PATCH", `/sessions/${sessionId}`, { key, body: { title: `${n}` } }),
    )
    await until(async () => (await waiting()) === 4, "all connections to wait")
    await expectProblem(await list(), unavailable)
    await locks`rollback`
    locks.release()
    for (const answer of await Promise.all(patches)) {
      expect((await readAs(OneSession, answer)).session.id).toBe(sessionId)
    }
    expect((await list()).status).toBe(200)
  })
})

test("a client disconnect cancels the query, not the connection", async () => {
  const { sessionId } = await readAs(Created, await create("left"))
  const locks = await database.sql.reserve()
  await locks`begin`
  await locks`select 1 from sessions where id = ${sessionId} for update`
  const leave = new AbortController()
  const left = fetch(`${service.url}/sessions/${sessionId}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${key}` },
    signal: leave.signal,
  }).catch((error: Error) => error.name)
  await until(async () => (await waiting()) === 1, "the query to wait")
  leave.abort()
  expect(await left).toBe("AbortError")
  await until(async () => (await waiting()) === 0, "the query to be cancelled")
  await locks`rollback`
  locks.release()
  expect(await titled("left")).toHaveLength(1)
  expect((await list()).status).toBe(200)
})

/**
 * sql-pg cancels the statement of an interrupted fiber by the pid of its connection. The cancel may arrive late and hit
 * the next statement on that connection.
 */
describe("a statement cancelled in place of another", () => {
  test.each([
    ["a query", "PATCH", 200],
    ["a transaction", "DELETE", 204],
  ] as const)("is retried: %s", async (_, method, status) => {
    const { sessionId } = await readAs(Created, await create("hit"))
    const locks = await database.sql.reserve()
    await locks`begin`
    await locks`select 1 from sessions where id = ${sessionId} for update`
    const body = method === "PATCH" ? { body: { title: "hit again" } } : {}
    const answer = service.call(method, `/sessions/${sessionId}`, { key, ...body })
    const cancelled = await until(async () => {
      const [hit] =
        await database.sql`select query_start, pg_cancel_backend(pid) as was_hit from pg_stat_activity
        where datname = current_database() and application_name = 'voice-agent' and wait_event_type = 'Lock'`
      return hit
    }, "a statement to wait")
    await until(async () => {
      const [next] = await database.sql`select query_start from pg_stat_activity
        where datname = current_database() and application_name = 'voice-agent' and wait_event_type = 'Lock'`
      return next !== undefined && next.query_start > cancelled.query_start
    }, "the retry to wait")
    await locks`rollback`
    locks.release()
    expect((await answer).status).toBe(status)
  })
})

test("well-formed and malformed keys cost the same queries", async () => {
  const work = []
  for (const apiKey of [key, `sk_${"0".repeat(64)}`, "x", "x".repeat(5000), "sk_\0"]) {
    proxy.forget()
    await service.call("POST", "/auth/login", { body: { apiKey } })
    work.push([...proxy.statements()])
  }
  expect(work[0]).toHaveLength(1)
  for (const statements of work) expect(statements).toEqual(work[0] ?? [])
})

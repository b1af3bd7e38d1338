import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { SQL } from "bun"
import { Created, expectProblem, readAs } from "../http/answers.ts"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, makeEmptyDatabase, type TestDatabase } from "../support/database.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
const poolSize = 4
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startTurns({
    database,
    // No faster: on a busy machine, the connect timeout would be too short.
    speed: 5,
    env: { DATABASE_URL: proxy.url, DATABASE_POOL_SIZE: `${poolSize}` },
  })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})
afterEach(async () => {
  proxy.redirect()
  proxy.restore()
  await service.nothingLeft()
})

const list = () => service.call("GET", "/sessions", { key })
const create = () => service.call("POST", "/sessions", { key, body: {} })
const turn = () => service.converse(key, new Blob([recording]), { accept: "application/json" })
/** Sends concurrent requests and awaits all of them. */
const all = (ask: () => Promise<Response>, times: number) =>
  Promise.all(Array.from({ length: times }, ask)).then((answers) =>
    Promise.all(answers.map(async (answer) => ({ status: answer.status, body: await answer.text() }))),
  )
const statusesOf = (answers: ReadonlyArray<{ readonly status: number }>) =>
  [...new Set(answers.map(({ status }) => status))].toSorted()
const fillPool = () => all(list, poolSize)
const unavailable = { status: 503, code: "DATABASE_UNAVAILABLE" }
const works = async () => {
  expect((await list()).status).toBe(200)
  expect((await create()).status).toBe(201)
  expect((await turn()).status).toBe(200)
}

describe("a server that vanishes", () => {
  test("a read: retried on the next server", async () => {
    await fillPool()
    proxy.vanish()
    expect(statusesOf(await all(list, 20))).toEqual([200])
    await works()
    await until(() => proxy.connections() <= poolSize, "the dead connections to be given up")
  })

  test("a transaction: 503, later requests are not delayed", async () => {
    await fillPool()
    proxy.breakOn(/insert into "?sessions/i, "vanish")
    await expectProblem(await create(), unavailable)
    expect(statusesOf(await all(list, 20))).toEqual([200])
    await works()
  })

  test("during a turn: saved on a new connection", async () => {
    await fillPool()
    service.upstream.script("tts", [{ seconds: 1, chunkBytes: 2000, chunkDelayMs: 15 }])
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    proxy.vanish()
    const { status, whole } = await client.answer()
    expect({ status, whole }).toEqual({ status: 200, whole: true })
    await works()
  })
})

describe("a server that fails over", () => {
  const elsewhere = () => new SQL(new URL("/template1", database.url).href, { max: 1 })
  const setReadOnly = async (value: "on" | "off") => {
    const admin = elsewhere()
    const name = new URL(database.url).pathname.slice(1)
    await admin.unsafe(`alter database ${name} set default_transaction_read_only = ${value}`)
    await admin.close()
  }

  test("to a standby: reads work, writes are 503 until promotion", async () => {
    await setReadOnly("on")
    proxy.drop()
    await fillPool()
    expect((await list()).status).toBe(200)
    for (const ask of [create, turn]) await expectProblem(await ask(), unavailable)
    // Fills the pool with read-only connections.
    await fillPool()
    await setReadOnly("off")
    await all(create, 1)
    expect(statusesOf(await all(create, 20))).toEqual([201])
    await works()
  })

  test.each(["57P03", "57P01", "53300", "08006", "28P01"])(
    "while connections fail with %s: 503, then recovers",
    async (refusal) => {
      await fillPool()
      proxy.redirect({ refusal })
      proxy.drop()
      for (const ask of [list, create, turn]) await expectProblem(await ask(), unavailable)
      expect(statusesOf(await all(list, 20))).toEqual([503])
      proxy.redirect()
      await works()
    },
  )
})

test("a server with fewer connections than the pool: 200 or 503", async () => {
  const limited = await makeEmptyDatabase()
  const role = new URL(limited.url).pathname.slice(1)
  await limited.sql.unsafe(`create role ${role} login password 'secret' connection limit 3`)
  await limited.sql.unsafe(`alter schema public owner to ${role}`)
  const url = new URL(limited.url)
  Object.assign(url, { username: role, password: "secret" })
  const small = await startTurns({
    database: { ...limited, url: url.href },
    env: { DATABASE_POOL_SIZE: "10" },
  })
  const own = await small.register()
  const ask = () => small.call("POST", "/sessions", { key: own, body: {} })
  const statuses = statusesOf(await all(ask, 50))
  expect(statuses).toContain(201)
  for (const status of statuses) expect([201, 503]).toContain(status)
  for (let time = 0; time < 10; time++) expect((await ask()).status).toBe(201)
  await small.stop()
  await limited.sql.unsafe(`drop owned by ${role} cascade`)
  await limited.sql.unsafe(`drop role ${role}`)
  await limited.drop()
})

describe("a pool smaller than the load", () => {
  test("answers 200 or 503 and loses no connection", async () => {
    const asked = [
      ...Array.from({ length: 50 }, turn),
      ...Array.from({ length: 100 }, list),
      ...Array.from({ length: 100 }, create),
    ]
    const answers = await Promise.all(asked)
    await Promise.all(answers.map((answer) => answer.bytes()))
    for (const status of statusesOf(answers)) expect([200, 201, 503]).toContain(status)
    expect(answers.filter(({ ok }) => ok).length).toBeGreaterThan(0)
    await service.nothingLeft()
    await fillPool()
    await works()
  })

  test("loses no connection when clients disconnect", async () => {
    const leave = async (ask: (signal: AbortSignal) => Promise<Response>, afterMs: number) => {
      const left = new AbortController()
      setTimeout(() => left.abort(), afterMs)
      await ask(left.signal).then(
        (answer) => answer.bytes(),
        () => undefined,
      )
    }
    const post = (signal: AbortSignal) =>
      fetch(`${service.url}/sessions`, {
        method: "POST",
        headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
        body: "{}",
        signal,
      })
    const converse = (signal: AbortSignal) => service.converse(key, new Blob([recording]), { signal })
    await Promise.allSettled(
      Array.from({ length: 300 }, (_, n) => leave(n % 5 === 0 ? converse : post, (n * 7) % 60)),
    )
    await service.nothingLeft()
    expect(proxy.connections()).toBeLessThanOrEqual(poolSize)
    expect(statusesOf(await all(create, poolSize))).toEqual([201])
    await works()
  })
})

test("a database with 500 ms latency: slow, no failures", async () => {
  // 50 ms each way in real time: 500 ms a round trip by the service's clock, which runs five times as fast.
  proxy.slow(50)
  const answers = await Promise.all([list(), create(), turn()])
  expect(answers.map(({ status }) => status)).toEqual([200, 201, 200])
})

test("a long statement is not aborted", async () => {
  const { sessionId } = await readAs(Created, await create())
  const locks = await database.sql.reserve()
  await locks`begin`
  await locks`select 1 from sessions where id = ${sessionId} for update`
  const patched = service.call("PATCH", `/sessions/${sessionId}`, { key, body: { title: "late" } })
  const waiting = async () => {
    const rows: ReadonlyArray<{ readonly pid: number }> = await database.sql`
      select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
    return rows[0]?.pid
  }
  const pid = await until(waiting, "it to wait")
  const asked = () => proxy.statements().filter((each) => each.includes("from pg_stat_activity")).length
  proxy.forget()
  await until(() => asked() > 0, "the server to be asked about it")
  expect(await waiting()).toBe(pid)
  await locks`rollback`
  locks.release()
  expect((await patched).status).toBe(200)
})

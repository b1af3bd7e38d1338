import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { multipartType } from "../support/multipart.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

const limits = {
  RATE_LIMIT_TURNS_PER_MINUTE: "3",
  RATE_LIMIT_REQUESTS_PER_MINUTE: "10",
  RATE_LIMIT_REGISTRATIONS_PER_HOUR: "2",
  RATE_LIMIT_LOGINS_PER_MINUTE: "2",
  RATE_LIMIT_WRONG_KEYS_PER_MINUTE: "3",
  TRUSTED_PROXIES: "127.0.0.1",
}

let database: TestDatabase
let proxy: TcpProxy
let service: Service
let audio = new Blob()
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startService({ database: { ...database, url: proxy.url }, env: limits })
  audio = new Blob([await wav16k()])
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})

/** A new client address each time. */
let clients = 0
const newClient = () => ({ "x-forwarded-for": `10.0.${clients >> 8}.${clients++ & 255}` })

const registerFrom = (headers: Record<string, string>, at = service) =>
  at.call("POST", "/users/register", { body: { email: `${crypto.randomUUID()}@example.com` }, headers })
const newKey = async () => {
  const answer: unknown = await (await registerFrom(newClient())).json()
  return /sk_[0-9a-f]+/.exec(JSON.stringify(answer))?.[0] ?? ""
}
const list = (key: string, headers = {}, at = service) => at.call("GET", "/sessions", { key, headers })
const converse = async (key: string, at = service) => {
  const answer = await at.converse(key, audio)
  if (answer.status === 200) await answer.bytes()
  return answer
}
const said = ({ headers }: Response) => [headers.get("ratelimit-policy"), headers.get("ratelimit")]

/** Uses the part of every limit that takes this many seconds to refill. */
const wholeIn = (seconds: number) =>
  database.sql`update rate_limits set whole_at = now() + make_interval(secs => ${seconds})`

describe("turns", () => {
  test("allow a burst, then the rate; headers tell the rest", async () => {
    const key = await newKey()
    const policy = '"turns";q=3;w=60'
    expect(said(await converse(key))).toEqual([policy, '"turns";r=2;t=20'])
    await wholeIn(15)
    expect(said(await converse(key))).toEqual([policy, '"turns";r=1;t=35'])
    for (const left of [2, 1, 0]) {
      await wholeIn(40 - 20 * left)
      expect(said(await converse(key))).toEqual([policy, `"turns";r=${left};t=${60 - 20 * left}`])
    }
    await wholeIn(60)
    const refused = await converse(key)
    expect(said(refused)).toEqual([policy, '"turns";r=0;t=20'])
    await expectProblem(refused, {
      status: 429,
      code: "RATE_LIMIT_EXCEEDED",
      message: "Too many turns: 3 a minute are allowed. Please try again in 20 s.",
      retryAfter: 20,
    })
    await wholeIn(48)
    await expectProblem(await converse(key), { status: 429, code: "RATE_LIMIT_EXCEEDED", retryAfter: 8 })
    // A 429 does not count.
    await wholeIn(40)
    expect((await converse(key)).status).toBe(200)
    await expectProblem(await converse(key), { status: 429, code: "RATE_LIMIT_EXCEEDED", retryAfter: 20 })
    await wholeIn(-1000)
    expect(said(await converse(key))).toEqual([policy, '"turns";r=2;t=20'])
  })

  test("over the limit: 429 before the body is read", async () => {
    const key = await newKey()
    for (let turn = 0; turn < 3; turn++) await converse(key)
    const client = await connectRaw(service.url)
    await client.send(
      head("POST /api/v1/voice/conversation", {
        authorization: `Bearer ${key}`,
        "content-type": multipartType,
        "content-length": `${20 * 1024 ** 2}`,
      }),
    )
    expect((await client.answer()).status).toBe(429)
    client.leave()
  })

  test("rejected requests count, before the body is read", async () => {
    const noTurn: ReadonlyArray<readonly [string, Record<string, string>, string, number]> = [
      ["/voice/conversation", { accept: "image/png" }, "", 406],
      ["/voice/conversation", { "idempotency-key": "é" }, "", 400],
      ["/voice/conversation", { "content-type": "text/plain" }, "x", 415],
      ["/voice/conversation", { "content-type": multipartType }, "x", 400],
      [`/sessions/${crypto.randomUUID()}/messages`, { "content-type": "application/json" }, "{}", 400],
      [`/sessions/${crypto.randomUUID()}/messages`, { "content-type": "application/json" }, "{", 400],
      [`/sessions/${crypto.randomUUID()}/messages?audio=loud`, {}, "", 400],
    ]
    for (const [path, headers, body, status] of noTurn) {
      const key = await newKey()
      const authorization = `Bearer ${key}`
      const answer = await fetch(`${service.url}${path}`, {
        method: "POST",
        headers: { authorization, ...headers },
        body,
      })
      expect([path, answer.status, answer.headers.get("ratelimit")]).toEqual([
        path,
        status,
        '"turns";r=2;t=20',
      ])
      for (let turn = 0; turn < 2; turn++) await converse(key)
      const client = await connectRaw(service.url)
      const length = { "content-length": `${2 ** 20}` }
      const type = { "content-type": "application/json" }
      await client.send(head(`POST /api/v1${path}`, { authorization, ...type, ...headers, ...length }))
      expect((await client.answer()).status).toBe(429)
      client.leave()
    }
  })

  test("turns and other requests are counted separately", async () => {
    const [key, other] = [await newKey(), await newKey()]
    for (let turn = 0; turn < 3; turn++) await converse(key)
    expect((await converse(key)).status).toBe(429)
    expect((await converse(other)).status).toBe(200)
    const answer = await list(key)
    expect(answer.status).toBe(200)
    expect(said(answer)).toEqual(['"requests";q=10;w=60', '"requests";r=9;t=6'])
  })
})

describe("other calls", () => {
  test("share one limit, whatever their result", async () => {
    const key = await newKey()
    const id = crypto.randomUUID()
    const calls: ReadonlyArray<readonly [string, string, number]> = [
      ["GET", "/sessions", 200],
      ["POST", "/sessions", 201],
      ["GET", `/sessions/${id}`, 404],
      ["DELETE", `/sessions/${id}`, 404],
      ["GET", `/sessions/${id}/messages`, 404],
      ["GET", "/sessions?limit=x", 400],
      ["DELETE", `/voice/turns/${id}`, 404],
    ]
    for (const [index, [method, path, status]] of calls.entries()) {
      const answer = await service.call(method, path, { key })
      expect([answer.status, answer.headers.get("ratelimit")]).toEqual([
        status,
        expect.stringContaining(`"requests";r=${9 - index};t=`),
      ])
    }
  })

  test("concurrent: exactly the limit passes", async () => {
    const key = await newKey()
    // The time-out of counting, after which a request passes, must not end on a busy machine.
    const patient = await startService({ database, env: limits, speed: 0.05 })
    const answers = await Promise.all(Array.from({ length: 40 }, () => list(key, {}, patient)))
    await patient.stop()
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(10)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(30)
  })

  test("cost one SQL statement", async () => {
    const key = await newKey()
    await list(key)
    proxy.forget()
    await list(key)
    expect(proxy.statements().filter((each) => each.includes("rate_limits"))).toHaveLength(1)
    proxy.forget()
    for (const path of ["/health", "/ready", "/nope"]) await service.call("GET", path)
    expect(proxy.statements().filter((each) => each.includes("rate_limits"))).toEqual([])
  })

  test("pass if they cannot be counted", async () => {
    const key = await newKey()
    proxy.breakOn(/rate_limits/, "before", 2)
    const answer = await list(key)
    expect([answer.status, ...said(answer)]).toEqual([200, null, null])
    const lock = await database.sql.reserve()
    await lock`begin`
    await lock`lock table rate_limits in exclusive mode`
    expect((await list(key)).status).toBe(200)
    await lock`rollback`
    lock.release()
    expect(said(await list(key))).not.toContain(null)
  })
})

describe("registrations and logins", () => {
  const login = (apiKey: string, headers: Record<string, string>) =>
    service.call("POST", "/auth/login", { body: { apiKey }, headers })

  test("are limited by client address", async () => {
    const client = newClient()
    const first = await registerFrom(client)
    expect([first.status, ...said(first)]).toEqual([
      201,
      '"registrations";q=2;w=3600',
      '"registrations";r=1;t=1800',
    ])
    const taken = await service.call("POST", "/auth/register", {
      body: { email: "twice@example.com" },
      headers: client,
    })
    expect(taken.status).toBe(201)
    await wholeIn(3600)
    await expectProblem(await registerFrom(client), {
      status: 429,
      code: "RATE_LIMIT_EXCEEDED",
      message: "Too many registrations: 2 an hour are allowed. Please try again in 1800 s.",
      retryAfter: 1800,
    })
    expect((await registerFrom(newClient())).status).toBe(201)
  })

  test("count before the body is read", async () => {
    const bodies: ReadonlyArray<readonly [string, string]> = [
      ["application/json", "{"],
      ["application/json", "[]"],
      ["application/json", ""],
      ["text/plain", "x"],
      ["application/json", `{"email":"${"x".repeat(2 ** 20)}"}`],
    ]
    for (const [path, policy] of [
      ["/users/register", "registrations"],
      ["/auth/register", "registrations"],
      ["/auth/login", "logins"],
    ]) {
      for (const [type, body] of bodies) {
        const client = newClient()
        const send = () =>
          fetch(`${service.url}${path}`, {
            method: "POST",
            headers: { "content-type": type, ...client },
            body,
          })
        const first = await send()
        expect([path, type, first.status >= 400, first.headers.get("ratelimit")]).toEqual([
          path,
          type,
          true,
          expect.stringContaining(`"${policy}";r=1;`),
        ])
        await send()
        expect((await send()).status).toBe(429)
        const slow = await connectRaw(service.url)
        await slow.send(
          head(`POST /api/v1${path}`, { ...client, "content-type": type, "content-length": "1000" }),
        )
        expect((await slow.answer()).status).toBe(429)
        slow.leave()
      }
      // Also without a body and a Content-Type.
      const client = newClient()
      const empty = await fetch(`${service.url}${path}`, { method: "POST", headers: client })
      expect(empty.headers.get("ratelimit")).toStartWith(`"${policy}";r=1;`)
    }
  })

  test("successful and failed logins count", async () => {
    const key = await newKey()
    const client = newClient()
    expect(said(await login(key, client))).toEqual(['"logins";q=2;w=60', '"logins";r=1;t=30'])
    const wrong = await login("sk_wrong", client)
    expect([wrong.status, wrong.headers.get("ratelimit")]).toEqual([
      401,
      expect.stringContaining('"logins";r=0;t='),
    ])
    await wholeIn(60)
    await expectProblem(await login(key, client), {
      status: 429,
      code: "RATE_LIMIT_EXCEEDED",
      retryAfter: 30,
    })
    expect((await login(key, newClient())).status).toBe(200)
  })
})

describe("wrong keys", () => {
  test("block an address without blocking other keys", async () => {
    const [known, unknown] = [await newKey(), await newKey()]
    const client = newClient()
    expect((await list(known, client)).status).toBe(200)
    for (const left of [2, 1, 0]) {
      const wrong = await list(`sk_${left}`, client)
      expect([wrong.status, ...said(wrong)]).toEqual([
        401,
        '"wrong-keys";q=3;w=60',
        expect.stringContaining(`"wrong-keys";r=${left};t=`),
      ])
    }
    await wholeIn(60)
    await expectProblem(await list("sk_4", client), {
      status: 429,
      code: "RATE_LIMIT_EXCEEDED",
      message: "Too many wrong keys: 3 a minute are allowed. Please try again in 20 s.",
      retryAfter: 20,
    })
    proxy.forget()
    // A valid key gets the same response.
    for (const guess of ["sk_5", unknown]) {
      const answer = await list(guess, client)
      expect(answer.status).toBe(429)
      expect(answer.headers.get("retry-after")).toMatch(/^(1\d|20)$/)
    }
    expect(proxy.statements()).toEqual([])
    await wholeIn(-1)
    expect((await list(known, client)).status).toBe(200)
    expect((await list(unknown, newClient())).status).toBe(200)
    // A request without a key does not count as a wrong key.
    expect((await service.call("GET", "/sessions", { headers: client })).status).toBe(401)
  })

  test("are counted for all routes together", async () => {
    const known = await newKey()
    const client = newClient()
    const me = (key: string) => service.call("GET", "/users/me", { key, headers: client })
    const cancel = (key: string) =>
      service.call("DELETE", `/voice/turns/${crypto.randomUUID()}`, { key, headers: client })
    const say = (key: string) =>
      service.call("POST", `/sessions/${crypto.randomUUID()}/messages`, {
        key,
        headers: client,
        body: { text: "Hi" },
      })
    const routes = [(key: string) => list(key, client), me, cancel, say]
    expect((await list(known, client)).status).toBe(200)
    for (const ask of routes.slice(0, 3)) expect((await ask("sk_1")).status).toBe(401)
    await wholeIn(60)
    expect((await me("sk_4")).status).toBe(429)
    proxy.forget()
    for (const ask of routes) expect((await ask("sk_5")).status).toBe(429)
    expect(proxy.statements()).toEqual([])
    await database.sql`delete from rate_limits where policy <> 'wrong-keys'`
    for (const [n, ask] of routes.entries()) {
      expect((await ask(known)).status).toBe([200, 200, 404, 404][n] ?? 0)
    }
  })

  test("are checked again when the next is due", async () => {
    const eager = await startService({ database, env: { ...limits, RATE_LIMIT_WRONG_KEYS_PER_MINUTE: "60" } })
    const client = newClient()
    expect((await list("sk_1", client, eager)).status).toBe(401)
    await wholeIn(60)
    for (const guess of ["sk_2", "sk_3"]) expect((await list(guess, client, eager)).status).toBe(429)
    await until(async () => (await list("sk_late", client, eager)).status === 401, "the next guess")
    await eager.stop()
  })
})

describe("a limit", () => {
  test("is shared by all processes and survives restarts", async () => {
    const key = await newKey()
    const other = await startService({ database, env: limits })
    expect((await converse(key, other)).headers.get("ratelimit")).toBe('"turns";r=2;t=20')
    expect((await converse(key)).headers.get("ratelimit")).toMatch(/^"turns";r=1;/)
    expect((await converse(key, other)).headers.get("ratelimit")).toMatch(/^"turns";r=0;/)
    await other.stop()
    const again = await startService({ database, env: limits })
    expect([(await converse(key, again)).status, (await converse(key)).status]).toEqual([429, 429])
    await again.stop()
  })

  test("of 0 is off", async () => {
    const unlimited = await startService({ database })
    await database.sql`delete from rate_limits`
    const key = await unlimited.register()
    for (let call = 0; call < 12; call++) expect(said(await list(key, {}, unlimited))).toEqual([null, null])
    for (let turn = 0; turn < 5; turn++) expect(said(await converse(key, unlimited))).toEqual([null, null])
    for (let guess = 0; guess < 5; guess++) expect((await list("sk_wrong", {}, unlimited)).status).toBe(401)
    expect(await database.sql`select 1 from rate_limits`).toHaveLength(0)
    await unlimited.stop()
  })
})

describe("the client address", () => {
  const isOne = async (...addresses: ReadonlyArray<string>) => {
    await database.sql`delete from rate_limits`
    const statuses = []
    for (const address of addresses)
      statuses.push((await registerFrom({ "x-forwarded-for": address })).status)
    return statuses.at(-1) === 429
  }

  test("is an IPv4 address or an IPv6 /64", async () => {
    expect(await isOne("192.0.2.1", "192.0.2.1", "192.0.2.1")).toBe(true)
    expect(await isOne("192.0.2.1", "192.0.2.2", "192.0.2.3")).toBe(false)
    expect(await isOne("2001:db8::1", "2001:db8::2", "2001:DB8:0:0:ffff::3")).toBe(true)
    expect(await isOne("2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1")).toBe(false)
    expect(await isOne("::ffff:192.0.2.1", "192.0.2.1:1234", "::ffff:c000:201")).toBe(true)
  })

  test("ignores headers of untrusted clients", async () => {
    const direct = await startService({ database, env: { ...limits, TRUSTED_PROXIES: "" } })
    await database.sql`delete from rate_limits`
    const statuses = []
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
      const headers = { "x-forwarded-for": address, forwarded: `for=${address}` }
      statuses.push((await registerFrom(headers, direct)).status)
    }
    expect(statuses).toEqual([201, 201, 429])
    await direct.stop()
  })

  test("ignores addresses from before a trusted proxy", async () => {
    expect(await isOne("1.1.1.1, 192.0.2.1", "2.2.2.2, 192.0.2.1", "192.0.2.1")).toBe(true)
  })
})

import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Service, startService } from "../support/service.ts"
import { Created, expectProblem, OneSession, readAs, SessionList } from "./answers.ts"

let service: Service
let key: string
beforeAll(async () => {
  service = await startService()
  key = await service.register()
})
afterAll(() => service.stop())

const notFound = { status: 404, code: "SESSION_NOT_FOUND", message: "There is no such session." }
const wrong = (message: RegExp) => ({ status: 400, code: "VALIDATION_ERROR", message })

const create = (body?: unknown) =>
  service.call("POST", "/sessions", { key, ...(body === undefined ? {} : { body }) })
const created = async (body?: unknown) => (await readAs(Created, await create(body))).sessionId
const get = (id: string) => service.call("GET", `/sessions/${id}`, { key })
const patch = (id: string, body: unknown) => service.call("PATCH", `/sessions/${id}`, { key, body })
const seen = async (answer: Response) => (await readAs(OneSession, answer)).session
/** A raw body that JSON.stringify would not produce. */
const sendJson = (method: string, path: string, body: string) =>
  fetch(`${service.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body,
  })
const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`

describe("POST /sessions", () => {
  test.each([
    ["nothing", undefined, { title: null, metadata: {} }],
    ["an empty object", {}, { title: null, metadata: {} }],
    ["a title", { title: "Holiday" }, { title: "Holiday", metadata: {} }],
    ["no title", { title: null }, { title: null, metadata: {} }],
    ["metadata", { metadata: { a: [1, { b: null }] } }, { title: null, metadata: { a: [1, { b: null }] } }],
    ["a field that it does not know", { colour: "red" }, { title: null, metadata: {} }],
    ["200 characters", { title: "😀".repeat(200) }, { title: "😀".repeat(200), metadata: {} }],
    ["the letters \\u0000", { metadata: { a: "\\u0000" } }, { title: null, metadata: { a: "\\u0000" } }],
    [
      "snake_case and camelCase",
      { metadata: { aB: 1, a_b: 2 } },
      { title: null, metadata: { aB: 1, a_b: 2 } },
    ],
  ])("accepts %s", async (_, body, details) => {
    const answer = await create(body)
    expect(answer.status).toBe(201)
    const { sessionId, createdAt } = await readAs(Created, answer)
    expect(await seen(await get(sessionId))).toMatchObject({
      id: sessionId,
      ...details,
      createdAt,
      lastActivityAt: createdAt,
      expired: false,
    })
    const [row] = await service.database.sql`select created_at from sessions where id = ${sessionId}`
    expect(row.created_at.toISOString()).toBe(createdAt)
  })

  test("accepts a form", async () => {
    const answer = await fetch(`${service.url}/sessions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: new URLSearchParams({ title: "Fünf & mehr" }),
    })
    const { sessionId } = await readAs(Created, answer)
    expect((await seen(await get(sessionId))).title).toBe("Fünf & mehr")
  })
})

const wrongDetails: ReadonlyArray<[string, unknown, RegExp]> = [
  ["a title that is a number", { title: 7 }, /^title: must be /],
  ["a title that is a list", { title: ["a"] }, /^title: must be /],
  ["a title of 201 characters", { title: "x".repeat(201) }, /^title: must have at most 200 characters$/],
  ["a title with a NUL", { title: "a\0b" }, /^title: .*NUL/],
  ["metadata that is a list", { metadata: [1] }, /^metadata: must be an object$/],
  ["metadata that is a text", { metadata: "a" }, /^metadata: must be an object$/],
  ["metadata that is null", { metadata: null }, /^metadata: must be an object$/],
  ["a NUL in metadata", { metadata: { a: "\0" } }, /^metadata: .*NUL/],
  ["a NUL deep in metadata", { metadata: { a: [{ b: ["c", "\0"] }] } }, /^metadata: .*NUL/],
  ["a NUL in a name in metadata", { metadata: { a: [{ "b\0": 1 }] } }, /^metadata: .*NUL/],
  ["a list", [], /^body: must be an object$/],
  ["null", null, /^body: must be an object$/],
  ["a text", "title", /^body: must be an object$/],
  ["a number", 7, /^body: must be an object$/],
]
/** Raw JSON that JSON.stringify would not produce. */
const wrongTexts: ReadonlyArray<[string, string, RegExp]> = [
  ["half a character in the title", '{"title":"\\ud800"}', /^title: .*half/],
  ["half a character in metadata", '{"metadata":{"a":["\\udc00"]}}', /^metadata: .*half/],
  ["half a character in a name", '{"metadata":{"\\ud800":1}}', /^metadata: .*half/],
  ["metadata nested 101 deep", `{"metadata":${nested(100)}}`, /^body: .*100/],
  ["metadata nested 100,000 deep", `{"metadata":${nested(100_000)}}`, /^body: .*100/],
  ["a number that is too large", '{"metadata":{"a":[{"b":1e400}]}}', /^metadata: .*number/],
  ["a number that is too small", '{"metadata":{"a":-1e309}}', /^metadata: .*number/],
  ["lists nested 500,000 deep", "[".repeat(500_000), /valid JSON|100/],
  ["60,000 values", `{"metadata":{"a":[${"1,".repeat(60_000)}1]}}`, /^body: .*50000/],
  ["60,000 names", `{${Array.from({ length: 60_000 }, (_, at) => `"k${at}":1`)}}`, /^body: .*50000/],
  ["a title of half a MB", `{"title":"${"x".repeat(500_000)}"}`, /^title: .*200/],
  ["JSON that breaks off", '{"title":', /valid JSON/],
]

describe.each(["POST", "PATCH"])("%s rejects invalid bodies", (method) => {
  const path = async () => (method === "POST" ? "/sessions" : `/sessions/${await created()}`)

  test.each(wrongDetails)("%s", async (_, body, message) => {
    await expectProblem(await service.call(method, await path(), { key, body }), wrong(message))
  })

  test.each(wrongTexts)("%s", async (_, body, message) => {
    await expectProblem(await sendJson(method, await path(), body), wrong(message))
  })
})

test("rejects a form of 200,000 fields", async () => {
  const answer = await fetch(`${service.url}/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/x-www-form-urlencoded" },
    body: "a=1&".repeat(200_000),
  })
  await expectProblem(answer, wrong(/^body: .*100 fields/))
})

test("keeps metadata: 99 levels deep, and names like __proto__", async () => {
  const body = `{"metadata":{"__proto__":{"x":1},"constructor":2,"deep":${nested(98)}}}`
  const { sessionId } = await readAs(Created, await sendJson("POST", "/sessions", body))
  const text = await (await get(sessionId)).text()
  expect(text).toContain('"__proto__":{"x":1}')
  expect(text).toContain('"constructor":2')
  expect(text).toContain(nested(98))
})

describe("PATCH /sessions/:id", () => {
  test("changes only the given fields", async () => {
    const id = await created({ title: "Old", metadata: { a: 1, b: 2 } })
    const before = await seen(await get(id))
    const changes: ReadonlyArray<[unknown, object]> = [
      [{ title: "New" }, { title: "New" }],
      [{ metadata: { c: 3 } }, { title: "New", metadata: { c: 3 } }],
      [{}, { title: "New", metadata: { c: 3 } }],
      [{ other: 1 }, { title: "New", metadata: { c: 3 } }],
      [{ title: null }, { title: null, metadata: { c: 3 } }],
      [
        { title: "Both", metadata: {} },
        { title: "Both", metadata: {} },
      ],
    ]
    for (const [body, after] of changes) {
      const answer = await patch(id, body)
      expect(answer.status).toBe(200)
      const session = await seen(answer)
      expect(session).toEqual({ ...before, ...after })
      expect(await seen(await get(id))).toEqual(session)
    }
  })
})

describe("DELETE /sessions/:id", () => {
  test("deletes the messages, once", async () => {
    const id = await created()
    await service.database.sql`
      insert into messages (session_id, turn_id, role, content) values (${id}, ${crypto.randomUUID()}, 'user', 'Hi')`
    const answer = await service.call("DELETE", `/sessions/${id}`, { key })
    expect(answer.status).toBe(204)
    expect(await answer.text()).toBe("")
    expect(await service.database.sql`select 1 from messages where session_id = ${id}`).toHaveLength(0)
    await expectProblem(await service.call("DELETE", `/sessions/${id}`, { key }), notFound)
    await expectProblem(await get(id), notFound)
  })

  test("ignores a body", async () => {
    for (const type of ["text/plain", "application/json"]) {
      const answer = await fetch(`${service.url}/sessions/${await created()}`, {
        method: "DELETE",
        headers: { authorization: `Bearer ${key}`, "content-type": type },
        body: "{",
      })
      expect(answer.status).toBe(204)
    }
  })
})

describe("another user's session", () => {
  const calls: ReadonlyArray<[string, string]> = [
    ["GET", ""],
    ["PATCH", ""],
    ["DELETE", ""],
    ["GET", "/messages"],
  ]
  const ask = (id: string) =>
    Promise.all(
      calls.map(async ([method, rest]) =>
        expectProblem(
          await service.call(method, `/sessions/${id}${rest}`, {
            key,
            ...(method === "PATCH" ? { body: { title: "Mine" } } : {}),
          }),
          notFound,
        ),
      ),
    )

  test("is 404 and unchanged", async () => {
    const other = await service.register()
    const { sessionId } = await readAs(Created, await service.call("POST", "/sessions", { key: other }))
    await ask(sessionId)
    const mine = await service.call("GET", `/sessions/${sessionId}`, { key: other })
    expect(await seen(mine)).toMatchObject({ id: sessionId, title: null })
  })

  test.each([
    crypto.randomUUID(),
    "00000000-0000-0000-0000-000000000000",
    "nope",
    "1",
    "%00",
    "%ff",
    "%zz",
    "..%2f..",
    "' or 1=1--",
    "ä",
    "x".repeat(5000),
  ])("is not found by the id %s", ask)

  test("an id in capitals is found", async () => {
    const id = await created()
    expect((await seen(await get(id.toUpperCase()))).id).toBe(id)
  })
})

test("a session expires after SESSION_TIMEOUT_MINUTES", async () => {
  const id = await created()
  for (const [idle, expired] of [
    ["29 minutes", false],
    ["31 minutes", true],
  ]) {
    await service.database.sql`
      update sessions set last_activity_at = now() - ${idle}::interval where id = ${id}`
    expect((await seen(await get(id))).expired).toBe(expired === true)
    const list = await readAs(SessionList, await service.call("GET", "/sessions?limit=100", { key }))
    expect(list.sessions.find((session) => session.id === id)?.expired).toBe(expired === true)
  }
})

describe("GET /sessions", () => {
  const list = (user: string, query = "") => service.call("GET", `/sessions${query}`, { key: user })
  const page = async (user: string, query = "") => readAs(SessionList, await list(user, query))

  test("is an empty page for a new user", async () => {
    expect(await page(await service.register())).toEqual({ sessions: [], nextCursor: null })
  })

  test("pages over 45 sessions by latest activity", async () => {
    const user = await service.register()
    await service.call("POST", "/sessions", { key: user, body: { title: "latest" } })
    await service.database.sql`
      insert into sessions (user_id, title, last_activity_at)
      select user_id, n::text, last_activity_at - (n / 10) * interval '1 microsecond' - interval '1 second'
      from sessions, generate_series(1, 44) as n where title = 'latest'`
    const walk = async (limit: number) => {
      const pages: Array<typeof SessionList.Type> = []
      for (let cursor = ""; ; ) {
        const next = await page(user, `?limit=${limit}${cursor}`)
        pages.push(next)
        if (next.nextCursor === null) return pages
        cursor = `&cursor=${encodeURIComponent(next.nextCursor)}`
      }
    }
    const ordered: ReadonlyArray<{ readonly id: string }> = await service.database.sql`
      select s.id from sessions s join sessions l using (user_id) where l.title = 'latest'
      order by s.last_activity_at desc, s.id desc`
    for (const [limit, sizes] of [
      [20, [20, 20, 5]],
      [15, [15, 15, 15]],
      [44, [44, 1]],
      [45, [45]],
      [100, [45]],
    ] as const) {
      const pages = await walk(limit)
      expect(pages.map(({ sessions }) => sessions.length)).toEqual([...sizes])
      expect(pages.flatMap(({ sessions }) => sessions.map(({ id }) => id))).toEqual(
        ordered.map(({ id }) => id),
      )
    }
    expect((await page(user)).sessions).toHaveLength(20)
    expect((await page(user, "?limit=1")).sessions.map(({ title }) => title)).toEqual(["latest"])
  })

  test.each([
    "0",
    "-1",
    "101",
    "1.5",
    "ten",
    "",
    "%201",
    "1e1",
    "0x10",
    "Infinity",
    "NaN",
    "%zz",
    "1&limit=2",
  ])("rejects limit=%s", async (limit) => {
    await expectProblem(
      await list(key, `?limit=${limit}`),
      wrong(/^limit: must be a whole number from 1 to 100$/),
    )
  })

  const forged = (position: unknown) => Buffer.from(JSON.stringify(position)).toString("base64url")
  const id = crypto.randomUUID()
  test.each([
    ["nothing", ""],
    ["a word", "next"],
    ["no UTF-8", "%ff"],
    ["an id", id],
    ["two cursors", `${forged(["0", id])}&cursor=${forged(["0", id])}`],
    ["a list of nothing", forged([])],
    ["an object", forged({ id })],
    ["no id", forged(["1700000000000000", "nope"])],
    ["a time in words", forged(["yesterday", id])],
    ["an invalid month", forged(["2020-13-45 00:00:00", id])],
    ["an unknown time zone", forged(["2020-01-01 00:00:00+99", id])],
    ["too many digits", forged(["9".repeat(30), id])],
    ["a number", forged([1700000000000000, id])],
    ["SQL", forged(["0'; drop table users; --", id])],
    ["a NUL", forged(["\0", id])],
  ])("rejects a cursor of %s", async (_, cursor) => {
    await expectProblem(await list(key, `?cursor=${cursor}`), wrong(/^cursor: /))
  })

  test("a forged cursor shows no other user's sessions", async () => {
    const user = await service.register()
    const far = forged(["9".repeat(16), id])
    expect(await page(user, `?cursor=${far}`)).toEqual({ sessions: [], nextCursor: null })
  })
})

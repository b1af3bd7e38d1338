import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Service, startService } from "../support/service.ts"
import { Created, expectProblem, MessageList, readAs } from "./answers.ts"

let service: Service
let key: string
/** 500 messages with the same timestamp: only their sequence orders them. */
let long: string
let longIds: ReadonlyArray<string>

const create = async () => (await readAs(Created, await service.call("POST", "/sessions", { key }))).sessionId
const ask = (session: string, query = "", user = key) =>
  service.call("GET", `/sessions/${session}/messages${query}`, { key: user })
const messages = async (session: string, query = "") =>
  (await readAs(MessageList, await ask(session, query))).messages
const texts = async (session: string, query = "") =>
  (await messages(session, query)).map(({ content }) => content)
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `message ${from + i}`)

beforeAll(async () => {
  service = await startService()
  key = await service.register()
  long = await create()
  const rows: ReadonlyArray<{ readonly id: string }> = await service.database.sql`
    insert into messages (session_id, turn_id, role, content, created_at)
    select ${long}, gen_random_uuid(), case n % 2 when 1 then 'user' else 'assistant' end, 'message ' || n, now()
    from generate_series(1, 500) as n order by n returning id`
  longIds = rows.map(({ id }) => id)
})
afterAll(() => service.stop())

test("an empty session has no messages", async () => {
  expect(await messages(await create())).toEqual([])
})

test("returns a message as stored", async () => {
  const session = await create()
  const turn = crypto.randomUUID()
  const [row] = await service.database.sql`
    insert into messages (session_id, turn_id, role, content, interrupted, audio_url)
    values (${session}, ${turn}, 'assistant', 'Grüße 😀 "&<\n', true, 'https://elsewhere.example/a.mp3')
    returning id, created_at`
  expect(await messages(session)).toEqual([
    {
      id: row.id,
      turnId: turn,
      role: "assistant",
      content: 'Grüße 😀 "&<\n',
      interrupted: true,
      createdAt: row.created_at.toISOString(),
    },
  ])
})

test.each([
  ["", 481],
  ["?limit=1", 500],
  ["?limit=2", 499],
  ["?limit=200", 301],
])("returns the newest messages in order: %s", async (query, first) => {
  expect(await texts(long, query)).toEqual(numbers(first, 500))
})

test("`before` pages back to the first message", async () => {
  const pages: Array<ReadonlyArray<string>> = []
  for (let query = "?limit=150"; ; ) {
    const page = await messages(long, query)
    if (page.length === 0) break
    pages.unshift(page.map(({ content }) => content))
    query = `?limit=150&before=${page[0]?.id}`
  }
  expect(pages.map(({ length }) => length)).toEqual([50, 150, 150, 150])
  expect(pages.flat()).toEqual(numbers(1, 500))
})

test("`before` accepts an id in capitals", async () => {
  expect(await texts(long, `?limit=2&before=${longIds[99]?.toUpperCase()}`)).toEqual(numbers(98, 99))
})

test.each(["0", "-1", "201", "1.5", "ten", "", "1&limit=2"])("limit=%s is rejected", async (limit) => {
  await expectProblem(await ask(long, `?limit=${limit}`), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: "limit: must be a whole number from 1 to 200",
  })
})

test.each(["", "nope", "1", "%00", "%ff", `${crypto.randomUUID()}&before=${crypto.randomUUID()}`])(
  "before=%s is rejected",
  async (before) => {
    await expectProblem(await ask(long, `?before=${before}`), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: "before: must be the id of a message",
    })
  },
)

test("`before` must be a message of this session", async () => {
  const unknown = { status: 400, code: "VALIDATION_ERROR", message: /^before: / }
  await expectProblem(await ask(long, `?before=${crypto.randomUUID()}`), unknown)
  await expectProblem(await ask(await create(), `?before=${longIds[0]}`), unknown)
})

test("another user's messages are 404", async () => {
  const other = await service.register()
  const notFound = { status: 404, code: "SESSION_NOT_FOUND" }
  await expectProblem(await ask(long, "", other), notFound)
  await expectProblem(await ask(long, `?before=${longIds[10]}`, other), notFound)
  await expectProblem(await ask(crypto.randomUUID()), notFound)
  await expectProblem(await ask("nope"), notFound)
})

test("an expired session stays readable", async () => {
  await service.database
    .sql`update sessions set last_activity_at = now() - interval '400 days' where id = ${long}`
  expect(await texts(long, "?limit=1")).toEqual(numbers(500, 500))
})

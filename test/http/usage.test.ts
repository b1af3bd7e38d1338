import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { UsageReport } from "../../src/http/payloads.ts"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { expectProblem, readAs } from "./answers.ts"

const prices = {
  currency: "EUR",
  models: {
    "whisper-1": { perAudioMinute: 0.006 },
    "gpt-3.5-turbo": { perMillionInputTokens: 500, perMillionOutputTokens: 1500 },
    "tts-1": { perMillionCharacters: 15 },
  },
}

let service: TurnService
/** A second process, where pauses and time-outs pass faster. */
let hasty: TurnService
let key: string
let audio = new Blob()
beforeAll(async () => {
  const env = { PRICES: JSON.stringify(prices), MONTHLY_LIMIT: "1000" }
  service = await startTurns({ env })
  hasty = await startTurns({ database: service.database, speed: 10, env })
  audio = new Blob([await wav16k()])
})
beforeEach(async () => {
  service.reset()
  hasty.reset()
  key = await service.register()
})
afterAll(async () => {
  await hasty.stop()
  await service.stop()
})

const Spent = Schema.Struct({
  sessionId: Schema.String,
  turnId: Schema.String,
  usage: Schema.Struct({
    audioSeconds: Schema.Number,
    inputTokens: Schema.Number,
    outputTokens: Schema.Number,
    charactersSpoken: Schema.Number,
    cost: Schema.NullOr(Schema.Number),
    currency: Schema.String,
  }),
})
type Usage = (typeof Spent.Type)["usage"]

const costOf = ({ audioSeconds, inputTokens, outputTokens, charactersSpoken }: Usage) =>
  (audioSeconds * 0.006) / 60 + (inputTokens * 500 + outputTokens * 1500 + charactersSpoken * 15) / 1e6

/** Without a check of what else there is. */
const partOf = async <A, I>(schema: Schema.Schema<A, I>, answer: Response) =>
  Schema.decodeUnknownSync(schema)(await answer.json())
const take = async (headers: Record<string, string> = {}, owner = key) =>
  partOf(Spent, await service.converse(owner, audio, { accept: "application/json", headers }))
const report = async (query = "", owner = key) =>
  readAs(UsageReport, await service.call("GET", `/usage${query}`, { key: owner }))
const userOf = async (apiKey: string) => {
  const [{ id }] = await service.database.sql`
    select user_id as id from api_keys where key_hash = encode(sha256(${apiKey}::bytea), 'hex')`
  return id
}
const setLimit = async (amount: number, owner = key) => {
  await service.database.sql`insert into monthly_limits values (${await userOf(owner)}, ${amount})
    on conflict (user_id) do update set amount = excluded.amount`
}
/** What the user's turns of this month have cost, once none of them runs. */
const settled = async (owner = key) => {
  await service.nothingLeft()
  const id = await userOf(owner)
  await until(
    async () =>
      (await service.database.sql`select 1 from turns where user_id = ${id} and state = 'running'`).length ===
      0,
    "an end of all turns",
  )
  return report("", owner)
}

/** Checks a refusal, its sentence and its times. */
const expectExceeded = async (refused: Response) => {
  const retryAfter = Number(refused.headers.get("retry-after"))
  const message = await expectProblem(refused, {
    status: 429,
    code: "QUOTA_EXCEEDED",
    message: /^Your monthly limit of [\d.e-]+ EUR is used up/,
    retryAfter,
  })
  const next = / (\d{4}-\d\d-01T00:00:00\.000Z)/.exec(message)?.[1] ?? ""
  expect(Math.abs(Date.parse(next) - Date.now() - retryAfter * 1000)).toBeLessThan(60_000)
}

describe("a turn", () => {
  test("has its cost in JSON, in its event stream and in its row", async () => {
    const { usage, turnId } = await take()
    expect(usage.currency).toBe("EUR")
    const cost = usage.cost ?? Number.NaN
    expect(cost).toBeCloseTo(costOf(usage), 9)
    const [row] = await service.database.sql`
      select models, cost_nanos::float8 as nanos, currency, key_id from turns where id = ${turnId}`
    expect(row.nanos / 1e9).toBe(cost)
    expect(row.key_id).toBeString()
    expect(row.models.map(({ stage, model }: Record<string, string>) => [stage, model]).toSorted()).toEqual([
      ["llm", "gpt-3.5-turbo"],
      ["stt", "whisper-1"],
      ["tts", "tts-1"],
    ])
    const events = await (await service.converse(key, audio, { accept: "text/event-stream" })).text()
    const done = JSON.parse(/event: turn\.completed\ndata: (.*)\n/.exec(events)?.[1] ?? "")
    expect(done.usage).toEqual(usage)
  })

  test("that is replayed shows what it cost, and costs nothing more", async () => {
    const headers = { "idempotency-key": "again" }
    const first = await take(headers)
    expect((await take(headers)).usage).toEqual(first.usage)
    expect(await settled()).toMatchObject({ total: { turns: 1, cost: first.usage.cost } })
  })

  test("that fails counts what was paid, retries included", async () => {
    hasty.upstream.script(
      "tts",
      Array.from({ length: 10 }, () => fail.status(503)),
    )
    expect((await hasty.converse(key, audio, { accept: "application/json" })).status).toBe(500)
    await hasty.nothingLeft()
    const { total, month } = await settled()
    const requests = hasty.upstream.calls("tts")
    expect(requests.length).toBeGreaterThan(1)
    const characters = requests.reduce((sum, { request }) => sum + (request.input?.length ?? 0), 0)
    expect(total).toMatchObject({ turns: 1, unpriced: 0, charactersSpoken: characters })
    expect(month.spent).toBe(total.cost ?? 0)
    expect(total.cost).toBeGreaterThan((characters * 15) / 1e6)
  })

  test("that its client leaves counts", async () => {
    service.upstream.script("llm", [fail.hang()])
    const leaving = new AbortController()
    const left = service.converse(key, audio, { signal: leaving.signal }).catch(() => undefined)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0], "a request to the model")
    leaving.abort()
    await left
    const { total } = await settled()
    expect(total).toMatchObject({ turns: 1, audioSeconds: 2, outputTokens: 0 })
    // The model has read the prompt.
    expect(total.inputTokens).toBeGreaterThan(0)
    expect(total.cost).toBeCloseTo(0.0002 + (total.inputTokens * 500) / 1e6, 9)
  })

  test("that is deleted while it runs counts", async () => {
    const { sessionId, usage } = await take()
    service.upstream.script("llm", [fail.hang()])
    const cut = service.converse(key, audio, { sessionId }).catch(() => undefined)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[1], "a request to the model")
    expect((await service.call("DELETE", `/sessions/${sessionId}`, { key })).status).toBe(204)
    await cut
    const { total } = await settled()
    expect(total.audioSeconds).toBe(2 * usage.audioSeconds)
    const unanswered = total.inputTokens - usage.inputTokens
    expect(unanswered).toBeGreaterThan(0)
    expect(total.cost).toBeCloseTo((usage.cost ?? 0) + 0.0002 + (unanswered * 500) / 1e6, 9)
  })

  test("that another process took for dead counts", async () => {
    hasty.upstream.script("llm", [fail.hang()])
    const lost = hasty.converse(key, audio).catch(() => undefined)
    await hasty.upstream.waitFor(() => hasty.upstream.calls("llm")[0], "a request to the model")
    await service.database.sql`update turns set state = 'failed', lease_until = null, ended_at = now()
      where user_id = ${await userOf(key)}`
    await lost
    await until(async () => (await report()).total.audioSeconds === 2, "its usage")
  })
})

describe("GET /usage", () => {
  test("sums by day, agent and key", async () => {
    const created = await service.call("POST", "/agents", { key, body: { name: "Concierge" } })
    const { agent } = await partOf(Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) }), created)
    const other = await partOf(
      Schema.Struct({ id: Schema.String, apiKey: Schema.String }),
      await service.call("POST", "/users/me/keys", { key, body: { name: "Phone" } }),
    )
    const first = await take()
    const session = await partOf(
      Schema.Struct({ sessionId: Schema.String }),
      await service.call("POST", "/sessions", { key, body: { agentId: agent.id } }),
    )
    const text = await service.call("POST", `/sessions/${session.sessionId}/messages?audio=false`, {
      key: other.apiKey,
      body: { text: "Hello" },
      headers: { accept: "application/json" },
    })
    const second = await partOf(Spent, text)
    const sum = (first.usage.cost ?? 0) + (second.usage.cost ?? 0)
    const usual = await settled()
    expect(usual.from).toBe(`${usual.to.slice(0, 7)}-01`)
    // The turns may have ended on two days, even of two months.
    const rows: ReadonlyArray<{ readonly day: string; readonly turns: number }> = await service.database.sql`
      select day::text as day, sum(turns)::int as turns from usage_days where user_id = ${await userOf(key)}
      group by day order by day`
    const [from, to] = [rows[0]?.day, rows.at(-1)?.day]
    const range = `from=${from}&to=${to}`
    const days = await report(`?${range}`)
    expect(days).toMatchObject({ from, to, currency: "EUR", nextCursor: null, total: { turns: 2 } })
    expect(days.entries).toMatchObject(rows.map(({ day, turns }) => ({ day, turns, unpriced: 0 })))
    expect(days.total.cost).toBeCloseTo(sum, 9)
    const [{ nanos }] = await service.database
      .sql`select coalesce(sum(cost_nanos), 0)::float8 as nanos from usage_days
      where user_id = ${await userOf(key)} and day >= ${days.month.resetsAt}::timestamptz - interval '1 month'`
    expect(days.month).toMatchObject({ limit: 1000, spent: nanos / 1e9 })
    const agents = await report(`?groupBy=agent&${range}`)
    expect(
      agents.entries.map(({ agentId, name, cost }) => ({ agentId: `${agentId}`, name: name ?? null, cost })),
    ).toEqual(
      [
        { agentId: agent.id, name: "Concierge", cost: second.usage.cost },
        { agentId: "default", name: null, cost: first.usage.cost },
      ].toSorted((one, two) => (one.agentId < two.agentId ? -1 : 1)),
    )
    const keys = await report(`?groupBy=key&${range}`)
    expect(keys.entries.find(({ keyId }) => keyId === other.id)).toMatchObject({
      name: "Phone",
      turns: 1,
      cost: second.usage.cost,
    })
    expect(keys.entries).toHaveLength(2)
    // Deleting what was said does not give the money back.
    for (const { sessionId } of [first, second])
      await service.call("DELETE", `/sessions/${sessionId}`, { key })
    expect((await report(`?${range}`)).total).toEqual(days.total)
    expect((await report("", await service.register())).entries).toEqual([])
  })

  test("has pages", async () => {
    const id = await userOf(key)
    await service.database.sql`insert into usage_days
      select ${id}, date '2025-12-30' + n, null, null, case when n = 2 then 'JPY' else 'EUR' end, 1, 0, 1, 2, 3, 4, 1e9
      from generate_series(0, 4) as n`
    const range = "from=2025-12-30&to=2026-01-03"
    const pages = []
    let cursor: string | null = ""
    while (cursor !== null) {
      const page: typeof UsageReport.Type = await report(
        `?${range}&limit=2${cursor === "" ? "" : `&cursor=${cursor}`}`,
      )
      pages.push(page.entries.map(({ day }) => day))
      // The amount in another currency is not in the sum.
      expect(page.total).toMatchObject({ turns: 5, unpriced: 1, cost: 4 })
      cursor = page.nextCursor
    }
    expect(pages).toEqual([["2025-12-30", "2025-12-31"], ["2026-01-01", "2026-01-02"], ["2026-01-03"]])
    expect((await report("?from=2026-01-01&to=2026-01-01")).entries).toMatchObject([
      { cost: null, unpriced: 1 },
    ])
    expect((await report("?to=2026-01-02")).from).toBe("2026-01-01")
  })

  test("shows sums of any size", async () => {
    const id = await userOf(key)
    const most = "9223372036854775807"
    await service.database.sql`insert into usage_days
      select ${id}, date '2025-12-30' + n, null, null, 'EUR', 1, 0, 1e300, ${most}::bigint, ${most}::bigint, ${most}::bigint, ${most}::bigint
      from generate_series(0, 1) as n`
    const { entries, total } = await report("?from=2025-12-30&to=2025-12-31")
    const counts = { inputTokens: Number.MAX_SAFE_INTEGER, charactersSpoken: Number.MAX_SAFE_INTEGER }
    expect(entries).toMatchObject([counts, counts])
    expect(total).toMatchObject({ ...counts, turns: 2 })
    expect(total.cost).toBeGreaterThan(1e10)
    expect((await service.call("GET", "/users/me/export", { key })).status).toBe(200)
  })

  test.each([
    ["from=2026-02-30", /^from: must be a day/],
    ["to=yesterday", /^to: must be a day/],
    ["to=0000-01-01", /^to: must be a day/],
    ["from=2026-02-02&to=2026-02-01", /^from: must not be later than to/],
    ["groupBy=model", /^groupBy: must be day, agent or key/],
    ["limit=0", /^limit: /],
    ["limit=367", /^limit: /],
    ["cursor=%00", /^cursor: /],
    ["cursor=AAAA", /^cursor: /],
  ])("refuses %s", async (query, message) => {
    const answer = await service.call("GET", `/usage?${query}`, { key })
    await expectProblem(answer, { status: 400, code: "VALIDATION_ERROR", message })
  })

  test("what is deleted with its user leaves nothing", async () => {
    await take()
    const id = await userOf(key)
    const email = (await service.database.sql`select email from users where id = ${id}`)[0].email
    expect((await service.call("DELETE", "/users/me", { key, body: { email } })).status).toBe(204)
    expect(await service.database.sql`select 1 from usage_days where user_id = ${id}`).toHaveLength(0)
  })
})

describe("a monthly limit", () => {
  test("that is used up refuses turns before anything is paid, but no replay", async () => {
    const headers = { "idempotency-key": "first" }
    const first = await take(headers)
    await setLimit(first.usage.cost ?? 0)
    service.reset()
    for (const accept of ["application/json", "text/event-stream", "audio/mpeg"]) {
      await expectExceeded(await service.converse(key, audio, { accept }))
    }
    const text = await service.call("POST", `/sessions/${first.sessionId}/messages`, {
      key,
      body: { text: "Hi" },
    })
    await expectExceeded(text)
    expect(service.upstream.calls("stt")).toHaveLength(0)
    expect(service.upstream.calls("llm")).toHaveLength(0)
    expect((await take(headers)).usage).toEqual(first.usage)
    expect((await settled()).total.turns).toBe(1)
    await take({}, await service.register())
    await setLimit(Number.POSITIVE_INFINITY)
    expect((await report()).month.limit).toBeNull()
    await take()
  })

  test("is passed by the turns that run, and by no other", async () => {
    const cost = (await take()).usage.cost ?? 0
    await setLimit(cost * 1.5)
    service.reset()
    // No turn ends before all of them have begun.
    const lock = await service.database.sql.reserve()
    await lock`begin`
    await lock`select 1 from usage_days where user_id = ${await userOf(key)} for update`
    const running = [take(), take(), take()]
    await service.upstream.waitFor(() => service.upstream.calls("llm")[2], "three turns")
    await lock`rollback`
    lock.release()
    expect(await Promise.all(running)).toHaveLength(3)
    await expectExceeded(await service.converse(key, audio))
    const { month, total } = await settled()
    expect(total.turns).toBe(4)
    expect(month.spent).toBeLessThanOrEqual(cost * 4.001)
  })

  test("is used up by prompts whose answers nobody waits for", async () => {
    // More than the recordings of four turns cost.
    await setLimit(0.001)
    service.upstream.default("llm", fail.hang())
    const leaving = new AbortController()
    const left = service.converse(key, audio, { signal: leaving.signal }).catch(() => undefined)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0], "a request to the model")
    leaving.abort()
    await left
    expect((await settled()).month.spent).toBeGreaterThan(0.001)
    await expectExceeded(await service.converse(key, audio))
  })

  test("of 0 refuses all turns", async () => {
    await setLimit(0)
    await expectExceeded(await service.converse(key, audio))
  })
})

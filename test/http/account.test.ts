import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/turns.ts"
import { Account, Exported, expectProblem, Registered, readAs } from "./answers.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: Service
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startService({ database: { ...database, url: proxy.url } })
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})

const register = async () => {
  const email = `Ada.${crypto.randomUUID()}@example.com`
  const answer = await service.call("POST", "/users/register", { body: { email } })
  return { email, ...(await readAs(Registered, answer)) }
}
/** Runs a turn and returns its session. */
const converse = async (key: string, options: { readonly headers?: Record<string, string> } = {}) => {
  const turn = await service.converse(key, new Blob([await wav16k()]), options)
  expect(turn.status).toBe(200)
  await turn.bytes()
  return turn.headers.get("x-session-id") ?? ""
}
const exported = async (key: string) => {
  const answer = await service.call("GET", "/users/me/export", { key })
  expect(answer.status).toBe(200)
  return readAs(Exported, answer)
}
/** Adds sessions with these numbers of messages, a minute apart. */
const fill = (userId: string, sessions: number, messages: number) =>
  database.sql.unsafe(`
    insert into sessions (user_id, title, created_at)
    select '${userId}', 'session ' || n, now() + n * interval '1 minute' from generate_series(1, ${sessions}) n;
    insert into items (session_id, turn_id, type, payload)
    select s.id, gen_random_uuid(), 'message',
      jsonb_build_object('role', 'user', 'text', 'message "' || n || E'"\\n' || repeat('é', 30))
    from sessions s, generate_series(1, ${messages}) n where user_id = '${userId}' order by s.created_at, n;`)

test("GET /users/me returns the account", async () => {
  const { apiKey, userId, email } = await register()
  const answer = await service.call("GET", "/users/me", { key: apiKey })
  expect(answer.status).toBe(200)
  expect(await readAs(Account, answer)).toMatchObject({ userId, email })
})

describe("GET /users/me/export", () => {
  test("is a download of the user's data only", async () => {
    const [mine, theirs] = [await register(), await register()]
    const first = await converse(mine.apiKey, { headers: { "idempotency-key": "once" } })
    const second = await converse(mine.apiKey)
    await converse(theirs.apiKey)
    await service.call("PATCH", `/sessions/${first}`, {
      key: mine.apiKey,
      body: { title: '"Title"', metadata: { snake_case: [1, null] } },
    })
    const answer = await service.call("GET", "/users/me/export", { key: mine.apiKey })
    expect(answer.headers.get("content-type")).toBe("application/json")
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="voice-agent-export.json"')
    expect(answer.headers.get("cache-control")).toBe("no-store")
    const { user, keys, sessions, turns, usage } = await readAs(Exported, answer)
    expect(user).toMatchObject({ userId: mine.userId, email: mine.email })
    expect(keys).toMatchObject([{ name: "API key", prefix: mine.apiKey.slice(0, 7) }])
    expect(sessions.map(({ id }) => id)).toEqual([first, second])
    expect(sessions[0]).toMatchObject({ title: '"Title"', metadata: { snake_case: [1, null] } })
    for (const { messages } of sessions)
      expect(messages.map(({ role }) => role)).toEqual(["user", "assistant"])
    expect(turns.map(({ sessionId, state }) => [sessionId, state])).toEqual([
      [first, "completed"],
      [second, "completed"],
    ])
    expect(turns[0]).toMatchObject({
      id: sessions[0]?.messages[0]?.turnId,
      transcript: sessions[0]?.messages[0]?.content,
      timings: { total: expect.any(Number) },
      usage: { audioSeconds: expect.any(Number) },
      cost: null,
      keyId: keys[0]?.id,
    })
    const stages = turns[0]?.models?.map((use) => use instanceof Object && Reflect.get(use, "stage"))
    expect(stages?.toSorted()).toEqual(["llm", "stt", "tts"])
    expect(user.monthlyLimit).toBe("default")
    expect(usage).toMatchObject([{ keyId: keys[0]?.id, agentId: null, turns: 2, unpriced: 2, cost: 0 }])
  })

  test("has every type of item, in the order of the conversation", async () => {
    const { apiKey, userId } = await register()
    await fill(userId, 1, 1)
    await database.sql.unsafe(`
      insert into items (session_id, sequence, turn_id, type, payload)
      select id, item.sequence, gen_random_uuid(), item.type, item.payload::jsonb from sessions,
        (values (-1, 'message', '{"role": "system", "text": "Be brief."}'),
          (-2, 'summary', '{"text": "Earlier."}'),
          (2000000001, 'tool_result', '{"callId": "call_1", "output": "rain"}'),
          (2000000000, 'tool_call', '{"callId": "call_1", "name": "weather", "arguments": "{}"}')
        ) as item (sequence, type, payload)
      where user_id = '${userId}'`)
    const { sessions } = await exported(apiKey)
    expect(sessions[0]?.messages.map(({ role }) => role)).toEqual(["system", "user"])
    expect(sessions[0]?.items.map(({ payload }) => payload)).toEqual([
      { type: "summary", text: "Earlier." },
      { type: "tool_call", callId: "call_1", name: "weather", arguments: "{}" },
      { type: "tool_result", callId: "call_1", output: "rain" },
    ])
  })

  test("has a summary beside the last item of a page", async () => {
    const { apiKey, userId } = await register()
    await fill(userId, 1, 1)
    // A page has 200 items.
    await database.sql.unsafe(`
      insert into items (session_id, sequence, turn_id, type, payload)
      select id, least(n, 200), gen_random_uuid(), case n when 201 then 'summary' else 'tool_result' end,
        case n when 201 then '{"text": "Earlier.", "usage": {"inputTokens": 7, "outputTokens": 2}}'
          else '{"callId": "1", "output": "rain"}' end::jsonb
      from sessions, generate_series(1, 201) n where user_id = '${userId}'`)
    const { sessions } = await exported(apiKey)
    const items = sessions[0]?.items ?? []
    expect(items).toHaveLength(201)
    expect(items.map(({ payload }) => payload)).toContainEqual({
      type: "summary",
      text: "Earlier.",
      usage: { inputTokens: 7, outputTokens: 2 },
    })
  })

  test("is empty for a new user", async () => {
    expect(await exported((await register()).apiKey)).toMatchObject({ sessions: [], turns: [] })
  })

  test("has the valid client secrets, without the secrets themselves", async () => {
    const { apiKey, userId } = await register()
    await database.sql.unsafe(`insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
      select user_id, id, md5(n::text) || md5(user_id::text), '{"type": "realtime"}', now() + make_interval(mins => n)
      from api_keys, generate_series(-1, 1, 2) n where user_id = '${userId}'`)
    const { clientSecrets } = await exported(apiKey)
    expect(clientSecrets.map(({ session }) => session)).toEqual([{ type: "realtime" }])
  })

  // A page has 10 secrets.
  test.each([9, 10, 11, 1000])("has %d client secrets page by page", async (count) => {
    const { apiKey, userId } = await register()
    await database.sql.unsafe(`insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
      select user_id, id, md5(n::text) || md5(user_id::text), json_build_object('n', n), now() + interval '1 hour'
      from api_keys, generate_series(1, ${count}) n where user_id = '${userId}' order by n`)
    proxy.forget()
    const { clientSecrets, sessions } = await exported(apiKey)
    expect(clientSecrets.map(({ session }) => session)).toEqual(
      Array.from({ length: count }, (_, n) => ({ n: n + 1 })),
    )
    expect(sessions).toEqual([])
    const all = proxy.statements().filter((statement) => /from client_secrets/.test(statement))
    expect(all.filter((statement) => !/limit/.test(statement))).toEqual([])
  })

  // A page has 200 messages: one less, full pages, and one more.
  test.each([
    [5, 5],
    [Number.POSITIVE_INFINITY, "none"],
  ] as const)("has the monthly limit %d of the user, and the agents of turns", async (amount, shown) => {
    const { userId, apiKey } = await register()
    const agentId = crypto.randomUUID()
    await database.sql`insert into monthly_limits values (${userId}, ${amount})`
    await database.sql`insert into turns (id, user_id, session_id, state, ended_at, agent_id, agent_version)
      values (gen_random_uuid(), ${userId}, gen_random_uuid(), 'completed', now(), ${agentId}, 3)`
    expect(await exported(apiKey)).toMatchObject({
      user: { monthlyLimit: shown },
      turns: [{ agentId, agentVersion: 3 }],
    })
  })

  test.each([1, 199, 200, 201, 400])("is complete with %d sessions, messages and turns", async (count) => {
    const { apiKey, userId } = await register()
    await fill(userId, count, 1)
    await database.sql.unsafe(`
      insert into items (session_id, turn_id, type, payload)
      select id, gen_random_uuid(), 'message', jsonb_build_object('role', 'user', 'text', n::text)
      from sessions, generate_series(2, ${count}) n where user_id = '${userId}' and title = 'session 1' order by n;
      insert into turns (id, user_id, session_id, state, ended_at)
      select gen_random_uuid(), '${userId}', gen_random_uuid(), 'failed', now() from generate_series(1, ${count})`)
    const { sessions, turns } = await exported(apiKey)
    expect(sessions.map(({ title }) => title)).toEqual(
      Array.from({ length: count }, (_, n) => `session ${n + 1}`),
    )
    expect(sessions[0]?.messages.slice(1).map(({ content }) => content)).toEqual(
      Array.from({ length: count - 1 }, (_, n) => `${n + 2}`),
    )
    for (const { messages } of sessions.slice(1)) expect(messages).toHaveLength(1)
    expect(new Set(turns.map(({ id }) => id)).size).toBe(count)
  })

  test("streams 50,000 messages with backpressure", async () => {
    const { apiKey, userId } = await register()
    await fill(userId, 10, 5000)
    proxy.forget()
    const pages = () => proxy.statements().filter((statement) => /from items/.test(statement)).length
    const client = await connectRaw(service.url)
    const { pathname } = new URL(service.url)
    await client.send(head(`GET ${pathname}/users/me/export`, { authorization: `Bearer ${apiKey}` }))
    await client.until(({ body }) => body.length > 0)
    client.pause()
    let seen = -1
    // Until no more pages are read.
    while (pages() > seen) {
      seen = pages()
      await Bun.sleep(500)
    }
    expect(seen).toBeLessThan(150)
    expect(await service.call("GET", "/health").then(({ status }) => status)).toBe(200)
    client.resume()
    const answer = await client.answer()
    expect(answer.whole).toBe(true)
    const { sessions } = Schema.decodeUnknownSync(Exported)(JSON.parse(answer.body.toString()))
    const contents = sessions.flatMap(({ messages }) => messages.map(({ content }) => content))
    expect(contents).toHaveLength(50_000)
    expect(new Set(sessions.map(({ messages }) => messages.length))).toEqual(new Set([5000]))
    client.leave()
  }, 60_000)

  test("a database failure: no clean end, or a status", async () => {
    const { apiKey, userId } = await register()
    await fill(userId, 2, 1000)
    proxy.breakOn(/from turns where user_id/, "before", 2)
    const client = await connectRaw(service.url)
    const request = head(`GET ${new URL(service.url).pathname}/users/me/export`, {
      authorization: `Bearer ${apiKey}`,
    })
    await client.send(request)
    const answer = await client.answer()
    expect({ status: answer.status, whole: answer.whole }).toEqual({ status: 200, whole: false })
    client.leave()
    proxy.breakOn(/from api_keys\s+where user_id/, "before", 2)
    await expectProblem(await service.call("GET", "/users/me/export", { key: apiKey }), {
      status: 503,
      code: "DATABASE_UNAVAILABLE",
    })
    expect((await exported(apiKey)).sessions).toHaveLength(2)
  })

  test("stops reading when the client disconnects", async () => {
    const { apiKey, userId } = await register()
    await fill(userId, 1, 50_000)
    const client = await connectRaw(service.url)
    await client.send(
      head(`GET ${new URL(service.url).pathname}/users/me/export`, { authorization: `Bearer ${apiKey}` }),
    )
    await client.until(({ body }) => body.length > 100_000)
    client.pause()
    client.leave("reset")
    proxy.forget()
    await exported((await register()).apiKey)
    const pages = proxy.statements().filter((statement) => /from items/.test(statement)).length
    // Pages in flight at the disconnect; a whole other export gives them time to arrive.
    expect(pages).toBeLessThan(50)
  }, 60_000)
})

describe("DELETE /users/me", () => {
  const remove = (key: string, body?: unknown) =>
    service.call("DELETE", "/users/me", { key, ...(body === undefined ? {} : { body }) })
  const left = async (userId: string) => {
    const [rows] = await database.sql`select
      (select count(*)::int from users where id = ${userId}) as users,
      (select count(*)::int from api_keys where user_id = ${userId}) as keys,
      (select count(*)::int from sessions where user_id = ${userId}) as sessions,
      (select count(*)::int from messages m join sessions s on s.id = m.session_id where user_id = ${userId}) as messages,
      (select count(*)::int from turns where user_id = ${userId}) as turns`
    return rows
  }
  const nothing = { users: 0, keys: 0, sessions: 0, messages: 0, turns: 0 }

  test("removes the user's data only", async () => {
    const [mine, theirs] = [await register(), await register()]
    for (const key of [mine.apiKey, theirs.apiKey]) {
      await converse(key)
      await converse(key, { headers: { "idempotency-key": "once" } })
    }
    await fill(mine.userId, 45, 2)
    await database.sql`insert into turns (id, user_id, session_id, state, ended_at)
      values (gen_random_uuid(), ${mine.userId}, gen_random_uuid(), 'failed', now())`
    expect(await left(mine.userId)).toMatchObject({ sessions: 47, messages: 98, turns: 3 })
    const messages = async () => (await database.sql`select count(*)::int as count from messages`)[0].count
    const before = await messages()
    const theirsBefore = await left(theirs.userId)

    const answer = await remove(mine.apiKey, { email: mine.email })
    expect(answer.status).toBe(204)
    expect(await answer.text()).toBe("")
    expect(await left(mine.userId)).toEqual(nothing)
    expect(await messages()).toBe(before - 98)
    expect(await left(theirs.userId)).toEqual(theirsBefore)
    await expectProblem(await service.call("GET", "/users/me", { key: mine.apiKey }), {
      status: 401,
      code: "INVALID_API_KEY",
    })
    // The address is free again for a new user.
    const again = await service.call("POST", "/users/register", { body: { email: mine.email } })
    expect(again.status).toBe(201)
  })

  test("accepts the address in another case, and a form", async () => {
    const [upper, form] = [await register(), await register()]
    expect((await remove(upper.apiKey, { email: ` ${upper.email.toUpperCase()} ` })).status).toBe(204)
    const answer = await fetch(`${service.url}/users/me`, {
      method: "DELETE",
      headers: { authorization: `Bearer ${form.apiKey}` },
      body: new URLSearchParams({ email: form.email }),
    })
    expect(answer.status).toBe(204)
  })

  test.each([
    [undefined],
    [{}],
    [{ email: "" }],
    [{ email: "bob@example.com" }],
    [{ email: null }],
    [{ email: ["a"] }],
  ])("deletes nothing without the user's address: %j", async (body) => {
    const { apiKey, userId } = await register()
    await expectProblem(await remove(apiKey, body), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^email: (is missing|must be this account's e-mail address, to confirm the deletion)$/,
    })
    expect(await left(userId)).toMatchObject({ users: 1, keys: 1 })
  })

  test("during a turn: the turn is not saved", async () => {
    const { apiKey, userId, email } = await register()
    service.upstream.script("llm", [{ delayMs: 300 }])
    const asked = service.upstream.calls("llm").length
    const turn = service.converse(apiKey, new Blob([await wav16k()]), { accept: "application/json" })
    await service.upstream.waitFor(
      () => service.upstream.calls("llm")[asked],
      "the turn's question to the model",
    )
    expect((await remove(apiKey, { email })).status).toBe(204)
    await expectProblem(await turn, { status: 404, code: "SESSION_NOT_FOUND" })
    expect(await left(userId)).toEqual(nothing)
  })

  test("while a turn is saved: no defect", async () => {
    const { apiKey, userId, email } = await register()
    service.upstream.script("llm", [{ delayMs: 300 }])
    const asked = service.upstream.calls("llm").length
    const spoken = service.upstream.calls("tts").length
    // The deletion has reached this turn of the user when the other turn is saved.
    await database.sql`insert into turns (id, user_id, session_id, state, ended_at)
      values (gen_random_uuid(), ${userId}, gen_random_uuid(), 'failed', now())`
    const turn = service.converse(apiKey, new Blob([await wav16k()]), { accept: "application/json" })
    await service.upstream.waitFor(
      () => service.upstream.calls("llm")[asked],
      "the turn's question to the model",
    )
    const waiting = async (query: string) => {
      const rows = await database.sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and query like ${query}`
      return rows.length > 0
    }
    const removed = await database.sql.begin(async (other) => {
      await other`select 1 from turns where user_id = ${userId} and state = 'failed' for update`
      const answer = remove(apiKey, { email })
      await until(() => waiting("delete from users%"), "a deletion that waits for the older turn")
      await service.upstream.waitFor(() => service.upstream.calls("tts")[spoken], "the turn's speech")
      await until(
        async () => (await waiting("%into%sessions%")) || (await waiting("%from users%key share")),
        "a turn that waits for its user",
      )
      return { answer }
    })
    expect((await removed.answer).status).toBe(204)
    await expectProblem(await turn, { status: 404, code: "SESSION_NOT_FOUND" })
    expect(await left(userId)).toEqual(nothing)
  })
})

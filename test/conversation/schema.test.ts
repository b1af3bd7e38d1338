import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import type { ReservedSQL } from "bun"
import { Schema } from "effect"
import { Registered, readAs } from "../http/answers.ts"
import { recordings } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"

let database: TestDatabase
let proxy: TcpProxy
let service: Service
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
  service = await startService({
    database: { ...database, url: proxy.url },
    env: { SESSION_RETENTION_DAYS: "365" },
  })
  // Enough rows that reading a whole table would be the worse plan: 2000 users of 10 sessions each, one of them long.
  await database.sql.unsafe(`
    insert into users (id, email) select md5(n::text)::uuid, n || '@example.com' from generate_series(1, 2000) n;
    insert into api_keys (user_id, name, key_hash)
    select id, 'API key', md5(email || n) || md5(n::text) from users, generate_series(1, 5) n;
    insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
    select user_id, id, key_hash, '{}', now() + interval '1 hour' from api_keys;
    insert into sessions (id, user_id, title, last_activity_at)
    select md5(u.email || n)::uuid, u.id, n::text, now() - n * interval '1 minute' from users u, generate_series(1, 10) n;
    insert into items (session_id, turn_id, type, payload)
    select id, gen_random_uuid(), 'message', '{"role": "user", "text": "Hi"}' from sessions where title in ('1', '2');
    insert into items (session_id, turn_id, type, payload)
    select md5('1@example.com1')::uuid, gen_random_uuid(), 'message', jsonb_build_object('role', 'user', 'text', n)
    from generate_series(1, 10000) n;
    insert into turns (id, user_id, session_id, state, idempotency_key, created_at, ended_at)
    select gen_random_uuid(), user_id, id, case title when '3' then 'failed' else 'completed' end,
      case title when '4' then 'key' end, last_activity_at, last_activity_at from sessions;
    insert into usage_days select u.id, current_date - n, null, null, 'USD', 1, 0, 1, 1, 1, 1, 1 from users u, generate_series(1, 10) n;
    insert into turn_rounds (turn_id, round, message_id, text) select id, 0, gen_random_uuid(), '' from turns;
    insert into tool_calls (id, turn_id, round, place, call_id, name, arguments, run_by)
    select gen_random_uuid(), turn_id, round, 0, 'call', 'tool', '{}', 'service' from turn_rounds;
    insert into agents (id, user_id, name) select md5(email || n)::uuid, id, n from users, generate_series(1, 5) n;
    insert into agent_versions (agent_id, version, definition) select id, n, '{"name": "A"}' from agents, generate_series(1, 3) n;
    insert into webhooks (id, user_id, url, events, secret)
    select id, id, 'https://example.com', array['turn.completed'], '' from users;
    insert into webhook_deliveries (webhook_id, type, data, state, next_attempt_at, ended_at)
    select id, 'turn.completed', '{}', case n when 1 then 'pending' else 'delivered' end,
      case n when 1 then now() + interval '1 hour' end, case when n > 1 then now() end
    from webhooks, generate_series(1, 10) n;
    insert into webhook_old_secrets (webhook_id, secret, expires_at)
    select id, '', now() + interval '1 day' from webhooks, generate_series(1, 3);
    analyze;`)
})
afterAll(async () => {
  await service.stop()
  await proxy.stop()
  await database.drop()
})

const Plan: Schema.Schema<Plan> = Schema.Struct({
  "Node Type": Schema.String,
  "Index Name": Schema.optional(Schema.String),
  "Relation Name": Schema.optional(Schema.String),
  Plans: Schema.optional(Schema.Array(Schema.suspend(() => Plan))),
})
interface Plan {
  readonly "Node Type": string
  readonly "Index Name"?: string | undefined
  readonly "Relation Name"?: string | undefined
  readonly Plans?: ReadonlyArray<Plan> | undefined
}
const Explained = Schema.Struct({ "QUERY PLAN": Schema.Tuple(Schema.Struct({ Plan })) })

const nodes = (plan: Plan): ReadonlyArray<Plan> => [plan, ...(plan.Plans ?? []).flatMap(nodes)]

const SessionId = Schema.Struct({ sessionId: Schema.String })

/** How the server would carry a statement out that it knows nothing of the parameters of. */
const planOf = async (statement: string, sql: ReservedSQL) => {
  const parameters = new Set(statement.match(/\$\d+/g)).size
  await sql.unsafe(`prepare asked as ${statement}`)
  const nulls = parameters === 0 ? "" : `(${Array(parameters).fill("null").join(", ")})`
  const rows: ReadonlyArray<unknown> = await sql.unsafe(`explain (format json) execute asked${nulls}`)
  await sql.unsafe("deallocate asked")
  return nodes(Schema.decodeUnknownSync(Explained)(rows[0])["QUERY PLAN"][0].Plan)
}

describe("every query of the service", () => {
  let statements: ReadonlyArray<string>
  let sql: ReservedSQL
  beforeAll(async () => {
    const email = "asker@example.com"
    const { apiKey: key } = await readAs(
      Registered,
      await service.call("POST", "/users/register", { body: { email } }),
    )
    const call = async (method: string, path: string, body?: unknown) => {
      const answer = await service.call(method, path, { key, ...(body === undefined ? {} : { body }) })
      expect(answer.ok).toBe(true)
      return answer
    }
    const { sessionId } = Schema.decodeUnknownSync(SessionId)(
      await (await call("POST", "/sessions", { title: "Mine" })).json(),
    )
    const { agent } = Schema.decodeUnknownSync(
      Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) }),
    )(await (await call("POST", "/agents", { name: "Ada" })).json())
    await call("PATCH", `/agents/${agent.id}`, { greeting: "Hello." })
    await call("GET", "/agents")
    await call("GET", `/agents/${agent.id}/versions`)
    const own = await (await call("POST", "/sessions", { agentId: agent.id })).json()
    await call("POST", `/sessions/${Schema.decodeUnknownSync(SessionId)(own).sessionId}/messages`, {
      text: "Hi",
    })
    await call("DELETE", `/agents/${agent.id}`)
    const tools = [{ type: "client", name: "open_door" }]
    const doors = await (await call("POST", "/agents", { name: "Doors", tools })).json()
    service.upstream.script("llm", [{ toolCalls: [{ id: "call_1", name: "open_door", arguments: "{}" }] }])
    const visited = await call("POST", "/sessions", { agentId: Object(doors).agent.id })
    const visit = Schema.decodeUnknownSync(SessionId)(await visited.json())
    await (await call("POST", `/sessions/${visit.sessionId}/messages`, { text: "Hi" })).bytes()
    const open: unknown = await (await call("GET", `/sessions/${visit.sessionId}/tool-calls`)).json()
    const results = [{ callId: "call_1", output: "" }]
    await (await call("POST", `/voice/turns/${Object(open).turnId}/tool-results`, { results })).bytes()
    await call("POST", "/sessions")
    await call("POST", "/auth/login", { apiKey: key })
    const { nextCursor } = Schema.decodeUnknownSync(Schema.Struct({ nextCursor: Schema.String }))(
      await (await call("GET", "/sessions?limit=1")).json(),
    )
    await call("GET", `/sessions?cursor=${nextCursor}`)
    await call("GET", `/sessions/${sessionId}`)
    await call("PATCH", `/sessions/${sessionId}`, { title: "Ours", metadata: {} })
    const audio = new Blob([await recordings.wav16k.make()])
    const headers = { "idempotency-key": "again" }
    for (const options of [{ sessionId }, {}, { headers }, { headers }]) {
      await (await service.converse(key, audio, options)).bytes()
    }
    await service.call("DELETE", `/voice/turns/${crypto.randomUUID()}`, { key })
    const { messages } = Schema.decodeUnknownSync(
      Schema.Struct({ messages: Schema.Array(Schema.Struct({ id: Schema.String })) }),
    )(await (await call("GET", `/sessions/${sessionId}/messages`)).json())
    await call("GET", `/sessions/${sessionId}/messages?before=${messages[1]?.id}`)
    await call("DELETE", `/sessions/${sessionId}`)
    const { id } = Schema.decodeUnknownSync(Schema.Struct({ id: Schema.String }))(
      await (await call("POST", "/users/me/keys", {})).json(),
    )
    await call("POST", `/users/me/keys/${id}/rotate`, { graceSeconds: 60 })
    await call("DELETE", `/users/me/keys/${id}`)
    await call("GET", "/users/me/keys")
    await (await call("GET", "/users/me/export")).text()
    const { webhook } = Schema.decodeUnknownSync(
      Schema.Struct({ webhook: Schema.Struct({ id: Schema.String }) }),
    )(
      await (
        await call("POST", "/webhooks", { url: "https://example.invalid", events: ["turn.completed"] })
      ).json(),
    )
    await call("PATCH", `/webhooks/${webhook.id}`, { enabled: true, events: ["session.expired"] })
    await call("GET", "/webhooks")
    await call("GET", `/webhooks/${webhook.id}/deliveries`)
    await call("POST", `/webhooks/${webhook.id}/replay`, { from: "2026-01-01" })
    await call("POST", `/webhooks/${webhook.id}/rotate-secret`, { graceSeconds: 60 })
    await call("POST", `/webhooks/${webhook.id}/test`)
    await call("DELETE", "/users/me", { email })
    await call("GET", "/ready")
    statements = [...new Set(proxy.statements())].filter(
      (statement) =>
        /\b(sessions|items|users|turns|api_keys|client_secrets|agents|webhooks|webhook_deliveries|webhook_old_secrets)\b/.test(
          statement,
        ) && !/^\s*(create|listen|--)/i.test(statement),
    )
    sql = await database.sql.reserve()
    await sql`set plan_cache_mode = force_generic_plan`
  })
  afterAll(() => sql.release())

  test("finds its rows by an index, and sorts none", async () => {
    expect(statements.length).toBeGreaterThan(12)
    for (const statement of statements) {
      const plan = await planOf(statement, sql)
      // What is due to webhooks is sorted, at most 4 deliveries of each, and what a user replays.
      const isBounded = /^with (recursive visited|chosen)/.test(statement)
      const scans = plan.filter((node) => (isBounded ? /Seq Scan/ : /Seq Scan|Sort/).test(node["Node Type"]))
      expect({ statement, scans }).toEqual({ statement, scans: [] })
    }
  })

  test("has its index, and no index is besides", async () => {
    const used = new Set<string | undefined>()
    // What the trigger of a session's end and a cascade do is no statement of the service's own.
    const others = [
      "delete from turns where session_id = $1",
      "delete from client_secrets where key_id = $1",
      // The search for expired sessions begins 30 s after the start.
      "select id from webhooks where enabled and 'session.expired' = any (events)",
    ]
    for (const statement of [...statements, ...others]) {
      for (const node of await planOf(statement, sql)) used.add(node["Index Name"])
    }
    const made: ReadonlyArray<{ readonly name: string }> = await database.sql`
      select c.relname as name from pg_index i join pg_class c on c.oid = i.indexrelid join pg_class t on t.oid = i.indrelid
      where t.relname in ('users', 'sessions', 'items', 'turns', 'api_keys', 'client_secrets', 'agents', 'webhooks',
        'webhook_deliveries', 'webhook_old_secrets') and not i.indisunique`
    expect(made.map(({ name }) => name).filter((name) => !used.has(name))).toEqual([])
  })
})

test("no rows are read to add a check of a column", async () => {
  const checks =
    await database.sql`select convalidated from pg_constraint where conname = 'items_client_id_check'`
  expect([...checks]).toEqual([{ convalidated: false }])
})

describe("within a transaction", () => {
  let sql: ReservedSQL
  beforeEach(async () => {
    sql = await database.sql.reserve()
    await sql`begin`
  })
  afterEach(async () => {
    await sql`rollback`
    sql.release()
  })
  /** How often this transaction has read a whole table so far. */
  const wholeReads = async (table: string) =>
    Number((await sql`select seq_scan from pg_stat_xact_user_tables where relname = ${table}`)[0].seq_scan)
  const sessionOf = async (email: string) =>
    (
      await sql`select s.* from sessions s join users u on u.id = user_id where email = ${email} order by s.id limit 1`
    )[0]
  const say = (id: string, count = 1) => sql`
    insert into items (session_id, turn_id, type, payload)
    select ${id}, gen_random_uuid(), 'summary', '{"text": "Hi"}' from generate_series(1, ${count}::int)`

  test("what is said is its session's last activity, and no other's", async () => {
    const mine = await sessionOf("2@example.com")
    const theirs = await sessionOf("3@example.com")
    await sql`update sessions set last_activity_at = now() - interval '1 day' where id in (${mine.id}, ${theirs.id})`
    const before = await wholeReads("sessions")
    await say(mine.id, 3)
    expect(await wholeReads("sessions")).toBe(before)
    const recent = await sql`select id from sessions
      where id in (${mine.id}, ${theirs.id}) and last_activity_at >= now()`
    expect([...recent]).toEqual([{ id: mine.id }])
  })

  test("a clock that goes back never takes activity back", async () => {
    const { id } = await sessionOf("2@example.com")
    await sql`update sessions set last_activity_at = now() + interval '1 day' where id = ${id}`
    await say(id)
    expect(
      await sql`select 1 from sessions where id = ${id} and last_activity_at > now() + interval '23 hours'`,
    ).toHaveLength(1)
  })

  test("messages of several sessions in one statement are activity of each", async () => {
    const ids = [(await sessionOf("2@example.com")).id, (await sessionOf("3@example.com")).id]
    await sql`update sessions set last_activity_at = now() - interval '1 day' where id in ${sql(ids)}`
    await sql`insert into items (session_id, turn_id, type, payload)
      select id, gen_random_uuid(), 'summary', '{"text": "Hi"}' from sessions where id in ${sql(ids)}`
    expect(
      await sql`select 1 from sessions where id in ${sql(ids)} and last_activity_at >= now()`,
    ).toHaveLength(2)
  })

  test("a user's end is its sessions' and messages', found by their indexes", async () => {
    const before = [await wholeReads("sessions"), await wholeReads("items")]
    await sql`delete from users where email = '1@example.com'`
    expect([await wholeReads("sessions"), await wholeReads("items")]).toEqual(before)
    const [left] = await sql`
      select (select count(*)::int from sessions where user_id = md5('1')::uuid) as sessions,
        (select count(*)::int from items where session_id = md5('1@example.com1')::uuid) as items`
    expect(left).toEqual({ sessions: 0, items: 0 })
  })

  test("a change of a user is noted", async () => {
    await sql`update users set updated_at = 'epoch' where email = '2@example.com'`
    expect(
      (await sql`select updated_at = now() as noted from users where email = '2@example.com'`)[0].noted,
    ).toBe(true)
  })

  const item = (type: string, payload: unknown, session = "1@example.com1") =>
    `insert into items (session_id, turn_id, type, payload)
     values (md5('${session}')::uuid, gen_random_uuid(), '${type}', '${JSON.stringify(payload)}')`
  const message = (role: string, session?: string) => item("message", { role, text: "Hi" }, session)
  test.each(["user", "assistant", "system"])("a message may be by the %s", async (role) => {
    await sql.unsafe(message(role))
  })

  test.each([
    ["a type that is none", item("thought", {}), "items_type_check"],
    ["a role that is none", message("tool"), "items_payload_check"],
    ["a message without a role", item("message", { text: "Hi" }), "items_payload_check"],
    ["a message without a text", item("message", { role: "user" }), "items_payload_check"],
    ["a payload that is no object", item("summary", "Hi"), "items_payload_check"],
    ["a session that is none", message("user", "none"), "messages_session_id_fkey"],
    ["metadata that is no object", "update sessions set metadata = '[]'", "sessions_metadata_check"],
    [
      "an e-mail in another letter case",
      "update users set email = '1@EXAMPLE.com' where email = '2@example.com'",
      "users_email_key",
    ],
    ["two users of one key", "update api_keys set key_hash = md5('1') || md5('1')", "api_keys_key_hash_key"],
    ["a key's name of 101 characters", `update api_keys set name = '${"x".repeat(101)}'`, ""],
    ["an e-mail of 256 characters", `update users set email = '${"x".repeat(256)}'`, ""],
  ])("%s is refused", async (_, statement, constraint) => {
    const refused = await sql.unsafe(statement).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(refused).toMatchObject(constraint === "" ? { errno: "22001" } : { constraint })
  })
})

test("every time has its zone, and the columns are as the API says", async () => {
  const columns: ReadonlyArray<{ readonly name: string; readonly type: string }> = await database.sql`
    select table_name || '.' || column_name as name, data_type as type from information_schema.columns
    where table_schema = 'public'`
  const types = new Map(columns.map(({ name, type }) => [name, type]))
  expect(
    [...types].filter(([name, type]) => name.endsWith("_at") && type !== "timestamp with time zone"),
  ).toEqual([])
  for (const table of ["users", "sessions", "items", "turns", "api_keys"])
    expect(types.get(`${table}.id`)).toBe("uuid")
  expect(types.get("sessions.metadata")).toBe("jsonb")
})

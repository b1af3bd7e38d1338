/** Every documented outcome of every operation, from the real service. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Schema } from "effect"
import { wav16k } from "../support/audio.ts"
import { randomBytes } from "../support/audio-hostile.ts"
import { makeDatabase } from "../support/database.ts"
import { multipartType } from "../support/multipart.ts"
import { connectRaw, head, type RawClient } from "../support/raw-http.ts"
import { openSession } from "../support/sessions.ts"
import { startTcpProxy } from "../support/tcp-proxy.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Step } from "../support/upstream.ts"
import { silence, speechLike, wavOf } from "../support/wav.ts"
import { type Asking, formOf, makeAsking } from "./asking.ts"
import { type Contract, readContract } from "./contract.ts"

setDefaultTimeout(60_000)

const encryptionKey = Buffer.alloc(32, 1).toString("base64")

let service: TurnService
let contract: Contract
let ask: Asking["ask"]
let expectOutcome: Asking["expectOutcome"]
let expectOfAll: Asking["expectOfAll"]
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  recording = await wav16k()
  service = await startTurns({
    env: {
      MAX_AUDIO_SIZE_MB: "0.5",
      MAX_AUDIO_DURATION_SECONDS: "5",
      RATE_LIMIT_REQUESTS_PER_MINUTE: "100000",
      ENCRYPTION_KEY: encryptionKey,
    },
  })
  contract = await readContract(service.url)
  ;({ ask, expectOutcome, expectOfAll } = makeAsking(contract, service, recording))
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())

const turns = ["takeTurn", "takeTextTurn"] as const

const read = <A, I>(schema: Schema.Schema<A, I>, value: unknown) => Schema.decodeUnknownSync(schema)(value)
const json = (value: unknown) => JSON.stringify(value)
const Made = Schema.Struct({ id: Schema.String, apiKey: Schema.String })
const email = () => `${crypto.randomUUID()}@example.com`
const newSession = async (by = key) => {
  const made = await expectOutcome("createSession", 201, { key: by })
  return read(Schema.Struct({ sessionId: Schema.String }), made).sessionId
}
const newAgent = async (options: Parameters<Asking["ask"]>[1]) => {
  const made = await expectOutcome("createAgent", 201, options)
  return read(Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) }), made).agent.id
}
/** A session whose agent has a greeting. */
const greetingSession = async (by = key, at = service) => {
  const agentId = await newAgent({
    at,
    key: by,
    body: json({ name: crypto.randomUUID(), greeting: "Hello." }),
  })
  const made = await expectOutcome("createSession", 201, { at, key: by, body: json({ agentId }) })
  return read(Schema.Struct({ sessionId: Schema.String }), made).sessionId
}
/** A turn with a call for its client, which the example of the document answers. */
const callingTurn = async (by = key, at = service, sessionId?: string) => {
  const agentId = await newAgent({
    at,
    key: by,
    body: json({ name: crypto.randomUUID(), tools: [{ type: "client", name: "open_door" }] }),
  })
  const made =
    sessionId === undefined
      ? await expectOutcome("createSession", 201, { at, key: by, body: json({ agentId }) })
      : { sessionId }
  const session = read(Schema.Struct({ sessionId: Schema.String }), made).sessionId
  at.upstream.script("llm", [{ text: "", toolCalls: [{ id: "call_1", name: "open_door", arguments: "{}" }] }])
  const turn = await expectOutcome("takeTextTurn", 200, {
    at,
    key: by,
    id: session,
    headers: { accept: "application/json" },
    body: json({ text: "Open it.", agentId }),
  })
  const { turnId } = read(Schema.Struct({ turnId: Schema.String }), turn)
  return { id: turnId, session, agentId }
}
const newWebhook = async (options: Parameters<Asking["ask"]>[1]) => {
  // Not called: no such name exists.
  const body = json({ url: "https://webhook.invalid/", events: ["turn.completed"] })
  const made = await expectOutcome("createWebhook", 201, { body, ...options })
  return read(Schema.Struct({ webhook: Schema.Struct({ id: Schema.String }) }), made).webhook.id
}
const newKey = async (by = key, name = "one more") =>
  read(Made, await expectOutcome("createApiKey", 201, { key: by, body: json({ name }) }))

/** As if an earlier version of the service had stored it. */
const outdate = (agentId: string) =>
  service.database.sql`update agent_versions set definition = '{"name": 7}' where agent_id = ${agentId}`

describe("successes", () => {
  test("registration and login", async () => {
    await expectOutcome("getHealth", 200)
    await expectOutcome("getReadiness", 200)
    const registered = await expectOutcome("registerUser", 201, { body: json({ email: email() }) })
    const { apiKey } = read(Schema.Struct({ apiKey: Schema.String }), registered)
    await expectOutcome("registerByAuth", 201, { body: json({ email: email() }) })
    await expectOutcome("login", 200, { body: json({ apiKey }) })
  })

  test("the account", async () => {
    const mail = email()
    const registered = await expectOutcome("registerUser", 201, { body: json({ email: mail }) })
    const own = read(Schema.Struct({ apiKey: Schema.String }), registered).apiKey
    await expectOutcome("getAccount", 200, { key: own })
    const session = await newSession(own)
    await expectOutcome("takeTextTurn", 200, { key: own, id: session })
    const made = await newKey(own)
    await expectOutcome("rotateApiKey", 201, { key: own, id: made.id })
    await expectOutcome("revokeApiKey", 204, { key: own, id: (await newKey(own)).id })
    await expectOutcome("listApiKeys", 200, { key: own })
    await expectOutcome("exportAccount", 200, { key: own })
    await expectOutcome("deleteAccount", 204, { key: own, body: json({ email: mail }) })
  })

  test("secrets of tools", async () => {
    const own = await service.register()
    await expectOutcome("putSecret", 201, { key: own, id: "KEY" })
    await expectOutcome("putSecret", 200, { key: own, id: "KEY" })
    await expectOutcome("listSecrets", 200, { key: own })
    await service.database.sql`insert into secrets (user_id, name, value)
      select user_id, 'S' || n, '' from secrets, generate_series(1, 99) n where name = 'KEY'`
    await expectOutcome("putSecret", "TOO_MANY_SECRETS", { key: own, id: "MORE" })
    await expectOutcome("deleteSecret", 204, { key: own, id: "KEY" })
    await expectOutcome("deleteSecret", "SECRET_NOT_FOUND", { key: own, id: "KEY" })
  })

  test("webhooks", async () => {
    const own = await service.register()
    const id = await newWebhook({ key: own })
    await expectOutcome("listWebhooks", 200, { key: own })
    await expectOutcome("getWebhook", 200, { key: own, id })
    const sent = await expectOutcome("testWebhook", 202, { key: own, id })
    const { delivery } = read(Schema.Struct({ delivery: Schema.Struct({ id: Schema.String }) }), sent)
    await expectOutcome("listDeliveries", 200, { key: own, id })
    await expectOutcome("replayDelivery", 202, { key: own, id, innerId: delivery.id })
    await expectOutcome("replayDelivery", "DELIVERY_NOT_FOUND", { key: own, id })
    await expectOutcome("replayDeliveries", 202, { key: own, id })
    for (const _ of [1, 2, 3, 4, 5]) await expectOutcome("rotateWebhookSecret", 200, { key: own, id })
    await expectOutcome("rotateWebhookSecret", "TOO_MANY_WEBHOOK_SECRETS", { key: own, id })
    const wrong = json({ graceSeconds: -1 })
    await expectOutcome("rotateWebhookSecret", "VALIDATION_ERROR", { key: own, id, body: wrong })
    await service.database
      .sql`insert into webhook_deliveries (webhook_id, type, data, is_replay, next_attempt_at)
      select ${id}, 'turn.completed', '{}', true, now() + interval '1 hour' from generate_series(1, 10000)`
    await expectOutcome("replayDeliveries", "TOO_MANY_REPLAYS", { key: own, id })
    await expectOutcome("updateWebhook", 200, { key: own, id, body: json({ enabled: false }) })
    for (const each of ["testWebhook", "replayDelivery", "replayDeliveries"]) {
      await expectOutcome(each, "WEBHOOK_DISABLED", { key: own, id })
    }
    await service.database.sql`insert into webhooks (id, user_id, url, events, secret)
      select gen_random_uuid(), user_id, url, events, '' from webhooks, generate_series(1, 19) n where id = ${id}`
    await expectOutcome("createWebhook", "TOO_MANY_WEBHOOKS", { key: own })
    await expectOutcome("deleteWebhook", 204, { key: own, id })
    await expectOfAll("404 WEBHOOK_NOT_FOUND", { key: own, id })
  })

  test("memories", async () => {
    const own = await service.register()
    const me = read(
      Schema.Struct({ userId: Schema.String }),
      await expectOutcome("getAccount", 200, { key: own }),
    )
    const id = crypto.randomUUID()
    await service.database
      .sql`insert into memories (id, user_id, text) values (${id}, ${me.userId}, 'Likes tea.')`
    expect(await expectOutcome("listMemories", 200, { key: own })).toMatchObject({ memories: [{ id }] })
    await expectOutcome("deleteMemory", 204, { key: own, id })
    await expectOutcome("deleteMemory", "MEMORY_NOT_FOUND", { key: own, id })
    await expectOutcome("deleteMemories", 204, { key: own })
  })

  test("usage", async () => {
    const own = await service.register()
    await expectOutcome("takeTurn", 200, { key: own })
    const query = "?from=2020-01-01&groupBy=key"
    expect(await expectOutcome("getUsage", 200, { key: own, query })).toMatchObject({
      entries: [{ turns: 1 }],
    })
  })

  test("agents", async () => {
    const own = await service.register()
    const body = json({ name: "A", greeting: "Hello." })
    const headers = { "idempotency-key": "one" }
    const id = await newAgent({ key: own, body, headers })
    await expectOutcome("createAgent", "IDEMPOTENCY_KEY_REUSED", {
      key: own,
      body: json({ name: "C" }),
      headers,
    })
    await newAgent({ key: own, body: json({ name: "B" }) })
    await expectOutcome("updateAgent", "AGENT_NAME_TAKEN", { key: own, id, body: json({ name: "b" }) })
    await expectOutcome("createAgent", "AGENT_NAME_TAKEN", { key: own, body })
    await expectOutcome("createAgent", "VALIDATION_ERROR", { key: own, body: json({ name: "" }) })
    await expectOutcome("listAgents", 200, { key: own })
    for (const each of [id, "default"]) await expectOutcome("getAgent", 200, { key: own, id: each })
    await expectOutcome("updateAgent", 200, { key: own, id, body: json({ greeting: "Good day." }) })
    await expectOutcome("updateAgent", "AGENT_CHANGED", { key: own, id, body: json({ version: 1 }) })
    await expectOutcome("updateAgent", "AGENT_READ_ONLY", { key: own, id: "default", body: json({}) })
    await expectOutcome("listAgentVersions", 200, { key: own, id })
    await service.database.sql`insert into agents (id, user_id, name)
      select gen_random_uuid(), user_id, 'N' || n from agents, generate_series(1, 98) n where id = ${id}`
    await expectOutcome("createAgent", "TOO_MANY_AGENTS", { key: own, body: json({ name: "D" }) })
    await expectOutcome("deleteAgent", 204, { key: own, id })
    await expectOutcome("deleteAgent", "AGENT_READ_ONLY", { key: own, id: "default" })
  })

  test("sessions", async () => {
    const id = await newSession()
    await expectOutcome("takeTextTurn", 200, { key, id })
    await expectOutcome("listSessions", 200, { key, query: "?limit=1" })
    await expectOutcome("getSession", 200, { key, id })
    await expectOutcome("updateSession", 200, { key, id })
    await expectOutcome("listMessages", 200, { key, id, query: "?limit=2" })
    await expectOutcome("deleteSession", 204, { key, id })
  })

  test.each(turns)("turns from %s in every format", async (turn) => {
    const id = await newSession()
    for (const accept of ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]) {
      await expectOutcome(turn, 200, { key, id, headers: { accept } })
    }
    const headers = { accept: "application/json", "idempotency-key": crypto.randomUUID() }
    for (const replayed of [null, "true"]) {
      const answer = await ask(turn, { key, id, headers })
      expect(answer.headers.get("idempotent-replayed")).toBe(replayed)
      await contract.check(turn, answer)
    }
    service.upstream.script("stt", [{ text: "é".repeat(2000) }])
    await expectOutcome(turn, 200, {
      key,
      id,
      body: turn === "takeTurn" ? formOf(recording) : json({ text: "é".repeat(2000) }),
    })
  })

  test("greetings", async () => {
    const id = await greetingSession()
    for (const accept of ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]) {
      await expectOutcome("takeGreeting", 200, { key, id, headers: { accept } })
    }
    const headers = { accept: "application/json", "idempotency-key": crypto.randomUUID() }
    await expectOutcome("takeGreeting", 200, { key, id, headers })
    await expectOutcome("takeGreeting", "IDEMPOTENCY_KEY_REUSED", { key, id, headers, query: "?audio=false" })
    await expectOutcome("takeGreeting", "NO_GREETING", { key, id: await newSession() })
    await expectOutcome("takeGreeting", "NOT_ACCEPTABLE", { key, id, headers: { accept: "image/png" } })
  })

  test("tool results", async () => {
    for (const accept of ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]) {
      const { id, session } = await callingTurn()
      await expectOutcome("listOpenToolCalls", 200, { key, id: session })
      await expectOutcome("submitToolResults", 200, { key, id, headers: { accept } })
      await expectOutcome("submitToolResults", "TOOL_CALL_ANSWERED", { key, id })
    }
    const { id, session } = await callingTurn()
    await expectOutcome("submitToolResults", "NOT_ACCEPTABLE", { key, id, headers: { accept: "image/png" } })
    await service.database.sql`insert into monthly_limits select id, 0 from users`
    await expectOutcome("submitToolResults", "QUOTA_EXCEEDED", { key, id })
    await service.database.sql`delete from monthly_limits`
    const others = json({ results: [{ callId: "call_2", output: "" }] })
    await expectOutcome("submitToolResults", "TOOL_RESULTS_MISMATCH", { key, id, body: others })
    await expectOutcome("takeTextTurn", 200, { key, id: session })
    await expectOutcome("submitToolResults", "TOOL_CALLS_CLOSED", { key, id })
    await expectOutcome("submitToolResults", "TURN_NOT_FOUND", { key })
    const keyed = await callingTurn()
    const headers = { accept: "application/json", "idempotency-key": crypto.randomUUID() }
    await expectOutcome("submitToolResults", 200, { key, id: keyed.id, headers })
    await expectOutcome("submitToolResults", "IDEMPOTENCY_KEY_REUSED", {
      key,
      id: keyed.id,
      headers,
      body: others,
    })
  })

  test("a turn without audio", async () => {
    const id = await newSession()
    for (const accept of ["application/json", "text/event-stream"]) {
      await expectOutcome("takeTextTurn", 200, { key, id, query: "?audio=false", headers: { accept } })
    }
  })

  test("the events of a failed turn", async () => {
    service.upstream.script("tts", [fail.notFound()])
    const answer = await ask("takeTurn", { key, headers: { accept: "text/event-stream" } })
    expect(await contract.check("takeTurn", answer)).toContain("event: error\n")
  })
})

describe("authentication failures", () => {
  test("without a key", () => expectOfAll("401 UNAUTHORIZED", {}))
  test("with a wrong key", () => expectOfAll("401 INVALID_API_KEY", { key: "sk_wrong" }))

  test.each(["closed", "token"])("with %s registration", async (mode) => {
    const at = await startTurns({
      env: {
        REGISTRATION: mode,
        ...(mode === "token" ? { REGISTRATION_TOKEN: "correct-horse" } : {}),
      },
    })
    const code = mode === "closed" ? "REGISTRATION_CLOSED" : "INVALID_REGISTRATION_TOKEN"
    await expectOfAll(`403 ${code}`, { at })
    await at.stop()
  })

  test("over a rate limit", async () => {
    const limits = ["TURNS_PER_MINUTE", "REQUESTS_PER_MINUTE", "REGISTRATIONS_PER_HOUR", "LOGINS_PER_MINUTE"]
    const at = await startTurns({
      env: Object.fromEntries(limits.map((each) => [`RATE_LIMIT_${each}`, "2"])),
    })
    const [own, id] = [await at.register(), crypto.randomUUID()]
    await at.register()
    for (const _ of [1, 2]) {
      await expectOutcome("getAccount", 200, { at, key: own })
      await expectOutcome("login", 200, { at, body: json({ apiKey: own }) })
      await expectOutcome("takeTurn", 200, { at, key: own })
    }
    await expectOfAll("429 RATE_LIMIT_EXCEEDED", { at, key: own, id })
    await at.stop()
  })
})

test("over a monthly limit", async () => {
  const at = await startTurns({ env: { MONTHLY_LIMIT: "0" } })
  const key = await at.register()
  const { agent } = Schema.decodeUnknownSync(Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) }))(
    await (await at.call("POST", "/agents", { key, body: { name: "Host", greeting: "Hello." } })).json(),
  )
  const { sessionId: id } = Schema.decodeUnknownSync(Schema.Struct({ sessionId: Schema.String }))(
    await (await at.call("POST", "/sessions", { key, body: { agentId: agent.id } })).json(),
  )
  for (const operation of contract.having("429 QUOTA_EXCEEDED")) {
    // It needs a turn with open calls: see "tool results".
    if (operation.id !== "submitToolResults")
      await expectOutcome(operation.id, "QUOTA_EXCEEDED", { at, key, id })
  }
  await at.stop()
})

describe("a rejected body", () => {
  test("of an unsupported type", async () => {
    await expectOfAll("415 UNSUPPORTED_MEDIA_TYPE", {
      key,
      headers: { "content-type": "text/plain" },
      body: "hello",
    })
  })

  test("or query that is invalid", async () => {
    const id = await newSession()
    for (const { id: operation, method } of contract.having("400 VALIDATION_ERROR")) {
      const body = operation === "takeTurn" ? new FormData() : "[]"
      const isByQuery = method === "GET" || operation === "takeGreeting"
      const wrong = isByQuery ? { query: "?limit=0&intent=talk&audio=loud" } : { body }
      await expectOutcome(operation, "VALIDATION_ERROR", { key, id, ...wrong })
    }
    await expectOutcome("listSessions", "VALIDATION_ERROR", { key, query: "?cursor=x" })
  })

  test("that is too large", () =>
    expectOfAll("413 PAYLOAD_TOO_LARGE", { key, body: "x".repeat(1024 ** 2 + 1) }))

  test("that is not sent", async () => {
    const at = await startTurns({ speed: 20, env: { UPLOAD_TIMEOUT_SECONDS: "10" } })
    const own = await at.register()
    const send = async ({ id, method, path }: (typeof contract.operations)[number]) => {
      const client = await connectRaw(at.url)
      const where = path.replace(/\{\w+\}/, crypto.randomUUID())
      await client.send(
        head(`${method} ${new URL(at.url).pathname}${where}`, {
          authorization: `Bearer ${own}`,
          "content-type": id === "takeTurn" ? multipartType : "application/json",
          "content-length": "100",
        }),
      )
      const { status, headers, body } = await client.answer()
      expect(await contract.check(id, { status, headers, text: async () => `${body}` })).toMatchObject({
        error: "REQUEST_TIMEOUT",
      })
      client.leave()
    }
    await Promise.all(contract.having("408 REQUEST_TIMEOUT").map(send))
    await at.stop()
  })

  test("without audio, too long, or silent", async () => {
    await expectOutcome("takeTurn", "INVALID_AUDIO", { key, audio: randomBytes() })
    await expectOutcome("takeTurn", "AUDIO_TOO_LARGE", { key, audio: randomBytes(600_000) })
    await expectOutcome("takeTurn", "AUDIO_TOO_LONG", { key, audio: wavOf(speechLike(6)) })
    await expectOutcome("takeTurn", "NO_SPEECH_DETECTED", { key, audio: wavOf(silence(1)) })
  })
})

describe("not found and conflicts", () => {
  test("of a user", async () => {
    const own = await service.register()
    const { email: taken } = read(
      Schema.Struct({ email: Schema.String }),
      await expectOutcome("getAccount", 200, { key: own }),
    )
    for (const id of ["registerUser", "registerByAuth"]) {
      await expectOutcome(id, "EMAIL_TAKEN", { body: json({ email: taken }) })
    }
    await expectOfAll("404 API_KEY_NOT_FOUND", { key: own })
    const { keys } = read(
      Schema.Struct({ keys: Schema.Array(Schema.Struct({ id: Schema.String })) }),
      await expectOutcome("listApiKeys", 200, { key: own }),
    )
    const id = keys[0]?.id ?? ""
    await expectOutcome("revokeApiKey", "LAST_API_KEY", { key: own, id })
    for (let count = 1; count < 20; count++) await newKey(own)
    await expectOutcome("createApiKey", "TOO_MANY_API_KEYS", { key: own })
    await expectOutcome("rotateApiKey", "TOO_MANY_API_KEYS", {
      key: own,
      id,
      body: json({ graceSeconds: 60 }),
    })
  })

  test("of agents", async () => {
    for (const { id } of contract.having("404 AGENT_NOT_FOUND")) {
      if (id === "submitToolResults") continue
      const agentId = crypto.randomUUID()
      const form = formOf(recording)
      form.append("agentId", agentId)
      const wanted = id === "createClientSecret" ? { agent: agentId } : { agentId, text: "Hello" }
      const body = id === "takeTurn" ? form : json(wanted)
      const session = /Session|Turn/.test(id) ? { id: await newSession() } : {}
      await expectOutcome(id, "AGENT_NOT_FOUND", {
        key,
        ...session,
        ...(id === "connectRealtime"
          ? { query: `?agent=${agentId}` }
          : /^get|^list|^delete/.test(id)
            ? {}
            : { body }),
      })
    }
    const own = await service.register()
    const agentId = await newAgent({ key: own, body: json({ name: "A" }) })
    const session = await newSession(own)
    await expectOutcome("updateSession", 200, { key: own, id: session, body: json({ agentId }) })
    const form = formOf(recording)
    form.append("sessionId", session)
    const expectEverywhere = async (code: string) => {
      for (const { id } of contract.having(`409 ${code}`)) {
        if (id === "submitToolResults") continue
        const body = id === "takeTurn" ? { body: form } : {}
        const query = id === "connectRealtime" ? { query: `?session_id=${session}` } : {}
        await expectOutcome(id, code, { key: own, id: session, ...body, ...query })
      }
    }
    await outdate(agentId)
    await expectEverywhere("AGENT_OUTDATED")
    await expectOutcome("deleteAgent", 204, { key: own, id: agentId })
    await expectEverywhere("AGENT_DELETED")
  })

  test("of sessions", async () => {
    for (const { id } of contract.having("404 SESSION_NOT_FOUND")) {
      const query = id === "connectRealtime" ? `?session_id=${crypto.randomUUID()}` : ""
      if (id !== "takeTurn" && id !== "submitToolResults")
        await expectOutcome(id, "SESSION_NOT_FOUND", { key, query })
    }
    const id = await newSession()
    await service.database
      .sql`update sessions set last_activity_at = now() - interval '1 day' where id = ${id}`
    for (const turn of ["takeTextTurn", "takeGreeting"]) {
      await expectOutcome(turn, "SESSION_EXPIRED", { key, id })
    }
    await expectOutcome("connectRealtime", "SESSION_EXPIRED", { key, query: `?session_id=${id}` })
  })

  /** A turn that waits for its model. */
  const hold = async (step: Step = fail.hang()) => {
    const session = await openSession(service, key, recording)
    service.reset()
    service.upstream.script("llm", [step])
    const client = await session.begin("application/json")
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
    const [turn] = await session.turns()
    return { session, client, turnId: turn?.id ?? "" }
  }
  const answerOf = async (client: RawClient) => {
    const { status, headers, body } = await client.answer()
    return { status, headers, text: async () => `${body}` }
  }

  test("of turns", async () => {
    await expectOutcome("cancelTurn", "TURN_NOT_FOUND", { key })
    for (const id of turns)
      await expectOutcome(id, "NOT_ACCEPTABLE", { key, headers: { accept: "image/png" } })
    const held = await hold()
    await expectOutcome("cancelTurn", 204, { key, id: held.turnId })
    expect(await contract.check("takeTurn", await answerOf(held.client))).toMatchObject({
      error: "TURN_CANCELLED",
    })
    const gone = await hold({ delayMs: 500 })
    await expectOutcome("deleteSession", 204, { key, id: gone.session.id })
    expect(await contract.check("takeTurn", await answerOf(gone.client))).toMatchObject({
      error: "SESSION_NOT_FOUND",
    })
  })

  test("of a greeting", async () => {
    const id = await greetingSession()
    service.upstream.script("tts", [fail.hang()])
    const answer = ask("takeGreeting", { key, id, headers: { accept: "application/json" } })
    await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
    const [turn] = await service.database.sql`select id from turns where session_id = ${id}`
    await expectOutcome("cancelTurn", 204, { key, id: turn.id })
    expect(await contract.check("takeGreeting", await answer)).toMatchObject({ error: "TURN_CANCELLED" })
  })

  test("of tool results", async () => {
    const gone = await callingTurn()
    await outdate(gone.agentId)
    await expectOutcome("submitToolResults", "AGENT_OUTDATED", { key, id: gone.id })
    await expectOutcome("deleteAgent", 204, { key, id: gone.agentId })
    await expectOutcome("submitToolResults", "AGENT_DELETED", { key, id: gone.id })
    const guest = await callingTurn(key, service, await newSession())
    await expectOutcome("deleteAgent", 204, { key, id: guest.agentId })
    await expectOutcome("submitToolResults", "AGENT_NOT_FOUND", { key, id: guest.id })
    const old = await callingTurn()
    await service.database
      .sql`update sessions set last_activity_at = now() - interval '1 day' where id = ${old.session}`
    await expectOutcome("submitToolResults", "SESSION_EXPIRED", { key, id: old.id })

    for (const [end, code] of [
      ["cancelTurn", "TURN_CANCELLED"],
      ["deleteSession", "SESSION_NOT_FOUND"],
    ] as const) {
      const { id, session } = await callingTurn()
      service.reset()
      service.upstream.script("llm", [fail.hang()])
      const answer = ask("submitToolResults", { key, id, headers: { accept: "application/json" } })
      await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
      const [turn] = await service.database.sql`select id from turns where session_id = ${session}
        order by sequence desc limit 1`
      await expectOutcome(end, 204, { key, id: end === "cancelTurn" ? turn.id : session })
      expect(await contract.check("submitToolResults", await answer)).toMatchObject({ error: code })
    }
  })

  test("of a text turn", async () => {
    const { session, client } = await hold()
    client.leave()
    service.reset()
    service.upstream.script("llm", [fail.hang()])
    const answer = ask("takeTextTurn", { key, id: session.id, headers: { accept: "application/json" } })
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0])
    const turn = (await session.turns()).at(-1)
    await expectOutcome("cancelTurn", 204, { key, id: turn?.id ?? "" })
    expect(await contract.check("takeTextTurn", await answer)).toMatchObject({ error: "TURN_CANCELLED" })
  })

  test("of a turn with an Idempotency-Key", async () => {
    const id = await newSession()
    for (const turn of turns) {
      const headers = { "idempotency-key": crypto.randomUUID() }
      await expectOutcome(turn, 200, { key, id, headers })
      await expectOutcome(turn, "IDEMPOTENCY_KEY_REUSED", {
        key,
        id,
        headers,
        ...(turn === "takeTurn" ? { audio: wavOf(speechLike(1)) } : { body: json({ text: "Another." }) }),
      })
    }
  })

  test("of a busy session", async () => {
    const patient = { STT_TIMEOUT_SECONDS: "600", LLM_TIMEOUT_SECONDS: "600", TURN_TIMEOUT_SECONDS: "600" }
    const at = await startTurns({ speed: 20, env: patient })
    const own = await at.register()
    const session = await openSession(at, own, recording)
    const called = await callingTurn(own, at, session.id)
    at.upstream.reset()
    at.upstream.script("llm", [fail.hang()])
    const first = await session.begin()
    await at.upstream.waitFor(() => at.upstream.calls("llm")[0])
    const waiting = [
      session.take().then((answer) => contract.check("takeTurn", answer)),
      expectOutcome("takeTextTurn", "SESSION_BUSY", { at, key: own, id: session.id }),
      expectOutcome("takeGreeting", "SESSION_BUSY", { at, key: own, id: session.id }),
      expectOutcome("submitToolResults", "SESSION_BUSY", { at, key: own, id: called.id }),
    ]
    for (const body of await Promise.all(waiting)) expect(body).toMatchObject({ error: "SESSION_BUSY" })
    first.leave()
    await at.nothingLeft()
    await at.stop()
  })

  test("at capacity", async () => {
    const at = await startTurns({ env: { MAX_TURNS: "1", TURN_QUEUE_SECONDS: "0" } })
    const [own, other] = [await at.register(), await at.register()]
    at.upstream.script("stt", [fail.hang()])
    const client = await at.converseRaw(own, recording)
    await at.upstream.waitFor(() => at.upstream.calls("stt")[0])
    // A connection takes no turn: see "Realtime".
    for (const { id } of contract.having("503 OVERLOADED")) {
      if (id !== "connectRealtime") await expectOutcome(id, "OVERLOADED", { at, key: other })
    }
    client.leave()
    await at.stop()
  })
})

describe("Realtime", () => {
  test("a connection, over limits of its own, and from a foreign page", async () => {
    const at = await startTurns({
      env: { REALTIME_MAX_SESSIONS: "1", CORS_ORIGIN: "https://app.example.com" },
    })
    const own = await at.register()
    const headers = { origin: "https://other.example.com" }
    await expectOutcome("connectRealtime", "ORIGIN_NOT_ALLOWED", { at, key: own, headers })
    const open = await ask("connectRealtime", { at, key: own })
    // What follows are frames.
    const { status } = open
    await contract.check("connectRealtime", { status, headers: open.headers, text: async () => "" })
    expect(status).toBe(101)
    await expectOutcome("connectRealtime", "OVERLOADED", { at, key: own })
    await open.body?.cancel()
    await at.stop()
  })

  test("a request without a handshake", async () => {
    await contract.check("connectRealtime", await service.call("GET", "/realtime", { key }))
  })

  test("client secrets", async () => {
    const own = await service.register()
    await expectOutcome("createClientSecret", 200, { key: own })
    await service.database.sql`
      insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
      select user_id, key_id, lpad(n::text, 64, '0'), '{}', now() + interval '1 hour'
      from client_secrets, generate_series(1, 1000) n order by created_at desc limit 1000`
    await expectOutcome("createClientSecret", "TOO_MANY_CLIENT_SECRETS", { key: own })
  })
})

describe("a provider", () => {
  const failures: ReadonlyArray<readonly [code: string, stage: "stt" | "llm" | "tts", step: Step]> = [
    ["INVALID_REQUEST", "llm", fail.badRequest()],
    ["RATE_LIMIT_EXCEEDED", "llm", fail.rateLimited(60)],
    ["INVALID_OPENAI_KEY", "llm", fail.unauthorized()],
    ["STT_FAILED", "stt", fail.notFound()],
    ["LLM_FAILED", "llm", fail.notFound()],
    ["TTS_FAILED", "tts", fail.notFound()],
  ]
  test.each(failures)("that fails: %s", async (code, stage, step) => {
    const id = await newSession()
    for (const turn of turns) {
      if (turn === "takeTextTurn" && stage === "stt") continue
      service.upstream.script(stage, [step])
      await expectOutcome(turn, code, { key, id })
    }
    if (stage === "stt") return
    const called = await callingTurn()
    service.upstream.script(stage, [step])
    await expectOutcome("submitToolResults", code, { key, id: called.id })
  })
})

test.each([
  ["INVALID_REQUEST", fail.badRequest()],
  ["RATE_LIMIT_EXCEEDED", fail.rateLimited(60)],
  ["INVALID_OPENAI_KEY", fail.unauthorized()],
  ["TTS_FAILED", fail.notFound()],
] as const)("a greeting that cannot be spoken: %s", async (code, step) => {
  service.upstream.script("tts", [step])
  await expectOutcome("takeGreeting", code, { key, id: await greetingSession() })
})

describe("the database", () => {
  test("is unavailable", async () => {
    const database = await makeDatabase()
    const proxy = await startTcpProxy(database.url)
    const at = await startTurns({ database: { ...database, url: proxy.url } })
    proxy.cut()
    await expectOutcome("getReadiness", 503, { at })
    await expectOfAll("503 DATABASE_UNAVAILABLE", { at, key })
    await at.stop()
    await proxy.stop()
    await database.drop()
  })

  test("rejects a row", async () => {
    const at = await startTurns({ env: { ENCRYPTION_KEY: encryptionKey } })
    const { sql } = at.database
    const own = await at.register()
    const session = await openSession(at, own, recording)
    const made = read(Made, await contract.check("createApiKey", await ask("createApiKey", { at, key: own })))
    const agent = await newAgent({ at, key: own, body: json({ name: "A" }) })
    const webhook = await newWebhook({ at, key: own })
    const greeting = await greetingSession(own, at)
    const called = await callingTurn(own, at)
    // Existing rows stay valid; every new or changed row is refused.
    const refusing = [
      "users",
      "api_keys",
      "client_secrets",
      "secrets",
      "agents",
      "webhooks",
      "sessions",
      "items",
    ]
    for (const table of refusing) {
      await sql.unsafe(`alter table ${table} add constraint refused check (false) not valid`)
    }
    await sql.unsafe("create table holders (id uuid references sessions)")
    await sql`insert into holders values (${session.id})`
    const inPaths: Readonly<Record<string, string>> = {
      putSecret: "KEY",
      updateAgent: agent,
      updateWebhook: webhook,
      takeGreeting: greeting,
      submitToolResults: called.id,
    }
    for (const { id } of contract.having("400 DATABASE_ERROR")) {
      const inPath = id.endsWith("ApiKey") ? made.id : (inPaths[id] ?? session.id)
      const me = await contract.check("getAccount", await ask("getAccount", { at, key: own }))
      const mail = read(Schema.Struct({ email: Schema.String }), me).email
      const bodies: Readonly<Record<string, unknown>> = {
        deleteAccount: { email: mail },
        updateAgent: { greeting: "Good day." },
      }
      const body = id in bodies ? { body: json(bodies[id]) } : {}
      const accept = { accept: "application/json" }
      await expectOutcome(id, "DATABASE_ERROR", { at, key: own, id: inPath, headers: accept, ...body })
    }
    // The end of the service waits for what it repeats.
    for (const table of refusing) await sql.unsafe(`alter table ${table} drop constraint refused`)
    await at.stop()
  })

  test("is there, but no key for secrets", async () => {
    // A file in the place of the folder.
    const at = await startTurns({ env: { DATA_DIR: import.meta.path } })
    const own = await at.register()
    await expectOutcome("putSecret", "ENCRYPTION_UNAVAILABLE", { at, key: own, id: "KEY" })
    await expectOutcome("createWebhook", "ENCRYPTION_UNAVAILABLE", { at, key: own })
    await expectOutcome("rotateWebhookSecret", "ENCRYPTION_UNAVAILABLE", { at, key: own })
    await at.stop()
  })

  test("has another schema", async () => {
    const at = await startTurns()
    const own = await at.register()
    await at.database.sql`alter table api_keys rename to lost`
    await expectOfAll("500 INTERNAL_SERVER_ERROR", { at, key: own })
    await at.stop()
  })
})

test("every documented response was tested", () => {
  expect(contract.unseen()).toEqual([])
})

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Effect, Predicate } from "effect"
import { SessionExpired, SessionNotFound } from "../../src/conversation/model.ts"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { connectRealtime } from "../support/realtime-client.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

let service: Service
let key = ""
const fake = makeFakeRealtime()
beforeAll(async () => {
  service = await startService({
    realtime: fake.layer,
    env: { CORS_ORIGIN: "https://app.example.com", REALTIME_MAX_MESSAGE_MB: "0.1" },
  })
  key = await service.register()
})
afterAll(() => service.stop())

const nothingLeft = () =>
  until(
    () => service.connections().connections === 0 && service.connections().users === 0 && fake.open() === 0,
    "the connections to end",
  )
beforeEach(async () => {
  fake.beforeOpen = Effect.void
  await nothingLeft()
})

const handshake = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}

/** The response to a handshake, on a bare socket. */
const shake = async (
  headers: Record<string, string>,
  { path = "/v1/realtime", method = "GET" }: { readonly path?: string; readonly method?: string } = {},
) => {
  const client = await connectRaw(service.url)
  const { host } = new URL(service.url)
  await client.send(head(`${method} ${path}`, { host, ...handshake, ...headers }))
  const answer = await client.until(({ status }) => status === 101)
  client.leave("reset")
  return answer
}

/** The same as a `Response`. */
const refusal = async (...args: Parameters<typeof shake>) => {
  const { status, headers, body } = await shake(...args)
  return new Response(new Uint8Array(body), { status, headers })
}

/** Fields of a JSON object, as text. */
const readFields = <Name extends string>(json: unknown, ...names: ReadonlyArray<Name>) => {
  const fields: { [name in Name]?: string } = {}
  for (const name of names) {
    if (!Predicate.hasProperty(json, name)) throw new Error(`no ${name} in ${JSON.stringify(json)}`)
    fields[name] = `${json[name]}`
  }
  return fields
}

const authorization = () => ({ authorization: `Bearer ${key}` })
const secretProtocol = () => `openai-insecure-api-key.${key}`

describe("handshake", () => {
  test("Authorization header, on both paths", async () => {
    for (const url of [service.url, service.url.replace("/api", "")]) {
      const client = await connectRealtime(url, key, { query: "?model=gpt-realtime" })
      expect(client.socket.protocol).toBe("")
      expect(await client.event(0)).toMatchObject({ type: "session.created" })
      client.send({ type: "hello" })
      expect(await client.event(1)).toMatchObject({ delta: '{"type":"hello"}' })
      expect(service.connections()).toEqual({ connections: 1, users: 1 })
      client.socket.close(1000, "bye")
      expect(await client.closed).toMatchObject({ code: 1000 })
      await nothingLeft()
    }
  })

  test("subprotocols: selects realtime, wherever it stands", async () => {
    for (const protocols of [
      ["realtime", secretProtocol()],
      [secretProtocol(), "realtime"],
      ["openai-beta.realtime-v1", "realtime", secretProtocol(), "openai-agents-sdk.0.20.0"],
    ]) {
      const client = await connectRealtime(service.url, "", { protocols })
      expect(client.socket.protocol).toBe("realtime")
      client.socket.close()
      await client.closed
    }
  })

  test("subprotocols: never sends the key back", async () => {
    const offers = [
      secretProtocol(),
      `${secretProtocol()}, openai-beta.realtime-v1`,
      `,, ${secretProtocol()}`,
    ]
    for (const offer of offers) {
      const { status, headers } = await shake({ "sec-websocket-protocol": offer })
      expect([status, headers.get("sec-websocket-protocol")]).toEqual([101, null])
      expect(JSON.stringify(headers)).not.toContain(key)
    }
    for (const offer of [`realtime,${secretProtocol()}`, ` ${secretProtocol()} ,realtime`]) {
      const { status, headers } = await shake({ "sec-websocket-protocol": offer })
      expect([status, headers.get("sec-websocket-protocol")]).toEqual([101, "realtime"])
      expect(JSON.stringify(headers)).not.toContain(key)
    }
  })

  test("selects no protocol where none was offered", async () => {
    const { status, headers } = await shake(authorization())
    expect([status, headers.has("sec-websocket-protocol")]).toEqual([101, false])
    expect(headers.get("x-request-id")).toMatch(/^[\w-]{36}$/)
  })

  test("refuses compression", async () => {
    const offer = { "sec-websocket-extensions": "permessage-deflate; client_max_window_bits" }
    const { status, headers } = await shake({ ...authorization(), ...offer })
    expect([status, headers.has("sec-websocket-extensions")]).toEqual([101, false])
  })

  test("hands the query to the session", async () => {
    const sessionId = "8c7d6d39-5a54-4b0d-8f3c-6a1f2e9b7c33"
    await shake(authorization(), { path: `/v1/realtime?session_id=${sessionId}&intent=transcription` })
    await shake(authorization(), { path: "/v1/realtime?model=anything&unknown=1" })
    const [first, second] = fake.opened.slice(-2)
    expect(first).toMatchObject({ intent: "transcription", sessionId: { value: sessionId } })
    expect(second).toMatchObject({
      intent: "conversation",
      sessionId: { _tag: "None" },
      config: { _tag: "None" },
    })
  })
})

describe("refusals", () => {
  test("401 without a key, and with a wrong one", async () => {
    await expectProblem(await refusal({}), { status: 401, code: "UNAUTHORIZED" })
    const offer = { "sec-websocket-protocol": "realtime" }
    await expectProblem(await refusal(offer), { status: 401, code: "UNAUTHORIZED" })
    for (const wrong of ["sk_wrong", "ek_wrong", "ü"]) {
      const answer = await refusal({ "sec-websocket-protocol": `realtime, openai-insecure-api-key.${wrong}` })
      await expectProblem(answer, { status: 401, code: "INVALID_API_KEY" })
    }
    await expectProblem(await refusal({ authorization: "Bearer sk_wrong" }), {
      status: 401,
      code: "INVALID_API_KEY",
    })
  })

  test("426 for what is no handshake", async () => {
    const request = await fetch(`${service.url}/realtime`, { headers: authorization() })
    expect(request.headers.get("upgrade")).toBe("websocket")
    await expectProblem(request, { status: 426, code: "UPGRADE_REQUIRED" })
    for (const wrong of [
      { "sec-websocket-version": "8" },
      { "sec-websocket-key": "" },
      { "sec-websocket-key": "short" },
      { upgrade: "h2c" },
    ]) {
      const answer = await refusal({ ...authorization(), ...wrong })
      await expectProblem(answer, { status: 426, code: "UPGRADE_REQUIRED" })
    }
  })

  test("403 for a page of an unlisted origin", async () => {
    for (const origin of [
      "https://evil.example.com",
      "null",
      "https://app.example.com.evil.com",
      "http://app.example.com",
    ]) {
      const answer = await refusal({ ...authorization(), origin })
      await expectProblem(answer, { status: 403, code: "ORIGIN_NOT_ALLOWED" })
    }
    const { host } = new URL(service.url)
    for (const origin of ["https://app.example.com", `http://${host}`, `https://${host}`]) {
      expect((await shake({ ...authorization(), origin })).status).toBe(101)
    }
  })

  test("400 for an unknown intent or a wrong host", async () => {
    const intent = await refusal(authorization(), { path: "/v1/realtime?intent=translation" })
    await expectProblem(intent, {
      status: 400,
      code: "VALIDATION_ERROR",
      message: "intent: must be conversation or transcription",
    })
    const host = await refusal({ ...authorization(), host: "a b" })
    await expectProblem(host, { status: 400, code: "VALIDATION_ERROR" })
  })

  test("the session's error, before the handshake", async () => {
    fake.beforeOpen = new SessionNotFound()
    await expectProblem(await refusal(authorization()), { status: 404, code: "SESSION_NOT_FOUND" })
    fake.beforeOpen = new SessionExpired()
    await expectProblem(await refusal(authorization()), { status: 409, code: "SESSION_EXPIRED" })
    fake.beforeOpen = Effect.die(new Error("a defect"))
    await expectProblem(await refusal(authorization()), { status: 500, code: "INTERNAL_SERVER_ERROR" })
    await nothingLeft()
  })

  test("WebRTC, SIP and the beta protocol learn what to use", async () => {
    for (const path of ["", "/calls", "/calls/rtc_1/accept", "/sessions", "/transcription_sessions"]) {
      for (const base of [service.url, service.url.replace("/api", "")]) {
        const answer = await fetch(`${base}/realtime${path}`, {
          method: "POST",
          headers: { "content-type": "application/sdp" },
          body: "v=0",
        })
        await expectProblem(answer, {
          status: 400,
          code: "REALTIME_UNSUPPORTED",
          message: expect.stringContaining("WebSocket to v1/realtime"),
        })
      }
    }
  })
})

describe("messages", () => {
  test("binary gets an error, and the connection stays", async () => {
    const client = await connectRealtime(service.url, key)
    client.socket.send(new Uint8Array(10))
    client.send({ type: "hello" })
    expect(await client.event(1)).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", code: "invalid_event", event_id: null },
    })
    expect(await client.event(2)).toMatchObject({ delta: '{"type":"hello"}' })
    client.socket.close()
  })

  test("one above the limit closes with 1009", async () => {
    const client = await connectRealtime(service.url, key)
    client.socket.send("x".repeat(110_000))
    expect(await client.closed).toMatchObject({ code: 1009 })
  })

  test("text is passed on as it is", async () => {
    const client = await connectRealtime(service.url, key)
    for (const text of ["123", "null", "{", "", "ünï \u0000"]) client.socket.send(text)
    await client.event(4)
    expect(fake.opened.at(-1)?.messages.slice(0, 4)).toEqual(["123", "null", "{", ""])
    client.socket.close()
  })

  test("a session that throws ends alone", async () => {
    const other = await connectRealtime(service.url, key)
    const { onMessage } = fake
    fake.onMessage = () => {
      throw new Error("a defect")
    }
    const client = await connectRealtime(service.url, key)
    client.send({ type: "hello" })
    await client.closed
    fake.onMessage = onMessage
    other.send({ type: "still here" })
    expect(await other.event(1)).toMatchObject({ delta: '{"type":"still here"}' })
    other.socket.close()
  })
})

describe("client secrets", () => {
  const create = async (body: unknown, withKey = key) =>
    service.call("POST", "/realtime/client_secrets", { key: withKey, body })
  const secretOf = async (body: unknown, withKey = key) => {
    const created: unknown = await (await create(body, withKey)).json()
    return /ek_[0-9a-f]+/.exec(JSON.stringify(created))?.[0] ?? ""
  }

  test("shows the secret once, with the whole configuration", async () => {
    const before = Math.floor(Date.now() / 1000)
    const answer = await create({ session: { type: "realtime", instructions: "Be brief." } })
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"])
    const created: unknown = await answer.json()
    const { value, expires_at } = readFields(created, "value", "expires_at")
    expect(created).toMatchObject({
      value: expect.stringMatching(/^ek_[0-9a-f]{64}$/),
      session: {
        object: "realtime.session",
        type: "realtime",
        instructions: "Be brief.",
        audio: { output: { voice: "alloy" } },
      },
    })
    const stored = await service.database
      .sql`select * from client_secrets where session ->> 'instructions' = 'Be brief.'`
    expect(JSON.stringify(stored)).not.toContain(value ?? "")
    expect(Number(expires_at) - before).toBeOneOf([599, 600, 601, 602])
    // Neither the id of a session nor an end that no session has yet.
    expect(created).toMatchObject({ session: { id: expect.stringMatching(/^secret_[0-9a-f-]{36}$/) } })
    expect(created).not.toHaveProperty("session.expires_at")
    const empty = await service.call("POST", "/realtime/client_secrets", { key })
    expect(empty.status).toBe(200)
  })

  test("opens several sessions, with its configuration", async () => {
    const secret = await secretOf({ session: { type: "realtime", instructions: "Hi \u0000 there" } })
    for (const options of [{}, { protocols: ["realtime", `openai-insecure-api-key.${secret}`] }]) {
      const client = await connectRealtime(service.url, secret, options)
      await client.event(0)
      client.socket.close()
      expect(fake.opened.at(-1)?.config).toMatchObject({
        value: { patch: { instructions: "Hi \u0000 there" } },
      })
    }
  })

  test("of a session that this version refuses is a 400", async () => {
    const secret = await secretOf({ session: { type: "realtime", instructions: "Of another version." } })
    for (const session of ['{"type": "realtime", "gone": true}', '{"type": "other"}', "null", "[]"]) {
      await service.database.sql`update client_secrets set session = ${session}::text::json
        where created_at = (select max(created_at) from client_secrets)`
      const answer = await refusal({ authorization: `Bearer ${secret}` })
      await expectProblem(answer, {
        status: 400,
        code: "VALIDATION_ERROR",
        message: expect.stringMatching(
          /^The server no longer supports the session of this client secret: .+ Create another secret with your API key\.$/,
        ),
      })
    }
  })

  test("is no API key", async () => {
    const secret = await secretOf({})
    for (const [method, path] of [
      ["GET", "/sessions"],
      ["POST", "/realtime/client_secrets"],
    ] as const) {
      const answer = await service.call(method, path, { key: secret })
      await expectProblem(answer, {
        status: 401,
        code: "INVALID_API_KEY",
        message: "A client secret only opens Realtime connections. Use an API key for this request.",
      })
    }
    const login = await service.call("POST", "/auth/login", { body: { apiKey: secret } })
    await expectProblem(login, { status: 401, code: "INVALID_API_KEY" })
  })

  test("ends when it expires, and with its key", async () => {
    const expired = await secretOf({ expires_after: { anchor: "created_at", seconds: 10 } })
    await service.database
      .sql`update client_secrets set expires_at = now() where created_at = (select max(created_at) from client_secrets)`
    await expectProblem(await refusal({ authorization: `Bearer ${expired}` }), {
      status: 401,
      code: "INVALID_API_KEY",
      message: "Unknown or expired client secret. Create another one with your API key.",
    })
    const { id, apiKey } = readFields(
      await (await service.call("POST", "/users/me/keys", { key, body: {} })).json(),
      "id",
      "apiKey",
    )
    const secret = await secretOf({}, apiKey)
    expect((await shake({ authorization: `Bearer ${secret}` })).status).toBe(101)
    expect((await service.call("DELETE", `/users/me/keys/${id}`, { key })).status).toBe(204)
    const answer = await refusal({ authorization: `Bearer ${secret}` })
    await expectProblem(answer, { status: 401, code: "INVALID_API_KEY" })
  })

  test("is deleted with its user", async () => {
    const mine = await service.register()
    const secret = await secretOf({}, mine)
    const { email } = readFields(
      await (await service.call("GET", "/users/me", { key: mine })).json(),
      "email",
    )
    expect((await service.call("DELETE", "/users/me", { key: mine, body: { email } })).status).toBe(204)
    await expectProblem(await refusal({ authorization: `Bearer ${secret}` }), {
      status: 401,
      code: "INVALID_API_KEY",
    })
  })

  test("refuses wrong bodies", async () => {
    for (const [body, message] of [
      [{ expires_after: { seconds: 9 } }, "expires_after.seconds: must be a whole number from 10 to 7200"],
      [{ expires_after: { seconds: 7201 } }, "expires_after.seconds: must be a whole number from 10 to 7200"],
      [{ expires_after: { seconds: "60" } }, "expires_after.seconds: must be a whole number from 10 to 7200"],
      [{ expires_after: { anchor: "now" } }, "expires_after.anchor: must be created_at"],
      [{ session: "realtime" }, "session: must be an object"],
      [{ session: null }, "session: must be an object"],
      [
        { session: { type: "realtime", audio: { input: { format: "mp3" } } } },
        expect.stringContaining("session.audio.input.format"),
      ],
      [[], "must be an object"],
      [{ foo: 1 }, "foo: "],
      [{ model: "gpt-realtime" }, "model: "],
      [{ expires_after: { seconds: 60, minutes: 1 } }, "expires_after.minutes: "],
      [JSON.parse('{"__proto__":{"session":{}}}'), "__proto__: "],
      [JSON.parse('{"session":{"__proto__":{"type":"x"}}}'), "__proto__"],
      [JSON.parse('{"session":{"type":"realtime","audio":{"input":{"__proto__":1}}}}'), "__proto__"],
      [{ session: { type: "realtime", tools: Array(2000).fill({}) } }, "session.tools"],
      [
        {
          session: {
            type: "realtime",
            tracing: JSON.parse(`{"metadata":${'{"a":'.repeat(70)}1${"}".repeat(70)}}`),
          },
        },
        "nested too deeply",
      ],
      [Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`k${at}`, 1])), "k0: "],
    ] as const) {
      await expectProblem(await create(body), {
        status: 400,
        code: "VALIDATION_ERROR",
        message: expect.anything(),
      })
      const { message: said } = readFields(await (await create(body)).json(), "message")
      expect([body, said]).toEqual([
        body,
        typeof message === "string" ? expect.stringContaining(message) : message,
      ])
    }
    const large = await create({ session: { type: "realtime", instructions: "x".repeat(140_000) } })
    await expectProblem(large, { status: 413, code: "PAYLOAD_TOO_LARGE" })
    const unauthorized = await service.call("POST", "/realtime/client_secrets", { body: {} })
    await expectProblem(unauthorized, { status: 401, code: "UNAUTHORIZED" })
  })

  test("has a limit per user", async () => {
    const mine = await service.register()
    const { userId } = readFields(
      await (await service.call("GET", "/users/me", { key: mine })).json(),
      "userId",
    )
    await service.database.sql`insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
      select ${userId}, k.id, md5(n::text || ${userId}) || md5(n::text), '{}', now() + interval '1 hour'
      from api_keys k, generate_series(1, 1000) n where k.user_id = ${userId}`
    await expectProblem(await create({}, mine), { status: 409, code: "TOO_MANY_CLIENT_SECRETS" })
    await service.database.sql`update client_secrets set expires_at = now() where user_id = ${userId}`
    expect((await create({}, mine)).status).toBe(200)
  })
})

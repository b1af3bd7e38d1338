import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { connect, type Socket } from "node:net"
import { Deferred, Effect } from "effect"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { head } from "../support/raw-http.ts"
import { connectRealtime } from "../support/realtime-client.ts"
import { type Service, type ServiceOptions, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

const fake = makeFakeRealtime()
const defaults = { ...fake }
let service: Service
let key = ""
beforeAll(async () => {
  service = await startService({ realtime: fake.layer, speed: 50 })
  key = await service.register()
})
afterAll(() => service.stop())

const nothingLeft = (of = service) =>
  until(
    () => of.connections().connections === 0 && of.connections().users === 0 && fake.open() === 0,
    () => `the connections to end: ${JSON.stringify(of.connections())}, ${fake.open()} sessions`,
  )
beforeEach(async () => {
  Object.assign(fake, defaults)
  await nothingLeft()
})

/** Another service on the same database, for the time of `use`. */
const withService = async (
  options: Pick<ServiceOptions, "env" | "speed">,
  use: (service: Service, key: string) => Promise<void>,
) => {
  const own = await startService({ realtime: fake.layer, database: service.database, speed: 50, ...options })
  try {
    await use(own, key)
    await nothingLeft(own)
  } finally {
    await own.stop()
  }
}

/** A client on a bare socket that has sent its handshake, and answers no ping and no close. */
const shake = (to = service, withKey = key) =>
  new Promise<{
    readonly socket: Socket
    readonly received: () => Buffer
    /** Resolves when the service has closed the connection. */
    readonly ended: Promise<void>
  }>((resolve, reject) => {
    const { hostname, port, host } = new URL(to.url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let received: Buffer = Buffer.alloc(0)
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
    })
    const ended = new Promise<void>((end) => socket.once("end", end).once("close", end))
    socket.once("error", reject)
    socket.once("connect", () => {
      socket.off("error", reject)
      socket.on("error", () => undefined)
      const headers = {
        host,
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        authorization: `Bearer ${withKey}`,
      }
      socket.write(head("GET /v1/realtime", headers))
      resolve({ socket, received: () => received, ended })
    })
  })

const is101 = (received: () => Buffer) =>
  until(() => received().includes("101 Switching") && received().includes("session.created"), "the handshake")

/** A masked text frame of less than 126 bytes, or only the beginning of one. */
const frame = (text: string, length = text.length): Uint8Array =>
  new Uint8Array([0x81, 0x80 | length, 0, 0, 0, 0, ...Buffer.from(text)])

const done = { reason: "defect", code: "done", message: "Bye.", closeCode: 1000 } as const

describe("limits", () => {
  test("per user and per process", () =>
    withService(
      { env: { REALTIME_MAX_SESSIONS: "3", REALTIME_MAX_SESSIONS_PER_USER: "2" } },
      async (own, key) => {
        const other = await own.register()
        const clients = [await connectRealtime(own.url, key), await connectRealtime(own.url, key)]
        const ask = (withKey: string) =>
          fetch(`${own.url}/realtime`, {
            headers: {
              authorization: `Bearer ${withKey}`,
              connection: "Upgrade",
              upgrade: "websocket",
              "sec-websocket-version": "13",
              "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
          })
        await expectProblem(await ask(key), {
          status: 429,
          code: "RATE_LIMIT_EXCEEDED",
          message: "You have 2 Realtime sessions open, the maximum per user. Close one.",
          retryAfter: 1,
        })
        clients.push(await connectRealtime(own.url, other))
        await expectProblem(await ask(await own.register()), {
          status: 503,
          code: "OVERLOADED",
          retryAfter: 1,
        })
        expect(own.connections()).toEqual({ connections: 3, users: 2 })
        clients[0]?.socket.close()
        await until(() => own.connections().connections === 2, "a place")
        clients.push(await connectRealtime(own.url, other))
        for (const { socket } of clients) socket.close()
      },
    ))

  test("aborted handshakes take no place", () =>
    withService({ env: { REALTIME_MAX_SESSIONS_PER_USER: "2" } }, async (own) => {
      fake.beforeOpen = Effect.never
      for (let i = 0; i < 4; i += 1) {
        const client = await shake(own)
        await until(() => fake.open() === 1, "the session to open")
        client.socket.resetAndDestroy()
        await nothingLeft(own)
      }
      fake.beforeOpen = Effect.void
      const client = await connectRealtime(own.url, key)
      client.socket.close()
    }))

  test("the longest session", () =>
    withService({ env: { REALTIME_SESSION_MINUTES: "0.005" } }, async (own) => {
      const client = await connectRealtime(own.url, key)
      expect(await client.event(1)).toMatchObject({
        type: "error",
        error: {
          type: "invalid_request_error",
          code: "session_expired",
          message: "Your session hit the maximum duration of 0.005 minutes.",
          event_id: null,
        },
      })
      expect(await client.closed).toEqual({ code: 1001, reason: "session_expired" })
    }))

  test("no audio and no events for too long", () =>
    withService({ env: { REALTIME_IDLE_MINUTES: "0.005" } }, async (own) => {
      const client = await connectRealtime(own.url, key)
      expect(await client.event(1)).toMatchObject({ error: { code: "session_idle" } })
      expect(await client.closed).toEqual({ code: 1001, reason: "session_idle" })
    }))
})

describe("keys", () => {
  const newKey = async () => {
    const answer: unknown = await (await service.call("POST", "/users/me/keys", { key, body: {} })).json()
    const text = JSON.stringify(answer)
    return { id: /"id":"([\w-]+)"/.exec(text)?.[1] ?? "", apiKey: /sk_[0-9a-f]+/.exec(text)?.[0] ?? "" }
  }
  const expectRevoked = async (client: Awaited<ReturnType<typeof connectRealtime>>) => {
    expect(await client.event(1)).toMatchObject({ error: { code: "invalid_api_key" } })
    expect(await client.closed).toEqual({ code: 1008, reason: "invalid_api_key" })
  }

  test("a revoked key ends its connections, and no others", async () => {
    const { id, apiKey } = await newKey()
    const other = await connectRealtime(service.url, key)
    const clients = [await connectRealtime(service.url, apiKey), await connectRealtime(service.url, apiKey)]
    expect((await service.call("DELETE", `/users/me/keys/${id}`, { key })).status).toBe(204)
    for (const client of clients) await expectRevoked(client)
    expect(service.connections().connections).toBe(1)
    other.socket.close()
  })

  test("revoked by another process", () =>
    withService({}, async (own) => {
      const { id, apiKey } = await newKey()
      const client = await connectRealtime(own.url, apiKey)
      expect((await service.call("DELETE", `/users/me/keys/${id}`, { key })).status).toBe(204)
      await expectRevoked(client)
    }))

  test("expired", async () => {
    const { id, apiKey } = await newKey()
    const client = await connectRealtime(service.url, apiKey)
    await service.database.sql`update api_keys set expires_at = now() where id = ${id}`
    await expectRevoked(client)
  })

  test("of a client secret: its key counts, not its own expiry", async () => {
    const { id, apiKey } = await newKey()
    const created = await (
      await service.call("POST", "/realtime/client_secrets", { key: apiKey, body: {} })
    ).text()
    const client = await connectRealtime(service.url, /ek_[0-9a-f]+/.exec(created)?.[0] ?? "")
    await service.database.sql`delete from client_secrets`
    client.send({ type: "hello" })
    await client.event(1)
    expect((await service.call("DELETE", `/users/me/keys/${id}`, { key })).status).toBe(204)
    expect(await client.event(2)).toMatchObject({ error: { code: "invalid_api_key" } })
    expect(await client.closed).toMatchObject({ code: 1008 })
  })

  test("the user is deleted", async () => {
    const mine = await service.register()
    const client = await connectRealtime(service.url, mine)
    const me = await (await service.call("GET", "/users/me", { key: mine })).text()
    const email = /"email":"([^"]+)"/.exec(me)?.[1]
    expect((await service.call("DELETE", "/users/me", { key: mine, body: { email } })).status).toBe(204)
    await expectRevoked(client)
  })
})

describe("lost clients", () => {
  test("reset at every stage", async () => {
    const leave = async (
      how: (socket: Socket) => void,
      when: (received: () => Buffer) => Promise<unknown>,
    ) => {
      const { socket, received } = await shake()
      await when(received)
      how(socket)
      await nothingLeft()
    }
    const reset = (socket: Socket) => socket.resetAndDestroy()
    await leave(reset, async () => undefined)
    await leave(reset, is101)
    await leave((socket) => socket.destroy(), is101)
    await leave((socket) => socket.end(), is101)
    for (const bytes of [
      frame("{", 100),
      frame('{"type":"hello"}'),
      Buffer.from([0x81]),
      Buffer.from("garbage"),
    ]) {
      await leave((socket) => {
        socket.write(bytes)
        reset(socket)
      }, is101)
      await leave((socket) => {
        socket.write(bytes, () => reset(socket))
      }, is101)
    }
    fake.beforeOpen = Effect.sleep("1 second")
    await leave(reset, async () => until(() => fake.open() === 1, "the session"))
    await leave(
      (socket) => socket.end(),
      async () => until(() => fake.open() === 1, "the session"),
    )
  })

  test("a client that answers no ping", () =>
    withService({ env: { REALTIME_PING_SECONDS: "0.1" } }, async (own) => {
      const answering = await connectRealtime(own.url, key)
      const { socket, received } = await shake(own)
      await is101(received)
      await until(() => own.connections().connections === 1, "the end")
      expect(received().includes(Buffer.from([0x89, 0]))).toBe(true)
      expect(answering.socket.readyState).toBe(WebSocket.OPEN)
      answering.socket.close()
      socket.destroy()
    }))

  test("a client that does not close", async () => {
    const { socket, received } = await shake()
    await is101(received)
    socket.pause()
    fake.opened.at(-1)?.wire.end(done)
    await nothingLeft()
    socket.destroy()
  })

  test("a killed client process", async () => {
    const url = service.url.replace("http", "ws").replace("/api", "")
    const child = Bun.spawn({
      cmd: [
        process.execPath,
        "-e",
        `new WebSocket("${url}/realtime", { headers: { authorization: "Bearer ${key}" } }); setInterval(() => {}, 1000)`,
      ],
    })
    await until(() => service.connections().connections === 1, "the client")
    child.kill("SIGKILL")
    await nothingLeft()
  })

  test("500 silent clients leave nothing", () =>
    withService({ speed: 1 }, async (own) => {
      const clients: Array<Awaited<ReturnType<typeof connectRealtime>>> = []
      while (clients.length < 500) {
        const some = Array.from({ length: 50 }, () => connectRealtime(own.url, key))
        clients.push(...(await Promise.all(some)))
      }
      expect(own.connections()).toEqual({ connections: 500, users: 1 })
      for (const [i, { socket }] of clients.entries()) {
        if (i % 2 === 0) socket.close()
        else socket.terminate()
      }
    }))
})

describe("slow clients", () => {
  const chunk = "A".repeat(20_000)
  const ids = { response_id: "r1", item_id: "i1", output_index: 0, content_index: 0 }
  const delta = (n: number) => ({
    type: "response.output_audio_transcript.delta" as const,
    ...ids,
    delta: `${n} ${chunk}`,
  })

  test("get everything, in order", async () => {
    const { socket, received, ended } = await shake()
    await is101(received)
    socket.pause()
    const wire = fake.opened.at(-1)?.wire
    for (let i = 0; i < 500; i += 1) wire?.send(delta(i))
    wire?.end(done)
    // Far more than the system's buffers hold, so some of it waits in the service.
    expect(service.connections().connections).toBe(1)
    socket.resume()
    await ended
    await nothingLeft()
    const numbers = [
      ...received()
        .toString("latin1")
        .matchAll(/"delta":"(\d+) /g),
    ].map(([, n]) => Number(n))
    expect(numbers).toEqual(Array.from({ length: 500 }, (_, i) => i))
    socket.destroy()
  })

  test("end when too much waits", () =>
    withService({ env: { REALTIME_MAX_QUEUE_MB: "1" } }, async (own) => {
      const { socket, received } = await shake(own)
      await is101(received)
      socket.pause()
      const wire = fake.opened.at(-1)?.wire
      for (let i = 0; i < 1000; i += 1) wire?.send(delta(i))
      await nothingLeft(own)
      socket.destroy()
    }))

  test("end when they read nothing for too long", () =>
    withService({ env: { LISTENER_TIMEOUT_SECONDS: "0.2" } }, async (own) => {
      const { socket, received } = await shake(own)
      await is101(received)
      socket.pause()
      const wire = fake.opened.at(-1)?.wire
      for (let i = 0; i < 500; i += 1) wire?.send(delta(i))
      await nothingLeft(own)
      socket.destroy()
    }))

  test("a barge-in drops the audio that waits", async () => {
    const { socket, received, ended } = await shake()
    await is101(received)
    socket.pause()
    const wire = fake.opened.at(-1)?.wire
    for (let i = 0; i < 500; i += 1) {
      wire?.send({ type: "response.output_audio.delta", ...ids, delta: chunk })
      wire?.send({ type: "response.output_audio_transcript.delta", ...ids, delta: `${i} ` })
    }
    wire?.dropAudio("r1")
    wire?.end(done)
    socket.resume()
    await ended
    await nothingLeft()
    const text = received().toString("latin1")
    expect([...text.matchAll(/"delta":"(\d+) "/g)]).toHaveLength(500)
    expect([...text.matchAll(/output_audio\.delta/g)].length).toBeLessThan(450)
    socket.destroy()
  })
})

describe("shutdown", () => {
  test("lets each session finish, then closes", async () => {
    const own = await startService({ realtime: fake.layer, database: service.database })
    const finished = Effect.runSync(Deferred.make<void>())
    fake.onDrain = ({ wire }) =>
      Effect.map(Deferred.await(finished), () => wire.send({ type: "input_audio_buffer.cleared" }))
    const clients = [await connectRealtime(own.url, key), await connectRealtime(own.url, key)]
    const stopped = own.stop()
    await expect(connectRealtime(own.url, key)).rejects.toThrow()
    // The running response still gets events of its client.
    clients[0]?.send({ type: "hello" })
    await clients[0]?.event(1)
    expect(own.connections().connections).toBe(2)
    await Effect.runPromise(Deferred.succeed(finished, undefined))
    for (const client of clients) {
      expect(await client.closed).toEqual({ code: 1001, reason: "server_shutdown" })
      expect(client.events.slice(-2)).toMatchObject([
        { type: "input_audio_buffer.cleared" },
        { type: "error", error: { code: "server_shutdown" } },
      ])
    }
    await stopped
    expect(fake.open()).toBe(0)
  })

  test("a session may close its connection by itself", async () => {
    const own = await startService({ realtime: fake.layer, database: service.database })
    fake.onDrain = ({ wire }) => Effect.sync(() => wire.end({ ...done, closeCode: 1001, code: "later" }))
    const client = await connectRealtime(own.url, key)
    await own.stop()
    expect(await client.closed).toEqual({ code: 1001, reason: "later" })
  })

  test("does not wait for a client that leaves", async () => {
    const own = await startService({
      realtime: fake.layer,
      database: service.database,
      env: { SHUTDOWN_TIMEOUT_SECONDS: "300" },
    })
    const asked = Effect.runSync(Deferred.make<void>())
    fake.onDrain = () => Effect.zipRight(Deferred.succeed(asked, undefined), Effect.never)
    const client = await connectRealtime(own.url, key)
    const stopped = own.stop()
    await Effect.runPromise(Deferred.await(asked))
    client.socket.close()
    await stopped
    expect([own.connections(), fake.open()]).toEqual([{ connections: 0, users: 0 }, 0])
  }, 10_000)

  test("ends what does not finish in time", async () => {
    const own = await startService({
      realtime: fake.layer,
      database: service.database,
      env: { SHUTDOWN_TIMEOUT_SECONDS: "0.2" },
    })
    fake.onDrain = () => Effect.never
    const client = await connectRealtime(own.url, key)
    const { socket, received } = await shake(own)
    await is101(received)
    fake.beforeOpen = Effect.never
    const opening = await shake(own)
    await until(() => fake.open() === 3, "the handshake")
    await own.stop()
    expect(await client.closed).toEqual({ code: 1001, reason: "server_shutdown" })
    expect([own.connections(), fake.open()]).toEqual([{ connections: 0, users: 0 }, 0])
    socket.destroy()
    opening.socket.destroy()
  })
})

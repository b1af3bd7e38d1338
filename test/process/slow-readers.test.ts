/** The cost of many clients that send a request and read nothing. */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"
import { head } from "../support/raw-http.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

const exports = 10
const lists = 10
const turns = 4

let database: TestDatabase
let upstream: Upstream
beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

/** A client that has sent a request and reads nothing. */
const deaf = (url: string, request: string, body?: Uint8Array) =>
  new Promise<Socket>((resolve) => {
    const { hostname, port } = new URL(url)
    const socket = connect(Number(port), hostname, () => {
      socket.pause()
      socket.write(request)
      if (body !== undefined) socket.write(body)
      resolve(socket)
    })
    socket.on("error", () => undefined)
  })

test.skipIf(!existsSync("/proc/self/status"))(
  "clients that do not read cost little memory and are closed",
  async () => {
    const temporary = newFolder()
    const service = startProcess({
      env: {
        NODE_ENV: "production",
        DATABASE_URL: database.url,
        OPENAI_API_KEY: "sk-test",
        OPENAI_BASE_URL: upstream.baseUrl,
        LISTENER_TIMEOUT_SECONDS: "1",
        TMPDIR: temporary,
      },
    })
    const url = await service.url()
    const registered = await fetch(`${url}/api/v1/users/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: "deaf@example.com" }),
    })
    const key = /sk_[0-9a-f]+/.exec(await registered.text())?.[0] ?? ""
    // A history of 100 MB: far more than all buffers on the way hold.
    const [{ id }] = await database.sql`insert into sessions (user_id) select id from users returning id`
    // Without the trigger that updates the session for each row.
    await database.sql`alter table items disable trigger user`
    await database.sql`insert into items (session_id, turn_id, type, payload)
      select ${id}, gen_random_uuid(), 'message', jsonb_build_object('role', 'user', 'text', repeat('x', 4096))
      from generate_series(1, 25000)`

    const residentMB = () =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${service.pid}/status`, "utf8"))?.[1]) / 1024
    // A line: number, local address and port, the other end's, and the state, of which 01 is established.
    const own = `:${Number(new URL(url).port).toString(16).toUpperCase().padStart(4, "0")}`
    const connections = () =>
      readFileSync(`/proc/${service.pid}/net/tcp`, "utf8")
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter(([, local, , state]) => local?.endsWith(own) && state === "01").length
    let peak = 0
    const watching = setInterval(() => {
      peak = Math.max(peak, residentMB())
    }, 20)
    void service.ended.then(() => clearInterval(watching))
    const before = { memory: residentMB(), connections: connections() }

    // 200 s of samples: 9.6 MB.
    upstream.default("tts", { seconds: 200 })
    upstream.default("llm", { text: "One sentence is here." })
    const body = multipart([{ name: "audio", filename: "a.wav", content: await wav16k() }])
    const headers = { authorization: `Bearer ${key}` }
    const turn = (accept: string) =>
      deaf(
        url,
        head("POST /api/v1/voice/conversation", {
          ...headers,
          accept,
          "content-type": multipartType,
          "content-length": `${body.length}`,
        }),
        body,
      )
    const asked = (path: string) => deaf(url, head(`GET /api/v1${path}`, headers))
    const clients = await Promise.all([
      ...Array.from({ length: exports }, () => asked("/users/me/export")),
      ...Array.from({ length: lists }, () => asked(`/sessions/${id}/messages?limit=200`)),
      ...Array.from({ length: turns }, (_, i) => turn(i % 2 === 0 ? "audio/pcm" : "audio/wav")),
    ])
    expect(connections()).toBeGreaterThanOrEqual(clients.length)
    // The turns by their own state, the exports by their connections; lists of messages fit the system's buffers.
    const ended = () => database.sql`select 1 from turns where state <> 'running'`
    while ((await ended()).length < turns) await Bun.sleep(20)
    while (connections() > before.connections + lists) await Bun.sleep(20)
    expect(readdirSync(temporary)).toEqual([])
    clearInterval(watching)
    // The complete exports would be 1 GB. Most of this memory is garbage that is not collected yet.
    expect(peak - before.memory).toBeLessThan(600)
    for (const socket of clients) socket.destroy()
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
  },
  240_000,
)

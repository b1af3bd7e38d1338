/** Keys of Realtime clients: throttled like others, never logged, understood by stock clients. */
import { afterAll, beforeAll, expect, mock, spyOn, test } from "bun:test"
import OpenAI from "openai"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { connectRealtime } from "../support/realtime-client.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"

const said: Array<string> = []
const fake = makeFakeRealtime()
let service: Service
let key = ""
beforeAll(async () => {
  for (const name of ["log", "error", "warn", "info"] as const) {
    spyOn(console, name).mockImplementation((...parts: ReadonlyArray<unknown>) => {
      said.push(parts.join(" "))
    })
  }
  service = await startService({
    realtime: fake.layer,
    env: {
      LOG_LEVEL: "debug",
      RATE_LIMIT_WRONG_KEYS_PER_MINUTE: "3",
      RATE_LIMIT_REQUESTS_PER_MINUTE: "1000",
      TRUSTED_PROXIES: "127.0.0.1",
    },
  })
  key = await service.register()
})
afterAll(async () => {
  await service.stop()
  mock.restore()
})

const shake = async (headers: Record<string, string>, path = "/v1/realtime") => {
  const client = await connectRaw(service.url)
  const handshake = {
    host: new URL(service.url).host,
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  }
  await client.send(head(`GET ${path}`, { ...handshake, ...headers }))
  const answer = await client.until(({ status }) => status === 101)
  client.leave()
  return answer
}

const protocols = (credential: string) => ({
  "sec-websocket-protocol": `realtime, openai-insecure-api-key.${credential}`,
})

test("the log has each connection, and no key", async () => {
  said.length = 0
  const created = await (await service.call("POST", "/realtime/client_secrets", { key, body: {} })).text()
  const secret = /ek_[0-9a-f]+/.exec(created)?.[0] ?? ""
  const client = await connectRealtime(service.url, key, { headers: { "x-request-id": "the-connection" } })
  client.send({ type: "hello" })
  await client.event(1)
  client.socket.close(1000)
  await shake(protocols(key), `/v1/realtime?api_key=${key}&session_id=${key}`)
  await shake(protocols(secret))
  await shake(protocols("sk_wrong_one"))
  await until(
    () =>
      said.filter((line) => line.includes("realtime.closed")).length === 3 &&
      service.connections().connections === 0,
    "the ends",
  )
  const lines = said.splice(0)
  const mine = lines.filter((line) => line.includes("the-connection"))
  expect(mine.find((line) => line.includes("realtime.opened"))).toBeDefined()
  expect(mine.find((line) => line.includes("request.completed"))).toMatch(/status=101/)
  expect(mine.find((line) => line.includes("realtime.closed"))).toMatch(
    / ms=\d+ bytesIn=16 bytesOut=\d+ code=1000 reason=client/,
  )
  for (const credential of [key, secret, "sk_wrong_one"]) {
    expect(lines.filter((line) => line.includes(credential))).toEqual([])
  }
})

test("wrong keys are throttled, however they are sent", async () => {
  const from = { "x-forwarded-for": "10.9.8.7" }
  const statuses = []
  for (let i = 0; i < 5; i += 1) {
    const answer = await shake({
      ...from,
      ...(i % 2 === 0 ? protocols(`ek_${i}`) : { authorization: `Bearer sk_${i}` }),
    })
    statuses.push(answer.status)
    expect(answer.headers.has("retry-after")).toBe(answer.status === 429)
  }
  expect(statuses).toEqual([401, 401, 401, 429, 429])
})

test("the handshake counts as a request", async () => {
  const { headers, status } = await shake(protocols(await service.register()))
  expect([status, headers.get("ratelimit")]).toEqual([101, expect.stringMatching(/^"requests";r=999;/)])
})

test("ws of Node.js: Authorization header, no subprotocol", async () => {
  const script = `
    const { WebSocket } = require("ws")
    const socket = new WebSocket(process.argv[1], { headers: { authorization: "Bearer " + process.argv[2] } })
    socket.on("error", (error) => { console.log(error.message); process.exit(1) })
    socket.on("message", (data) => {
      const { type } = JSON.parse(data.toString())
      console.log(type, JSON.stringify(socket.protocol), JSON.stringify(socket.extensions))
      socket.close()
    })`
  const run = async (credential: string) => {
    const url = `${service.url.replace("http", "ws").replace("/api", "")}/realtime?model=gpt-realtime`
    const child = Bun.spawn({
      cmd: ["node", "-e", script, url, credential],
      cwd: `${import.meta.dir}/../..`,
      stdout: "pipe",
      stderr: "inherit",
    })
    return (await new Response(child.stdout).text()).trim()
  }
  expect(await run(key)).toBe('session.created "" ""')
  expect(await run("sk_wrong")).toBe("Unexpected server response: 401")
})

test("the openai package reads secrets and errors", async () => {
  const baseURL = service.url.replace("/api", "")
  const client = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 })
  const created = await client.realtime.clientSecrets.create({
    expires_after: { anchor: "created_at", seconds: 60 },
    session: { type: "realtime", instructions: "Be brief." },
  })
  expect(created.value).toStartWith("ek_")
  expect(created.session).toMatchObject({ type: "realtime", instructions: "Be brief." })
  const wrong = new OpenAI({ baseURL, apiKey: "sk_wrong", maxRetries: 0 })
  const refused: unknown = await wrong.realtime.clientSecrets.create({}).catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(OpenAI.AuthenticationError)
  expect(`${refused}`).toContain("INVALID_API_KEY")
})

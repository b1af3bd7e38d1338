import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { makeClient } from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import { type Service, startService } from "../support/service.ts"

const listed = "https://app.example.com"
const also = "http://localhost:5173"

let open: Service
let strict: Service
beforeAll(async () => {
  open = await startService()
  strict = await startService({ env: { CORS_ORIGIN: `${listed}, ${also}/` } })
})
afterAll(async () => {
  await open.stop()
  await strict.stop()
})

const exposed =
  "X-Session-Id, X-Turn-Id, X-Transcript, X-Transcript-Truncated, X-Response, X-Response-Truncated, X-Request-Id, Retry-After, RateLimit-Policy, RateLimit, Server-Timing, Idempotent-Replayed, ETag"

/** Every kind of response: with and without a body, and errors before, in and after the routes. */
const calls: ReadonlyArray<readonly [method: string, path: string, status: number]> = [
  ["GET", "/health", 200],
  ["GET", "/ready", 200],
  ["HEAD", "/health", 200],
  ["GET", "/sessions", 401],
  ["POST", "/users/register", 400],
  ["POST", "/auth/login", 400],
  ["POST", "/voice/conversation", 401],
  ["GET", "/nope", 404],
  ["PUT", "/sessions", 405],
]

const routes: ReadonlyArray<readonly [method: string, path: string]> = [
  ["GET", "/health"],
  ["GET", "/ready"],
  ["POST", "/users/register"],
  ["POST", "/auth/register"],
  ["POST", "/auth/login"],
  ["POST", "/sessions"],
  ["GET", "/sessions"],
  ["GET", "/sessions/1"],
  ["PATCH", "/sessions/1"],
  ["DELETE", "/sessions/1"],
  ["GET", "/sessions/1/messages"],
  ["POST", "/voice/conversation"],
]

const ask = async (service: Service, origin: string, [method, path, status]: (typeof calls)[number]) => {
  const answer = await service.call(method, path, { headers: { origin } })
  expect(answer.status).toBe(status)
  return crossOriginOf(answer)
}
const preflight = (service: Service, origin: string, [method, path]: (typeof routes)[number]) =>
  service.call("OPTIONS", path, {
    headers: {
      origin,
      "access-control-request-method": method,
      "access-control-request-headers": "authorization,content-type,idempotency-key",
    },
  })
const crossOriginOf = ({ headers }: Response) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-") || name === "vary"))

const permissions = {
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": expect.stringMatching(
    /^Authorization, Content-Type, Idempotency-Key, If-Match, X-Registration-Token, X-Request-Id, traceparent, /,
  ),
  "access-control-max-age": "600",
}

describe("by default", () => {
  const everyone = { "access-control-allow-origin": "*", "access-control-expose-headers": exposed }

  test.each(calls)("%s %s (%d) allows every origin, without credentials", async (method, path, status) => {
    const call = [method, path, status] as const
    expect(await ask(open, "https://anyone.example", call)).toEqual(everyone)
    expect(crossOriginOf(await open.call(method, path))).toEqual(everyone)
  })

  test.each(routes)("the preflight of %s %s passes", async (method, path) => {
    const answer = await preflight(open, "https://anyone.example", [method, path])
    expect(answer.status).toBe(204)
    expect(answer.headers.get("x-request-id")).toBeString()
    expect(crossOriginOf(answer)).toEqual({ ...everyone, ...permissions })
  })
})

describe("with a list", () => {
  const allowed = (origin: string) => ({
    vary: "Origin",
    "access-control-allow-origin": origin,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": exposed,
  })

  test.each(calls)("%s %s (%d) allows listed origins with credentials", async (method, path, status) => {
    for (const origin of [listed, also]) {
      expect(await ask(strict, origin, [method, path, status])).toEqual(allowed(origin))
    }
  })

  test.each(routes)("the preflight of %s %s passes for listed origins only", async (method, path) => {
    const route = [method, path] as const
    for (const origin of [listed, also]) {
      const answer = await preflight(strict, origin, route)
      expect(answer.status).toBe(204)
      expect(crossOriginOf(answer)).toEqual({ ...allowed(origin), ...permissions })
    }
    expect(crossOriginOf(await preflight(strict, "https://evil.example", route))).toEqual({
      vary: "Origin",
    })
  })

  test.each([
    "https://evil.example",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://APP.example.com",
    "x://https://app.example.com",
    "app.example.com",
    "null",
    "*",
    "constructor",
    "__proto__",
  ])("the origin %s is not allowed", async (origin) => {
    for (const call of calls) expect(await ask(strict, origin, call)).toEqual({ vary: "Origin" })
  })

  test("a response without Origin has Vary", async () => {
    expect(crossOriginOf(await strict.call("GET", "/health"))).toEqual({ vary: "Origin" })
  })
})

test("a list with * allows every origin", async () => {
  const service = await startService({ env: { CORS_ORIGIN: `${listed},*` }, database: open.database })
  const answer = crossOriginOf(await service.call("GET", "/health", { headers: { origin: listed } }))
  expect(answer).toMatchObject({ "access-control-allow-origin": "*" })
  expect(answer).not.toHaveProperty("access-control-allow-credentials")
  await service.stop()
})

test("preflights allow the typed client's headers and methods", async () => {
  const sent = new Set<string>()
  const methods = new Set<string>()
  const key = await open.register()
  const client = makeClient({
    baseUrl: open.url,
    apiKey: key,
    fetch: (url, init) => {
      methods.add(init.method ?? "GET")
      for (const [name] of new Headers(init.headers)) sent.add(name)
      return fetch(url, init)
    },
  })
  const { sessionId } = await client.sessions.create({ title: "A" })
  await client.sessions.update(sessionId, { title: "B" })
  await client.converse(new Blob([await wav16k()]), { sessionId })
  await client.sessions.delete(sessionId)
  expect([...sent]).toContain("idempotency-key")
  const answer = await open.call("OPTIONS", "/voice/conversation", {
    headers: {
      origin: "https://anyone.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": [...sent].toSorted().join(","),
    },
  })
  const listOf = (name: string) => (answer.headers.get(name) ?? "").toLowerCase().split(", ")
  // CORS-safelisted headers.
  const allowed = [...listOf("access-control-allow-headers"), "accept"]
  expect([...sent].filter((name) => !allowed.includes(name))).toEqual([])
  const ofMethods = listOf("access-control-allow-methods")
  expect([...methods].filter((method) => !ofMethods.includes(method.toLowerCase()))).toEqual([])
})

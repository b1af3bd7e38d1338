import { Elysia } from "elysia"

const exposed = [
  "X-Session-Id",
  "X-Turn-Id",
  "X-Transcript",
  "X-Transcript-Truncated",
  "X-Request-Id",
  "Retry-After",
  "RateLimit-Policy",
  "RateLimit",
  "Server-Timing",
  "Idempotent-Replayed",
].join(", ")

/** What a browser may ask for after its preflight, and for how many seconds it need not ask again. */
const preflight = {
  "access-control-allow-methods": "GET, POST, PATCH, DELETE",
  "access-control-allow-headers":
    "Authorization, Content-Type, Idempotency-Key, X-Registration-Token, X-Request-Id",
  "access-control-max-age": "600",
}

/**
 * What browsers let the pages of other origins do, on every answer, errors included: all origins where the list has
 * `*`, then without credentials; else the listed ones, with credentials. Not @elysiajs/cors: it sends credentials to
 * unlisted origins too, `Vary: *`, and takes an origin for listed by its host alone.
 */
export const crossOrigin = (origins: ReadonlyArray<string>) => {
  const anyone = origins.includes("*")
  const allow = (origin: string | null): Record<string, string> => {
    if (anyone) return { "access-control-allow-origin": "*" }
    // The answer is another one for another origin, which a cache has to know.
    if (origin === null || !origins.includes(origin)) return { vary: "Origin" }
    return {
      vary: "Origin",
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
    }
  }
  return new Elysia({ name: "cross-origin" }).onRequest(({ request, set }) => {
    Object.assign(set.headers, allow(request.headers.get("origin")))
    if (set.headers["access-control-allow-origin"] !== undefined) {
      set.headers["access-control-expose-headers"] = exposed
    }
    if (request.method !== "OPTIONS") return undefined
    if (set.headers["access-control-allow-origin"] !== undefined) Object.assign(set.headers, preflight)
    return new Response(null, { status: 204 })
  })
}

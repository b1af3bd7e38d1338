import { Elysia } from "elysia"

const exposed = [
  "X-Session-Id",
  "X-Turn-Id",
  "X-Transcript",
  "X-Transcript-Truncated",
  "X-Response",
  "X-Response-Truncated",
  "X-Request-Id",
  "Retry-After",
  "RateLimit-Policy",
  "RateLimit",
  "Server-Timing",
  "Idempotent-Replayed",
  "ETag",
].join(", ")

/** Request headers of the API. */
const ownHeaders = [
  "Authorization",
  "Content-Type",
  "Idempotency-Key",
  "If-Match",
  "X-Registration-Token",
  "X-Request-Id",
]

/**
 * Headers that browsers' monitoring adds to every request by itself. The service reads `traceparent` only, but a browser
 * sends no request with a header that the preflight does not allow. None of them grants anything.
 */
const monitoringHeaders = [
  // W3C Trace Context and Baggage (OpenTelemetry), Sentry, Zipkin B3.
  ...["traceparent", "tracestate", "baggage", "sentry-trace"],
  ...["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"],
  // Datadog RUM.
  ...["x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-origin", "x-datadog-sampling-priority"],
  // New Relic, Elastic APM, Application Insights, Jaeger, SkyWalking, AWS X-Ray, Google Cloud Trace, Dynatrace.
  ...["newrelic", "elastic-apm-traceparent", "request-id", "request-context", "uber-trace-id", "sw8"],
  ...["x-amzn-trace-id", "x-cloud-trace-context", "x-dtpc", "x-correlation-id", "x-requested-with"],
]

/** The response to a preflight: allowed methods and headers, and for how many seconds a browser may cache it. */
const preflight = {
  "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
  "access-control-allow-headers": [...ownHeaders, ...monitoringHeaders].join(", "),
  "access-control-max-age": "600",
}

/**
 * Whether a page of this origin may open a WebSocket. Browsers send the origin, and leave the decision to the server.
 * `host`: the Host header. The service's own pages are always allowed; behind a proxy, only their scheme differs.
 */
export const allowsSocket = (
  origins: ReadonlyArray<string>,
  { origin, host }: { readonly origin: string | null; readonly host: string | null },
): boolean =>
  origin === null ||
  origins.includes("*") ||
  origins.includes(origin) ||
  (URL.canParse(origin) && new URL(origin).host === host?.toLowerCase())

/**
 * CORS headers on every response, errors included. `*` in the list allows all origins, without credentials; otherwise
 * the listed origins are allowed, with credentials. Not @elysiajs/cors: it allows credentials for unlisted origins too,
 * sends `Vary: *`, and compares the host of an origin only.
 */
export const crossOrigin = (origins: ReadonlyArray<string>) => {
  const allowsAll = origins.includes("*")
  const allow = (origin: string | null): Record<string, string> => {
    if (allowsAll) return { "access-control-allow-origin": "*" }
    // Caches must keep the responses for different origins apart.
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

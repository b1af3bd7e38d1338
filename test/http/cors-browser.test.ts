import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser, Page } from "playwright-core"
import { startBrowser } from "../page/browser.ts"
import { type Service, startService } from "../support/service.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

let service: Service
let elsewhere: Bun.Server<undefined>
let browser: Browser
let page: Page
beforeAll(async () => {
  service = await startService()
  elsewhere = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () =>
      new Response("<!doctype html><title>Another origin</title>", {
        headers: { "content-type": "text/html" },
      }),
  })
  browser = await startBrowser()
  page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${elsewhere.port}/`)
})
afterAll(async () => {
  await browser?.close()
  await elsewhere?.stop(true)
  await service?.stop()
})

/** The status of a request of a page of another origin, or the browser's refusal to send it. */
const ask = (headers: Readonly<Record<string, string>>, method = "GET", path = "/health"): Promise<unknown> =>
  page.evaluate(
    `fetch(${JSON.stringify(`${service.url}${path}`)}, ${JSON.stringify({ method, headers })})
      .then((answer) => [answer.status, answer.headers.get("x-request-id")], (error) => error.name)`,
  )

const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
const span = "00f067aa0ba902b7"

test.each<readonly [monitoring: string, headers: Readonly<Record<string, string>>]>([
  ["OpenTelemetry", { traceparent: `00-${trace}-${span}-01`, tracestate: "a=b", baggage: "user=1" }],
  ["Sentry", { "sentry-trace": `${trace}-${span}-1`, baggage: "sentry-environment=production" }],
  ["Zipkin", { "X-B3-TraceId": trace, "X-B3-SpanId": span, "X-B3-ParentSpanId": span, "X-B3-Sampled": "1" }],
  ["Zipkin in one header", { b3: `${trace}-${span}-1` }],
  [
    "Datadog",
    {
      "x-datadog-trace-id": "1",
      "x-datadog-parent-id": "2",
      "x-datadog-origin": "rum",
      "x-datadog-sampling-priority": "1",
    },
  ],
  ["New Relic", { newrelic: "e30=", traceparent: `00-${trace}-${span}-01`, tracestate: "a=b" }],
  ["Elastic APM", { "elastic-apm-traceparent": `00-${trace}-${span}-01` }],
  ["Application Insights", { "Request-Id": `|${trace}.${span}.`, "Request-Context": "appId=cid-v1:a" }],
  ["Jaeger, SkyWalking", { "uber-trace-id": `${trace}:${span}:0:1`, sw8: "1-a-b-0-c-d-e-f" }],
  [
    "AWS, Google, Dynatrace",
    { "X-Amzn-Trace-Id": `Root=1-a-b`, "X-Cloud-Trace-Context": `${trace}/1`, "x-dtpc": "a" },
  ],
])("a page with %s may call the API", async (_, headers) => {
  expect(await ask({ ...headers, "X-Request-Id": "mine", Authorization: "Bearer sk_wrong" })).toEqual([
    200,
    "mine",
  ])
  expect(await ask({ ...headers, "X-Request-Id": "mine" }, "DELETE", "/users/me")).toEqual([401, "mine"])
})

test("other headers are not allowed", async () => {
  expect(await ask({ "X-Forwarded-For": "198.51.100.1" })).toBe("TypeError")
})

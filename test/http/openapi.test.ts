import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createConfig, lintFromString } from "@redocly/openapi-core"
import { Schema } from "effect"
import type { Browser } from "playwright-core"
import { makeDocument } from "../../src/http/openapi/document.ts"
import { makeExamples } from "../../src/http/openapi/failures.ts"
import { clientEventTypes } from "../../src/realtime/protocol/client-events.ts"
import { EventType, testType } from "../../src/webhooks/events.ts"
import { startBrowser } from "../page/browser.ts"
import { makeFakeRealtime } from "../support/fake-realtime.ts"
import { serverEvents } from "../support/realtime-events.ts"
import { type Service, startService } from "../support/service.ts"
import { type Contract, readContract } from "./contract.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

const Webhooks = Schema.Struct({
  webhooks: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({
      post: Schema.Struct({
        requestBody: Schema.Struct({
          content: Schema.Struct({ "application/json": Schema.Struct({ schema: Schema.Unknown }) }),
        }),
      }),
    }),
  }),
})

let service: Service
let contract: Contract
beforeAll(async () => {
  service = await startService({ realtime: makeFakeRealtime().layer })
  contract = await readContract(service.url)
})
afterAll(() => service.stop())

describe("the document", () => {
  test("is valid OpenAPI 3.1", async () => {
    const config = await createConfig({
      extends: ["recommended-strict"],
      // A health check has no client errors, and a WebSocket handshake ends with 101.
      rules: { "operation-4xx-response": "off", "operation-2xx-response": "off" },
    })
    const source = JSON.stringify(contract.raw)
    const problems = await lintFromString({ source, absoluteRef: "/openapi.json", config })
    expect(
      problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`),
    ).toEqual([])
  })

  test("has every route and no other", async () => {
    const byPath = Map.groupBy(contract.operations, ({ path }) => path)
    expect(byPath.size).toBeGreaterThan(10)
    for (const [path, operations] of byPath) {
      const asked = path.replace(/\{\w+\}/, crypto.randomUUID())
      const methods = operations.map(({ method }) => method)
      const allowed = [...methods, ...(methods.includes("GET") ? ["HEAD"] : []), "OPTIONS"].toSorted()
      // A method that the router knows, and this path has not.
      const answer = await service.call(methods.includes("PUT") ? "PATCH" : "PUT", asked)
      expect([path, answer.status, answer.headers.get("allow")]).toEqual([path, 405, allowed.join(", ")])
    }
  })

  test("requires a description of every route", () => {
    const examples = makeExamples({
      maxAudioBytes: 1,
      maxAudioSeconds: 1,
      maxRealtimeSessionsPerUser: 32,
      maxTurnsPerUser: 1,
    })
    const route = { method: "GET", path: "/api/v1/secret", hooks: {} }
    expect(() => makeDocument([route], examples)).toThrow("GET /api/v1/secret is not described")
  })

  test("has every event of webhooks, and no other", async () => {
    const answer = await service.call("POST", "/webhooks", {
      key: await service.register(),
      body: { url: "https://example.com", events: [] },
    })
    const { message } = Schema.decodeUnknownSync(Schema.Struct({ message: Schema.String }))(
      await answer.json(),
    )
    const [, types = ""] = /must have at least one of (.*)/.exec(message) ?? []
    const { webhooks } = Schema.decodeUnknownSync(Webhooks)(contract.raw)
    expect(Object.keys(webhooks).toSorted()).toEqual([...types.split(", "), "webhook.test"].toSorted())
    for (const [type, { post }] of Object.entries(webhooks)) {
      const { schema } = post.requestBody.content["application/json"]
      expect(schema).toMatchObject({
        required: ["type", "timestamp", "data"],
        properties: { type: { enum: [type] }, data: { type: "object" } },
      })
    }
  })

  test("has unique operation ids and the API's address", () => {
    const ids = contract.operations.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(contract.raw).toMatchObject({ servers: [{ url: new URL(service.url).pathname }] })
  })
})

describe("/docs", () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await startBrowser()
  })
  afterAll(() => browser?.close())

  test("shows every operation, without external requests", async () => {
    const page = await browser.newPage({ reducedMotion: "reduce" })
    const complaints: Array<string> = []
    const asked: Array<string> = []
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(`${error}`))
    page.on("request", (request) => asked.push(request.url()))
    const url = new URL("/docs", service.url).href
    await page.goto(url, { waitUntil: "networkidle" })
    for (const { id, path } of contract.operations) {
      const shown = page.locator(`section[id="${id}"]`)
      expect(await shown.locator(".route").textContent()).toContain(`/api/v1${path}`)
    }
    for (const type of [...EventType.literals, testType]) {
      const shown = page.locator("section", { has: page.getByText(`The event ${type}`, { exact: true }) })
      expect(await shown.locator(".route").textContent()).toContain("the URL of the webhook")
      expect(await shown.textContent()).toContain("webhook-signature")
    }
    // No dangling links, and no escaped markup.
    const dangling = `[...document.querySelectorAll('a[href^="#"]')].map(({ hash }) => hash.slice(1))
      .filter((id) => document.getElementById(id) === null)`
    expect(await page.evaluate(dangling)).toEqual([])
    expect(await page.locator("main").textContent()).not.toMatch(/undefined|\[object|&lt;|`/)
    // The content security policy allows its styles.
    expect(await page.evaluate("getComputedStyle(document.body).display")).toBe("grid")
    expect({ complaints, asked: asked.filter((each) => each !== url && !each.startsWith("data:")) }).toEqual({
      complaints: [],
      asked: [],
    })
    await page.close()
  })

  test("describes the events and the session of Realtime", async () => {
    const text = await (await fetch(new URL("/docs", service.url))).text()
    const section = (id: string) => text.split(`<section id="${id}">`)[1]?.split("</section>")[0] ?? ""
    const connect = section("connectRealtime")
    expect(connect).toContain(
      '<a href="https://developers.openai.com/api/docs/guides/realtime-conversations">OpenAI\'s guide</a>',
    )
    for (const type of [...clientEventTypes, ...serverEvents.map(({ type }) => type)]) {
      expect(connect).toContain(`<code>${type}</code>`)
    }
    // Of the request, and of the response.
    expect(section("createClientSecret").split('<a href="#schema-RealtimeSession">')).toHaveLength(3)
    for (const field of ["instructions", "silence_duration_ms", "expires_at"]) {
      expect(section("schema-RealtimeSession")).toContain(`<code>${field}</code>`)
    }
  })

  test("has no script and loads nothing", async () => {
    const answer = await fetch(new URL("/docs", service.url))
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
    expect(answer.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/=]+'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'$/,
    )
    expect(await answer.text()).not.toMatch(/<script| on\w+=| style=|src=/)
  })
})

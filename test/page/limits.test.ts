/** Browsers without a feature, refused permissions, and files. */
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import type { Browser, Page } from "playwright-core"
import { makeClient, VoiceAgentError } from "../../src/client/client.ts"
import { problemOf, realtimeProblemOf } from "../../src/page/problems.ts"
import { tempFolder } from "../support/temp-folders.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { DEFAULT_REPLY } from "../support/upstream.ts"
import { speechLike, wavOf } from "../support/wav.ts"
import {
  notice,
  reaches,
  records,
  register,
  shows,
  sounds,
  speak,
  speakBriefly,
  startBrowser,
  type VisitOptions,
  valueBetween,
  visit,
} from "./browser.ts"

/** The browser's globals, for the functions that run there. */
declare const DataTransfer: new () => { readonly items: { readonly add: (file: File) => void } }

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

let service: TurnService
let browser: Browser

beforeAll(async () => {
  service = await startTurns()
  browser = await startBrowser()
})
beforeEach(() => speakBriefly(service))
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

const fails = (name: string) => `
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", ${JSON.stringify(name)}))`

describe("no recording", () => {
  const cases: ReadonlyArray<readonly [string, VisitOptions, RegExp]> = [
    [
      "where the microphone is refused",
      { permissions: [] },
      /microphone is blocked.*Allow it in the site’s settings/,
    ],
    ["where there is none", { before: fails("NotFoundError") }, /No microphone was found/],
    ["where another program has it", { before: fails("NotReadableError") }, /Another program/],
    [
      "on a plain http address",
      { before: 'Object.defineProperty(navigator, "mediaDevices", { value: undefined })' },
      /plain http:\/\/.*https:\/\//,
    ],
    ["without MediaRecorder", { before: "delete window.MediaRecorder" }, /can’t record sound/],
  ]
  for (const [name, options, said] of cases) {
    test.concurrent(`${name}: explains it, and offers a file`, async () => {
      const { page, close } = await visit(browser, service, options)
      await register(page)
      await page.locator("#talk").click({ delay: 400 })
      expect(await notice(page)).toMatch(said)
      expect(await notice(page)).toContain("from a file")
      await reaches(page, "idle")
      await close()
    })
  }

  test("after a press that is too short", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    await page.clock.install()
    await page.clock.pauseAt(Date.now() + 1000)
    await page.keyboard.down(" ")
    await reaches(page, "listening")
    await page.keyboard.up(" ")
    expect(await notice(page)).toMatch(/^Hold to talk\./)
    await reaches(page, "idle")
    expect(service.upstream.calls("stt")).toHaveLength(0)
    await close()
  })

  test("is longer than five minutes: the page sends it", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    await page.clock.install()
    await page.keyboard.down(" ")
    await records(page)
    await page.clock.fastForward("04:59")
    expect(await notice(page)).toMatch(/at most five minutes/)
    await shows(page, ".reply", DEFAULT_REPLY)
    await page.keyboard.up(" ")
    await close()
  })
})

describe("other browsers", () => {
  test("record MP4", async () => {
    const { page, close } = await visit(browser, service, {
      before: `
        const { isTypeSupported } = MediaRecorder
        MediaRecorder.isTypeSupported = (type) => !type.includes("webm") && isTypeSupported.call(MediaRecorder, type)`,
    })
    await register(page)
    await speak(page)
    await shows(page, ".reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    await close()
  })

  test("without MediaSource play the complete reply", async () => {
    const { page, close } = await visit(browser, service, {
      before: "delete window.MediaSource; delete window.ManagedMediaSource",
    })
    await register(page)
    await speak(page)
    await sounds(page)
    await reaches(page, "idle")
    await close()
  })

  test("that block playback show what to press", async () => {
    const { page, close } = await visit(browser, service, {
      before: `
        const { play } = HTMLMediaElement.prototype
        let times = 0
        HTMLMediaElement.prototype.play = function () {
          times += 1
          return times > 2 ? play.call(this) : Promise.reject(new DOMException("", "NotAllowedError"))
        }`,
    })
    await register(page)
    await page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: wav(2) })
    expect(await notice(page)).toMatch(/Play again/)
    await page.locator(".again").click()
    await sounds(page)
    await close()
  })
})

const wav = (seconds: number) => Buffer.from(wavOf(speechLike(seconds)))

describe("a file", () => {
  test("shows its upload progress", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    const session = await page.context().newCDPSession(page)
    await session.send("Network.enable")
    // Bytes a second.
    const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 500_000 }
    await session.send("Network.emulateNetworkConditions", slow)
    await page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: wav(12) })
    await valueBetween(page, "progress", 0, 1)
    await shows(page, ".reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    await close()
  })

  test("dropped onto the page", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    const data = await page.evaluateHandle((base64) => {
      const transfer = new DataTransfer()
      transfer.items.add(new File([Uint8Array.fromBase64(base64)], "a.wav", { type: "audio/wav" }))
      return transfer
    }, wav(1).toString("base64"))
    await page.dispatchEvent("#log", "dragover", { dataTransfer: data })
    await shows(page, "#drop")
    await page.dispatchEvent("#log", "drop", { dataTransfer: data })
    await shows(page, ".reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    await close()
  })

  test("that is not a recording, or too large, shows what to do", async () => {
    const { page, close } = await visit(browser, service, { expected: /400/ })
    await register(page)
    const send = (buffer: Buffer) =>
      page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer })
    await send(Buffer.from("These are no sounds at all, whatever the name says."))
    expect(await notice(page)).toBe(
      "This file is not a recording that can be read. Send a WAV, MP3, WebM, OGG, FLAC or M4A file.",
    )
    const large = join(tempFolder(), "a.wav")
    await Bun.write(large, new Uint8Array(25 * 1024 * 1024 + 1))
    await page.locator("#file").setInputFiles(large)
    expect(await notice(page)).toMatch(/^That file is over 25 MB/)
    await send(Buffer.alloc(0))
    expect(await notice(page)).toMatch(/^That file is empty/)
    expect(await page.locator(".turn").count()).toBe(0)
    await close()
  })
})

test("an error of the service in plain words", async () => {
  const { page, close } = await visit(browser, service, { expected: /500/ })
  await register(page)
  service.upstream.script("stt", [{ error: { status: 401, message: "no" } }])
  await speak(page)
  expect(await notice(page)).toMatch(/refused the service’s own key.*operator/)
  await close()
})

describe("a limit", () => {
  const watch = (page: Page) => {
    let sent = 0
    page.on("request", (request) => {
      if (request.url().endsWith("/voice/conversation")) sent += 1
    })
    return () => sent
  }
  const send = (page: Page) =>
    page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: wav(2) })

  test("of the month is named, and nothing is sent again", async () => {
    const email = `${crypto.randomUUID()}@example.com`
    const { page, close } = await visit(browser, service, { expected: /429/ })
    await register(page, email)
    await service.database.sql`insert into monthly_limits select id, 0.5 from users where email = ${email}`
    await service.database.sql`insert into usage_days
      select id, (now() at time zone 'UTC')::date, null, null, 'USD', 1, 0, 1, 1, 1, 1, 6e8 from users where email = ${email}`
    const sent = watch(page)
    await send(page)
    const now = new Date()
    const resets = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1)).toISOString()
    expect(await notice(page)).toBe(
      `Your monthly limit of 0.5 USD is used up. It resets at ${resets}. For a higher limit, ask the operator.`,
    )
    expect(sent()).toBe(1)
    expect(await page.locator("#notice .remedy").count()).toBe(0)
    expect(await page.locator(".turn").count()).toBe(0)
    await reaches(page, "idle")
    await close()
  })

  test("with a long Retry-After is not tried again", async () => {
    const { page, close } = await visit(browser, service, { expected: /429/ })
    await register(page)
    const sent = watch(page)
    await page.route("**/voice/conversation", (route) =>
      route.fulfill({
        status: 429,
        headers: { "retry-after": "45" },
        json: { error: "RATE_LIMIT_EXCEEDED", message: "Too many.", requestId: "r" },
      }),
    )
    await send(page)
    expect(await notice(page)).toBe("You sent too many requests. Try again in 45 seconds.")
    expect(sent()).toBe(1)
    await close()
  })
})

test("Stop before there is a transcript leaves no turn", async () => {
  const { page, close } = await visit(browser, service)
  await register(page)
  service.upstream.script("stt", [{ text: "Never mind.", delayMs: 5000 }])
  await page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: wav(2) })
  await shows(page, ".waiting", "Transcribing…")
  await page.locator("#stop").click()
  await reaches(page, "idle")
  expect(await page.locator(".turn").count()).toBe(0)
  await close()
})

test("an agent that needs metadata: says what to do, not to try again", async () => {
  const { page, close } = await visit(browser, service, { expected: /400/ })
  const apiKey = await register(page)
  const client = makeClient({ baseUrl: service.url, apiKey })
  await client.agents.create({ name: "Desk", instructions: "You talk to {{customer}}." })
  await page.reload()
  await page.locator("#agent").selectOption({ label: "Desk" })
  await page.locator("#file").setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: wav(2) })
  expect(await notice(page)).toBe(
    "This agent needs a value for {{customer}}, and this page cannot send one. " +
      "Open Agents and write a fallback, such as {{customer | friend}}. Or choose another agent.",
  )
  expect(await page.locator(".turn").count()).toBe(0)
  await close()
})

test("problems in words", () => {
  const failed = (status: number | undefined, code: string, message: string) =>
    problemOf(new VoiceAgentError({ code, message, status, requestId: "r-1" }))
  expect(failed(400, "VALIDATION_ERROR", "voice: unknown.").next).toBe("(Request r-1.)")
  expect(failed(404, "AGENT_NOT_FOUND", "There is no such agent.").next).toBe("(Request r-1.)")
  expect(failed(500, "FROM_THE_FUTURE", "It broke.").next).toBe("Try again. (Request r-1.)")
  expect(failed(429, "FROM_THE_FUTURE", "Too much.").next).toBe("Try again. (Request r-1.)")
  const missing = { code: "metadata_missing", message: "The agent needs the text customer in the metadata." }
  expect(realtimeProblemOf(new VoiceAgentError(missing)).next).toContain("{{customer | friend}}")
  expect(realtimeProblemOf(new VoiceAgentError({ code: "x", message: "Wait." }))).toEqual({
    what: "Wait.",
    next: "",
  })
})

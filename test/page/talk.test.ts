import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser } from "playwright-core"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import {
  forgetSound,
  quiet,
  reaches,
  records,
  register,
  shows,
  showsLater,
  sounds,
  speak,
  speakBriefly,
  startBrowser,
  visit,
} from "./browser.ts"

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

/** The loudest 16-bit sample that the speech provider received, 0 to 1. */
const heardLoudness = () => {
  const [call] = service.upstream.calls("stt")
  const bytes = call?.request.file.bytes ?? new Uint8Array()
  const samples = new Int16Array(bytes.slice(44, bytes.length - (bytes.length % 2)).buffer)
  return samples.reduce((most, each) => Math.max(most, Math.abs(each)), 0) / 0x8000
}

const long = "This is a sentence of a long reply. ".repeat(30)

describe("talking", () => {
  test("shows and speaks the reply; a second turn continues the session", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    await speak(page)
    await shows(page, ".said", DEFAULT_TRANSCRIPT)
    await shows(page, ".reply", DEFAULT_REPLY)
    await sounds(page)
    expect(heardLoudness()).toBeGreaterThan(0.05)
    await reaches(page, "idle")
    const rows = await page.locator(".waterfall tbody th").allTextContents()
    expect(rows.slice(0, 6)).toEqual([
      "Upload",
      "Checks",
      "Speech to text",
      "First word",
      "First sound",
      "Whole reply",
    ])
    for (const number of await page.locator(".waterfall .number").allTextContents()) {
      expect(number).toMatch(/^\d+(\.\d)? m?s$|^ms$/)
    }
    expect(await page.locator("#plot svg").getAttribute("aria-label")).toMatch(/turn by turn: \d/)

    await speak(page)
    await shows(page, ".turn:nth-child(2) .reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    const [, second] = service.upstream.calls("llm")
    expect(second?.request.messages.map(({ content }) => content).slice(1)).toEqual([
      DEFAULT_TRANSCRIPT,
      DEFAULT_REPLY,
      DEFAULT_TRANSCRIPT,
    ])
    expect(await page.locator(".session .name").allTextContents()).toEqual([DEFAULT_TRANSCRIPT])
    expect(await page.locator("#plot circle").count()).toBe(2)
    await close()
  })

  test("with the button, its meter, and Play again", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    await page.locator("#talk").hover()
    await page.mouse.down()
    await records(page)
    await page.mouse.up()
    await shows(page, ".again")
    await reaches(page, "idle")
    await forgetSound(page)
    await page.locator(".again").click()
    await sounds(page)
    await reaches(page, "idle")
    expect(await page.locator(".tag").count()).toBe(0)
    await close()
  })

  test("during a reply cancels it", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    service.upstream.script("llm", [{ text: long, chunkDelayMs: 40 }])
    await speak(page)
    await reaches(page, "speaking")
    await page.keyboard.down(" ")
    await quiet(page)
    await until(() => service.upstream.calls("llm")[0]?.outcome === "aborted by client", "the model's end")
    await records(page)
    await page.keyboard.up(" ")
    await shows(page, ".turn:nth-child(2) .reply", DEFAULT_REPLY)
    expect(await page.locator(".turn:first-child .tag").textContent()).toBe("Interrupted")
    await reaches(page, "idle")
    await close()
  })

  test("before the reply arrives cancels it", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    service.upstream.script("stt", [{ text: "Never mind.", delayMs: 1500 }])
    service.upstream.default("llm", ({ messages }) =>
      messages.at(-1)?.content === "Never mind." ? { text: long, chunkDelayMs: 40 } : {},
    )
    await speak(page)
    await reaches(page, "thinking")
    await speak(page)
    await shows(page, ".reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    expect(await page.locator(".said").allTextContents()).not.toContain("Never mind.")
    // The page cancels the turn when it learns its id: after the transcript. Closed before, it would leave the turn running.
    await service.nothingLeft()
    const discarded = service.upstream
      .calls("llm")
      .filter(({ request }) => request.messages.at(-1)?.content === "Never mind.")
    for (const { outcome } of discarded) expect(outcome).toBe("aborted by client")
    await close()
  })

  test("Escape and the stop button", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    service.upstream.default("llm", { text: long, chunkDelayMs: 40 })
    for (const stop of [() => page.keyboard.press("Escape"), () => page.locator("#stop").click()]) {
      await speak(page)
      await reaches(page, "speaking")
      await stop()
      await reaches(page, "idle")
      await quiet(page)
    }
    await service.nothingLeft()
    await page.keyboard.down(" ")
    await reaches(page, "listening")
    await page.keyboard.press("Escape")
    await reaches(page, "idle")
    await page.keyboard.up(" ")
    expect(service.upstream.calls("stt")).toHaveLength(2)
    await close()
  })

  test("a reply that fails midway plays its first part", async () => {
    const { page, close } = await visit(browser, service)
    await register(page)
    const text = "One sentence that was fine. Another that was not."
    service.upstream.script("llm", [
      { text, chunkDelayMs: 30, breakOff: { how: "reset", after: { tokens: 8 } } },
    ])
    await speak(page)
    await shows(page, "#notice", "No reply could be generated.")
    await sounds(page)
    await reaches(page, "idle")
    expect(await page.locator(".reply").textContent()).toStartWith("One sentence that was fine.")
    expect(await page.locator(".tag").textContent()).toBe("Interrupted")
    await close()
  })

  test("a lost connection offers to send again", async () => {
    const { page, close } = await visit(browser, service, { expected: /ERR_|Failed to load/ })
    await register(page)
    await page.route("**/voice/conversation", (route) => route.abort("connectionreset"), { times: 3 })
    await page.clock.install()
    await speak(page)
    await showsLater(page, "#notice", "The connection was lost.")
    await page.getByRole("button", { name: "Send again" }).click()
    await shows(page, ".reply", DEFAULT_REPLY)
    await reaches(page, "idle")
    expect(await page.locator(".turn").count()).toBe(1)
    await close()
  })
})

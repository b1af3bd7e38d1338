/** Talking hands-free. What counts is the sound that comes out of the page. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser } from "playwright-core"
import { startWire, type Wire } from "../client/wire.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import { notice, reaches, register, shows, startBrowser, visit } from "./browser.ts"
import { visitSpoken } from "./spoken.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

let service: TurnService
let wire: Wire
let browser: Browser

beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
  browser = await startBrowser()
})
beforeEach(() => {
  service.reset()
  wire.reset()
})
afterAll(async () => {
  await browser?.close()
  await wire?.stop()
  await service?.stop()
})

const long = "This is a sentence of a long reply. ".repeat(10)
const brief = "Yes, I can."

/** The seconds of speech that the provider made in its last calls. */
const spokenSeconds = (calls: number) =>
  service.upstream
    .calls("tts")
    .slice(-calls)
    .reduce((sum, { spoken }) => sum + (spoken?.samples ?? 0) / 24_000, 0)

/** What the model was last asked, without the instructions. */
const prompt = () =>
  service.upstream
    .calls("llm")
    .at(-1)
    ?.request.messages.map(({ content }) => content)
    .slice(1)

test("speaking, silence, an interruption in the middle of a word, and speaking again", async () => {
  const { page, say, heard, events, sockets, asked, close } = await visitSpoken(browser, service)
  const key = await register(page)
  service.upstream.script("llm", [{ text: long }])
  // Half a second for each sentence of the second reply.
  service.upstream.default("tts", ({ input }) => (long.includes(input) ? {} : { seconds: 0.5 }))
  const control = page.getByRole("button", { name: "Hands-free", exact: true })
  expect(await control.getAttribute("aria-pressed")).toBe("false")
  await control.click()
  await reaches(page, "ready")
  expect(await control.getAttribute("aria-pressed")).toBe("true")
  expect(await page.locator("#spoken").textContent()).toBe("Hands-free is on. Speak at any time.")
  await say("word")
  await reaches(page, "replying")
  await say("sentence")
  await shows(page, ".turn:nth-child(2) .reply", DEFAULT_REPLY)
  await reaches(page, "ready")

  const [cut, whole, ...more] = await heard()
  expect(more).toEqual([])
  const truncation = events.find(({ type }) => type === "conversation.item.truncate")
  const playedMs = Number(truncation?.audio_end_ms)
  expect(playedMs).toBeGreaterThan(500)
  // What was heard is what the service was told, but for the 8 ms in which the sound fades.
  expect(Math.abs((cut?.seconds ?? 0) * 1000 - playedMs)).toBeLessThan(20)
  // The upstream's voice is a loud tone without pauses.
  expect(cut?.endLevel).toBeGreaterThan(0.3)
  // One for each sentence.
  expect(Math.abs((whole?.seconds ?? 0) - spokenSeconds(2))).toBeLessThan(0.02)
  expect(prompt()?.join(" ").length).toBeLessThan(long.length / 2)

  expect(await page.locator(".said").allTextContents()).toEqual([DEFAULT_TRANSCRIPT, DEFAULT_TRANSCRIPT])
  expect(await page.locator(".tag").allTextContents()).toEqual(["Interrupted"])
  expect(await page.locator(".session .name").allTextContents()).toEqual([DEFAULT_TRANSCRIPT])
  expect(await page.locator("#plot circle").count()).toBe(2)
  expect(await asked()).toEqual([expect.objectContaining({ echoCancellation: true })])
  expect(sockets).toHaveLength(1)
  expect(`${sockets}`).not.toContain(key)

  await page.keyboard.press("Escape")
  await reaches(page, "idle")
  expect(await control.getAttribute("aria-pressed")).toBe("false")
  await service.nothingLeft()
  await close()
})

test("the waterfall, and Play again while the page listens", async () => {
  const { page, say, heard, close } = await visitSpoken(browser, service)
  await register(page)
  // Each of two sentences: the reply plays longer than the word that is said meanwhile.
  service.upstream.default("tts", { seconds: 1.2 })
  await page.locator("#live").click()
  await reaches(page, "ready")
  await say("word")
  await shows(page, ".again")
  await reaches(page, "ready")
  expect(await page.locator(".waterfall caption").textContent()).toBe(
    "Duration of each stage, from the end of the speech",
  )
  const rows = await page.locator(".waterfall tbody th").allTextContents()
  expect(rows.slice(0, 4)).toEqual(["Speech to text", "First word", "First sound", "Whole reply"])
  for (const number of await page.locator(".waterfall .number").allTextContents()) {
    expect(number).toMatch(/^\d+(\.\d)? m?s$|^ms$/)
  }
  await heard()
  // A word may be heard as two where the machine stalls.
  const heardBefore = service.upstream.calls("stt").length

  await page.locator(".again").click()
  await reaches(page, "replaying")
  // The service hears silence meanwhile: it would answer the echo.
  await say("word")
  await reaches(page, "ready")
  const runs = await heard()
  expect(runs).toHaveLength(1)
  const pieces = service.upstream.calls("tts").length
  expect(Math.abs((runs[0]?.seconds ?? 0) - spokenSeconds(pieces))).toBeLessThan(0.05)

  await page.locator(".again").click()
  await reaches(page, "replaying")
  await page.locator("#talk").click()
  await reaches(page, "ready")
  expect(await page.locator(".tag").count()).toBe(0)
  expect(service.upstream.calls("stt")).toHaveLength(heardBefore)
  await say("word")
  await shows(page, ".turn:nth-child(2) .again")

  await page.locator("#live").click()
  await reaches(page, "idle")
  await page.locator(".turn:nth-child(1) .again").click()
  await reaches(page, "speaking")
  await reaches(page, "idle")
  await close()
})

test("a lost network", async () => {
  const { page, say, events, close } = await visitSpoken(browser, { ...service, url: wire.url })
  await register(page)
  service.upstream.default("llm", { text: brief })
  await page.locator("#live").click()
  await reaches(page, "ready")
  await say("word")
  await reaches(page, "replying")
  await reaches(page, "ready")
  // Said while there is no connection.
  wire.refuse()
  await reaches(page, "reconnecting")
  expect(await page.locator("#status").textContent()).toBe("Connection lost. Connecting again…")
  expect(await page.locator("#spoken").textContent()).toBe("The connection was lost. Connecting again.")
  const saying = say("word")
  wire.accept()
  await saying
  await shows(page, ".turn:nth-child(2) .reply", brief)
  expect(await page.locator("#spoken").textContent()).toBe("Connected again.")
  expect(prompt()).toEqual([DEFAULT_TRANSCRIPT, brief, DEFAULT_TRANSCRIPT])
  const ids = events
    .filter(({ type }) => type === "session.created")
    .map(({ session }) => JSON.stringify(session))
  expect(new Set(ids.map((each) => /"id":"([^"]+)"/.exec(each)?.[1])).size).toBe(1)
  await page.locator("#stop").click()
  await reaches(page, "idle")
  await close()
})

test("a changed headset, in a background tab", async () => {
  const { page, say, heard, asked, hide, suspend, contextState, replaceMicrophone, unplugMicrophone, close } =
    await visitSpoken(browser, service)
  await register(page)
  service.upstream.default("llm", { text: brief })
  await page.locator("#live").click()
  await reaches(page, "ready")
  await hide()
  await unplugMicrophone()
  expect(await notice(page)).toMatch(/No microphone was found/)
  await suspend()
  await replaceMicrophone("headset")
  await until(async () => (await contextState()) === "running", "the sound")
  await until(async () => (await asked()).length === 3, "the headset")
  await page.locator("#notice").waitFor({ state: "hidden" })
  await say("word")
  await shows(page, ".reply", brief)
  await until(() => service.upstream.calls("tts").length > 0, "the voice")
  await page.waitForTimeout(spokenSeconds(1) * 1000)
  const runs = await heard()
  expect(runs).toHaveLength(1)
  expect(Math.abs((runs[0]?.seconds ?? 0) - spokenSeconds(1))).toBeLessThan(0.02)
  await close()
})

test("Chromium's own microphone; the orb interrupts; another conversation ends it", async () => {
  const { page, close } = await visit(browser, service)
  await register(page)
  await page.locator("#live").press("Enter")
  // The recording repeats without a pause.
  await reaches(page, "hearing")
  expect(await page.locator("#talk-name").textContent()).toBe("Interrupt")
  await page.locator("#talk").click()
  await reaches(page, "hearing")
  await page.getByRole("button", { name: "New conversation" }).click()
  await reaches(page, "idle")
  await service.nothingLeft()
  await close()
})

test("a refused microphone", async () => {
  const refused = await visit(browser, service, { permissions: [] })
  await register(refused.page)
  await refused.page.locator("#live").click()
  expect(await notice(refused.page)).toMatch(/microphone is blocked/)
  await reaches(refused.page, "idle")
  expect(await refused.page.locator("#live").getAttribute("aria-pressed")).toBe("false")
  await refused.close()
})

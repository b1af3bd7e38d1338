import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser, Page } from "playwright-core"
import { makeClient } from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT } from "../support/upstream.ts"
import {
  converse,
  notice,
  pageUrl,
  reaches,
  records,
  register,
  shows,
  showsLater,
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

const names = (page: Page) => page.locator(".session .name").allTextContents()

const signIn = async (page: Page, key: string) => {
  await page.getByLabel("Your key").fill(key)
  await page.getByRole("button", { name: "Sign in" }).click()
}

test("sign-in problems", async () => {
  const { page, close } = await visit(browser, service, { expected: /40[19]/ })
  const said = page.locator("#sign-in-problem")
  await signIn(page, "sk_wrong")
  await said.filter({ hasText: "This key is not valid here." }).waitFor()
  await signIn(page, "")
  await said.filter({ hasText: "Paste a key first." }).waitFor()
  await page.getByLabel("Your e-mail").fill("nobody")
  await page.getByRole("button", { name: "Get a key" }).click()
  await said.filter({ hasText: "Type an e-mail address" }).waitFor()
  const email = `${crypto.randomUUID()}@example.com`
  await makeClient({ baseUrl: service.url }).register(email)
  await page.getByLabel("Your e-mail").fill(email)
  await page.getByRole("button", { name: "Get a key" }).click()
  await said.filter({ hasText: "This e-mail already has a key." }).waitFor()
  await close()
})

test("the sign-in page links to the API's documentation", async () => {
  const { page, close } = await visit(browser, service)
  await page.getByRole("link", { name: "the API" }).click()
  await page.getByRole("heading", { name: "Voice Agent API" }).waitFor()
  await close()
})

test("the key survives a reload, but not another tab or signing out", async () => {
  const { page, close } = await visit(browser, service, { expected: /ERR_/ })
  const key = await register(page)
  expect(key).toMatch(/^sk_[0-9a-f]{64}$/)
  await page.route("**/auth/login", (route) => route.abort("connectionreset"))
  await page.clock.install()
  await page.reload()
  await showsLater(page, "#sign-in-problem", "The connection was lost.")
  await page.unroute("**/auth/login")
  await page.reload()
  await shows(page, "#talk")
  const other = await page.context().newPage()
  await other.goto(pageUrl(service))
  await other.getByLabel("Your e-mail").waitFor()
  await page.getByRole("button", { name: "Sign out" }).click()
  await page.getByLabel("Your e-mail").waitFor()
  await page.reload()
  await page.getByLabel("Your e-mail").waitFor()
  await signIn(page, key)
  await shows(page, "#talk")
  await close()
})

test("list, search, open, continue and delete conversations", async () => {
  const apiKey = await service.register()
  const client = makeClient({ baseUrl: service.url, apiKey })
  const recording = new Blob([new Uint8Array(await wav16k())])
  const { sessionId } = await client.sessions.create({ title: "About <b>boats</b>" })
  await client.converse(recording, { sessionId })
  for (let turn = 1; turn < 27; turn += 1) {
    const body = { text: DEFAULT_TRANSCRIPT, audio: false }
    const answer = await service.call("POST", `/sessions/${sessionId}/messages`, { key: apiKey, body })
    expect(answer.status).toBe(200)
    await answer.text()
  }
  await client.sessions.create({ title: "Trains" })

  const { page, close } = await visit(browser, service)
  await signIn(page, apiKey)
  await page.locator(".session").nth(1).waitFor()
  expect(await names(page)).toEqual(["Trains", "About <b>boats</b>"])
  await page.getByLabel("Search conversations").fill("BOAT")
  expect(await names(page)).toEqual(["About <b>boats</b>"])
  await page.getByLabel("Search conversations").fill("planes")
  await page.getByText("Nothing by that name.").waitFor()
  await page.getByLabel("Search conversations").fill("")

  await page.getByRole("button", { name: "About <b>boats</b>", exact: false }).first().click()
  await shows(page, "h1", "About <b>boats</b>")
  await shows(page, ".turn:nth-child(25)")
  await page.getByRole("button", { name: "Show earlier messages" }).click()
  await shows(page, ".turn:nth-child(27)")
  expect(await page.locator("#earlier").isVisible()).toBe(false)
  expect(new Set(await page.locator(".said").allTextContents())).toEqual(new Set([DEFAULT_TRANSCRIPT]))
  expect(new Set(await page.locator(".reply").allTextContents())).toEqual(new Set([DEFAULT_REPLY]))
  await converse(page)
  await shows(page, ".turn:nth-child(28)")
  expect(await client.sessions.messages(sessionId, { limit: 200 })).toHaveLength(56)

  await page.getByRole("button", { name: "New conversation" }).click()
  await page.getByText("What’s on your mind?").waitFor()
  expect(await page.locator(".turn").count()).toBe(0)

  const remove = page.getByRole("button", { name: "Delete “Trains”" })
  await remove.click()
  await page.getByRole("button", { name: "Keep it" }).click()
  expect(await names(page)).toHaveLength(2)
  await remove.click()
  await page.getByRole("button", { name: "Delete", exact: true }).click()
  await page.locator(".session").nth(1).waitFor({ state: "detached" })
  expect(await names(page)).toEqual(["About <b>boats</b>"])
  expect((await client.sessions.list()).sessions).toHaveLength(1)
  await close()
})

test("a conversation deleted elsewhere starts a new one", async () => {
  const { page, close } = await visit(browser, service, { expected: /404/ })
  const client = makeClient({ baseUrl: service.url, apiKey: await register(page) })
  await speak(page)
  await shows(page, ".session")
  await reaches(page, "idle")
  const { sessions } = await client.sessions.list()
  await client.sessions.delete(sessions[0]?.id ?? "")
  await speak(page)
  expect(await notice(page)).toMatch(/expired or was deleted.*started a new one/)
  await reaches(page, "idle")
  await close()
})

test("keyboard only, with a visible focus", async () => {
  const { page, close } = await visit(browser, service)
  const press = (key: string) => page.keyboard.press(key)
  const focused = () => page.locator(":focus-visible")
  await focused().and(page.locator("#email")).waitFor()
  await page.keyboard.type(`${crypto.randomUUID()}@example.com`)
  await press("Enter")
  await shows(page, "#new-key[open]")
  await press("Tab")
  await press("Enter")
  await focused().and(page.locator("#talk")).waitFor()

  await press("Enter")
  await records(page)
  await press("Enter")
  await shows(page, ".reply", DEFAULT_REPLY)
  await reaches(page, "idle")

  await page.locator(".session").focus()
  await press("Tab")
  await focused().and(page.locator(".drop-session")).waitFor()
  await press("Enter")
  await focused()
    .and(page.getByRole("button", { name: "Keep it" }))
    .waitFor()
  await press("Escape")
  await page
    .locator("#confirm[open]")
    .waitFor({ state: "detached" })
    .catch(() => undefined)
  expect(await names(page)).toHaveLength(1)
  await page.locator("#log").focus()
  await page.keyboard.down(" ")
  await reaches(page, "listening")
  await press("Escape")
  await page.keyboard.up(" ")
  await reaches(page, "idle")
  await page.getByLabel("Search conversations").focus()
  await page.keyboard.type("a b")
  expect(await page.getByLabel("Search conversations").inputValue()).toBe("a b")
  expect(await page.locator("#orb").getAttribute("data-state")).toBe("idle")
  await close()
})

const hosted = { engine: "openai", model: "gpt" }
const offline = (model: string, advice?: string) => ({ engine: "offline", model, advice })

test.each([
  [
    "one",
    { stt: offline("moonshine-tiny-en"), llm: hosted, tts: hosted },
    "On this machine: moonshine-tiny-en hears.|For OpenAI's engines, set OPENAI_API_KEY.",
    [],
  ],
  [
    "all, with advice",
    {
      stt: offline("none", "First run `a`."),
      llm: offline("talker", "Then `b --c` and `d`."),
      tts: offline("flite"),
    },
    "On this machine without a key: nothing hears, a built-in talker answers, flite speaks.|First run a. Then b --c and d. For OpenAI's engines, set OPENAI_API_KEY.",
    ["a", "b --c", "d"],
  ],
  [
    "words that look like HTML",
    { stt: hosted, llm: hosted, tts: offline("<b>espeak-ng", "`<i>`") },
    "On this machine: <b>espeak-ng speaks.|<i> For OpenAI's engines, set OPENAI_API_KEY.",
    ["<i>"],
  ],
])("shows the stages on offline engines: %s", async (_, stages, text, commands) => {
  const { page, close } = await visit(browser, service)
  const checks = Object.entries({ database: {}, ffmpeg: {}, vad: { engine: "energy" }, ...stages }).map(
    ([name, check]) => [name, { status: "ok", ...check }],
  )
  await page.route("**/api/v1/ready", (route) =>
    route.fulfill({ json: { status: "ready", checks: Object.fromEntries(checks) } }),
  )
  await register(page)
  const [now = "", how = ""] = text.split("|")
  const note = page.locator("#engines")
  await note.getByText(now, { exact: true }).waitFor()
  expect(await note.locator("p").isVisible()).toBe(false)
  await note.locator("summary").click()
  await note.getByText(how, { exact: true }).waitFor()
  expect(await page.locator("#engines code").allTextContents()).toEqual(commands)
  await close()
})

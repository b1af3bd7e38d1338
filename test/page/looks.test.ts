/**
 * axe finds no violation in any state of the page, in both themes, on a phone and a desktop. SCREENSHOTS names a folder
 * for a screenshot of each state.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import axe, { type AxeResults, type RunOptions } from "axe-core"
import type { Browser, Page } from "playwright-core"
import { startTurns, type TurnService } from "../support/turns.ts"
import { notice, reaches, records, shows, startBrowser, visit } from "./browser.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(120_000)

/** The browser's `window`, with axe. */
declare const window: { readonly axe: { readonly run: (options?: RunOptions) => Promise<AxeResults> } }

const folder = process.env.SCREENSHOTS

let service: TurnService
let browser: Browser

beforeAll(async () => {
  service = await startTurns()
  browser = await startBrowser()
})
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

const said = ["What is Lisbon like in May?", "And what should I wear for a walk along the river?"]
const replies = [
  "Lovely, most of the time. Expect about 22 degrees by day, a breeze from the Atlantic, and long, bright evenings.",
  "Light clothes and good shoes, since the hills are steep. Take a thin jacket along for when the sun goes down. And leave room in your bag: you will pass more bakeries than you can resist.",
]

/** Of every rule in the light theme, and of the one about colours in the dark theme. */
const violations = async (page: Page) => {
  // axe does not describe the elements without a violation: half of its time.
  const all: RunOptions = { resultTypes: ["violations"] }
  const colours: RunOptions = { ...all, runOnly: ["color-contrast"] }
  const light = await page.evaluate((options) => window.axe.run(options), all)
  await page.emulateMedia({ colorScheme: "dark" })
  const dark = await page.evaluate((options) => window.axe.run(options), colours)
  await page.emulateMedia({ colorScheme: "light" })
  return [light, dark].flatMap(({ violations }, at) =>
    violations.map(
      ({ id, nodes }) => `${id}${at === 1 ? " (dark)" : ""}: ${nodes.map(({ target }) => target).join(", ")}`,
    ),
  )
}

const themes = ["light", "dark"] as const

const views = [
  { name: "desktop", viewport: { width: 1280, height: 800 } },
  { name: "phone", viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
] as const

for (const { name, ...view } of views) {
  test(`on a ${name}`, async () => {
    service.reset()
    // The waterfall of a screenshot shows the times of real providers.
    if (folder !== undefined) {
      service.upstream.latency({
        sttMs: 320,
        llmFirstTokenMs: 240,
        llmTokensPerSecond: 25,
        ttsFirstByteMs: 210,
      })
    }
    const { page, close } = await visit(browser, service, { ...view, colorScheme: "light", expected: /40\d/ })
    const found: Array<string> = []
    const look = async (state: string) => {
      for (const theme of folder === undefined ? [] : themes) {
        await page.emulateMedia({ colorScheme: theme })
        await page.screenshot({ path: `${folder}/${name}-${theme}-${state}.png` })
      }
      await page.emulateMedia({ colorScheme: "light" })
      found.push(...(await violations(page)).map((each) => `${state}: ${each}`))
    }
    await page.evaluate(axe.source)
    await shows(page, "#email")
    await look("1 sign-in")
    await page.getByLabel("Your key").fill("sk_wrong")
    await page.getByRole("button", { name: "Sign in" }).click()
    await shows(page, "#sign-in-problem", "not valid")
    await look("2 wrong key")
    await page.getByLabel("Your e-mail").fill(`${crypto.randomUUID().slice(0, 8)}@example.com`)
    await page.getByRole("button", { name: "Get a key" }).click()
    await shows(page, "#new-key[open]")
    await look("3 new key")
    await page.getByRole("button", { name: "Start talking" }).click()
    await shows(page, "#talk")
    await look("4 empty")

    for (const [at, reply] of replies.entries()) {
      // Only the second reply is looked at while it is made and while it plays.
      const isLast = at === 1
      const looked = Promise.withResolvers<void>()
      const heard = Promise.withResolvers<void>()
      if (!isLast) {
        looked.resolve()
        heard.resolve()
      }
      service.upstream.default("tts", { seconds: 0.4 })
      // Its first sentence, and the rest when that was looked at: the page speaks until then.
      service.upstream.script("tts", [{ seconds: 0.4 }, { seconds: 0.4, after: heard.promise }])
      service.upstream.script("stt", [{ text: said[at] ?? "", after: looked.promise }])
      service.upstream.script("llm", [{ text: reply }])
      await page.keyboard.down(" ")
      await records(page)
      if (isLast) await look("5 listening")
      await page.keyboard.up(" ")
      if (isLast) {
        await reaches(page, "thinking")
        await look("6 thinking")
        looked.resolve()
        await reaches(page, "speaking")
        await look("7 speaking")
        heard.resolve()
      }
      await shows(page, ".reply", reply)
      await reaches(page, "idle")
    }
    await page.locator(".session").waitFor({ state: "attached" })
    await look("8 done")

    // The fake microphone repeats the question without a pause.
    await page.locator("#live").click()
    await reaches(page, "hearing")
    await look("9 hands-free")
    await page.keyboard.press("Escape")
    await reaches(page, "idle")

    await page
      .locator("#file")
      .setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: Buffer.from("none") })
    expect(await notice(page)).toMatch(/not a recording/)
    await look("10 notice")
    if (name === "phone") {
      await page.getByRole("button", { name: "Conversations" }).click()
      await shows(page, "#side[data-open]")
      await look("11 list")
    }
    if (name === "desktop") await page.getByRole("button", { name: "Agents" }).click()
    else await page.locator("#open-agents").click()
    await shows(page, "#agents[open]")
    await look("13 operator's agent")
    await page.getByRole("button", { name: "New agent" }).click()
    await page.getByLabel("Name", { exact: true }).fill("Concierge")
    await page
      .getByLabel("Instructions")
      .fill("You are the concierge of a hotel. The guest is {{guest | a guest}}. Answer in one sentence.")
    await page.getByLabel("Greeting").fill("Good morning. How can I help you?")
    await page.getByText("Languages, voice, models and tools").click()
    await page.getByLabel("Language model").fill("gpt-5")
    await page.getByRole("button", { name: "Save" }).click()
    await shows(page, "#agent-problem", "llm.model")
    await look("14 wrong agent")
    await page.getByLabel("Language model").fill("")
    await page.getByRole("button", { name: "Save" }).click()
    await page.getByText("Version 1.").waitFor()
    await look("15 agent")
    await page.getByRole("button", { name: "Close", exact: true }).click()
    await page.locator(".drop-session").click()
    await shows(page, "#confirm[open]")
    await look("12 delete")
    expect(found).toEqual([])
    expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true)
    await close()
  })
}

import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser, Page } from "playwright-core"
import { makeClient } from "../../src/client/client.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { converse, reaches, register, shows, speak, speakBriefly, startBrowser, visit } from "./browser.ts"

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

const open = async (page: Page) => {
  await page.getByRole("button", { name: "Agents" }).click()
  await shows(page, "#agents[open]")
}
const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click()
const problem = (page: Page, text: string) => shows(page, "#agent-problem", text)
const instructions = () => service.upstream.calls("llm").at(-1)?.request.messages[0]?.content

test("create, try, change and delete an agent", async () => {
  const { page, close } = await visit(browser, service, { expected: /40[09]/ })
  const client = makeClient({ baseUrl: service.url, apiKey: await register(page) })
  expect(await page.locator("#agent-choice").isVisible()).toBe(false)
  await open(page)
  await page.getByText("The operator’s agent.").waitFor()
  expect(await page.getByLabel("Instructions").isDisabled()).toBe(true)

  await press(page, "New agent")
  await press(page, "Save")
  await problem(page, "name")
  expect(await page.getByLabel("Name", { exact: true }).getAttribute("aria-invalid")).toBe("true")
  await page.getByLabel("Name", { exact: true }).fill("Ada")
  await page.getByLabel("Instructions").fill("You are Ada.")
  await page.getByText("Languages, voice, models and tools").click()
  await page.getByLabel("Tools").fill("[{]")
  await press(page, "Try it")
  await problem(page, "not valid JSON")
  await page.getByLabel("Tools").fill('[{ "type": "client", "name": "open door" }]')
  await press(page, "Try it")
  await problem(page, "tools.0.name")
  await page.getByLabel("Tools").fill('[{ "type": "client", "name": "open_door" }]')
  await press(page, "Try it")
  await page.locator("#agents").waitFor({ state: "hidden" })

  await converse(page)
  expect(instructions()).toBe("You are Ada.")
  const [, ada] = await client.agents.list()
  const [session] = (await client.sessions.list()).sessions
  expect([ada?.name, session?.agentId]).toEqual(["Ada", ada?.id])

  // The open conversation goes on with another agent.
  await Promise.all([
    page.waitForResponse((answer) => answer.request().method() === "PATCH"),
    page.getByLabel("Agent", { exact: true }).selectOption({ label: "Default" }),
  ])
  await converse(page)
  expect(instructions()).not.toBe("You are Ada.")

  // Another one first, so that the version shows when the form of this one is there.
  await open(page)
  await page.locator("#agent-list button", { hasText: "Default" }).click()
  await page.getByText("The operator’s agent.").waitFor()
  await page.locator("#agent-list button", { hasText: "Ada" }).click()
  await page.getByText("Version 1.").waitFor()
  await page.getByLabel("Greeting").fill("Hello.")
  await press(page, "Save")
  await page.getByText("Version 2.").waitFor()
  expect(await client.agents.get(ada?.id ?? "")).toMatchObject({
    greeting: "Hello.",
    instructions: "You are Ada.",
    tools: [{ name: "open_door" }],
  })
  await client.agents.update(ada?.id ?? "", { greeting: "Good day." })
  await page.getByLabel("Greeting").fill("Hi.")
  await press(page, "Save")
  await problem(page, "Somebody changed this agent meanwhile.")

  await press(page, "Copy")
  expect(await page.getByLabel("Name", { exact: true }).inputValue()).toBe("Ada copy")
  const order = { type: "http", name: "order", url: "https://example.com/", headers: { key: "{{secret:K}}" } }
  await page.getByLabel("Tools").fill(JSON.stringify([order]))
  await press(page, "Save")
  await page.getByText("Version 1.").waitFor()
  await page
    .locator("#agent-warnings", { hasText: "tools.0: The tool needs the secret K. Set it with PUT" })
    .waitFor()
  await press(page, "Delete")
  await page.locator("#confirm-yes").click()
  await page.getByText("The operator’s agent.").waitFor()
  expect((await client.agents.list()).map(({ name }) => name)).toEqual(["Default", "Ada"])
  await close()
})

test("an agent of another program can be tried", async () => {
  const { page, close } = await visit(browser, service)
  const client = makeClient({ baseUrl: service.url, apiKey: await register(page) })
  await client.agents.create({ name: "Grace", greeting: "Good morning from Grace." })
  await page.reload()
  await shows(page, "#talk")
  await open(page)
  await page.locator("#agent-list button", { hasText: "Grace" }).click()
  await page.getByText("Version 1.").waitFor()
  await press(page, "Try it")
  await page.locator("#agents").waitFor({ state: "hidden" })
  expect(await page.getByLabel("Agent", { exact: true }).locator("option:checked").textContent()).toBe(
    "Grace",
  )
  await close()
})

test("a call of an agent's tool is shown, because the page runs none", async () => {
  const { page, close } = await visit(browser, service)
  const client = makeClient({ baseUrl: service.url, apiKey: await register(page) })
  await client.agents.create({ name: "Doors", tools: [{ type: "client", name: "open_door" }] })
  await page.reload()
  await shows(page, "#talk")
  await open(page)
  await page.locator("#agent-list button", { hasText: "Doors" }).click()
  await press(page, "Try it")
  await page.locator("#agents").waitFor({ state: "hidden" })
  const toolCalls = [{ id: "call_1", name: "open_door", arguments: '{"door":"<b>front</b>"}' }]
  service.upstream.script("llm", [{ text: "Yes.", toolCalls }])
  await speak(page)
  await shows(page, ".call")
  expect(await page.locator(".call").textContent()).toBe(
    'The agent called open_door({"door":"<b>front</b>"}). This page runs no tools.',
  )
  await reaches(page, "idle")
  await close()
})

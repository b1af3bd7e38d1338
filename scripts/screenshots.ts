/** Makes docs/images: the page in Chromium, on a desktop and on a phone, with a service without a key. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { reaches, register, startBrowser, visit } from "../test/page/browser.ts"
import { docs } from "./bench/section.ts"
import { ask, questions, startOffline } from "./offline-conversation.ts"

const folder = await mkdtemp(join(tmpdir(), "voice-agent-screenshots-"))
const [introduction, question] = [join(folder, "introduction.wav"), join(folder, "question.wav")]
await ask(questions[0], introduction)
await ask(questions[1], question)

const service = await startOffline()
const browser = await startBrowser()

/** Registers, and asks two questions; the second one is being answered aloud. */
const show = async (name: string, view: Parameters<typeof visit>[2]) => {
  const { page, close } = await visit(browser, { url: service.api }, view)
  await register(page, `peter-${crypto.randomUUID().slice(0, 4)}@example.com`)
  await page.locator("#file").setInputFiles(introduction)
  await page.locator(".reply").waitFor()
  await reaches(page, "idle")
  await page.locator("#file").setInputFiles(question)
  await reaches(page, "speaking")
  // The bars grow in.
  await page.waitForTimeout(500)
  await page.screenshot({ path: join(docs, "images", `${name}.png`) })
  await close()
}

await show("desktop", { viewport: { width: 1280, height: 800 } })
await show("phone", {
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
  colorScheme: "dark",
})
await browser.close()
await service.stop()
await rm(folder, { recursive: true })

/**
 * The page in Chromium, with a fake microphone that plays a recording. Console messages, uncaught errors and violations
 * of the content security policy fail `close`.
 */
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"
import type { Service } from "../support/service.ts"
import type { TurnService } from "../support/turns.ts"

/** The browser's globals, for the functions that run there. */
declare const window: { loudest: number; readonly player?: { readonly paused: boolean } }
declare const document: {
  readonly querySelector: (selector: string) => { readonly value: number } | null
  readonly querySelectorAll: (selector: string) => Iterable<{
    readonly textContent: string
    readonly checkVisibility: () => boolean
  }>
}

const question = new URL("../../examples/question.wav", import.meta.url).pathname

/** Runs before the page's own code, and measures what the page plays. */
const listener = { path: new URL("listener.js", import.meta.url).pathname }

/** The headless shell draws without a GPU process and needs half the CPU time of the complete browser. */
const found = [process.env.CHROMIUM_PATH ?? "chromium-headless-shell", "chromium"]
  .map((name) => Bun.which(name))
  .find((path) => path !== null)

/** Throws without Chromium: tests of the page are never skipped. */
export const startBrowser = (): Promise<Browser> => launch("allowed")

/** The shell has no prompt for the microphone: a flag answers it, for all pages of a browser alike. */
const launch = (microphone: "allowed" | "denied"): Promise<Browser> => {
  if (found === undefined) {
    throw new Error(
      "These tests need Chromium: apt-get install -y chromium-headless-shell, or set CHROMIUM_PATH.",
    )
  }
  return chromium.launch({
    executablePath: found,
    args: [
      // Chromium's sandbox refuses to run as root.
      "--no-sandbox",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${question}`,
      microphone === "allowed" ? "--use-fake-ui-for-media-stream" : "--use-fake-ui-for-media-stream=deny",
    ],
  })
}

export interface Visit {
  readonly page: Page
  /** The browser's messages so far. */
  readonly complaints: ReadonlyArray<string>
  /** Throws if there are unexpected messages. */
  readonly close: () => Promise<void>
}

export interface VisitOptions extends BrowserContextOptions {
  /** A script that runs before the page's code, for example to remove a feature. */
  readonly before?: string
  /** Messages that the test expects. */
  readonly expected?: RegExp
}

/** The address of the page. */
export const pageUrl = ({ url }: Pick<Service, "url">): string => url.replace(/api\/v1$/, "")

export const visit = async (
  browser: Browser,
  service: Pick<Service, "url">,
  options: VisitOptions = {},
): Promise<Visit> => {
  const { before, expected, permissions = ["microphone"], ...more } = options
  const refusing = permissions.includes("microphone") ? undefined : await launch("denied")
  const context = await (refusing ?? browser).newContext({ permissions, reducedMotion: "reduce", ...more })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const complaints: Array<string> = []
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(`${error}`))
  await page.addInitScript(listener)
  if (before !== undefined) await page.addInitScript({ content: before })
  await page.goto(pageUrl(service))
  return {
    page,
    complaints,
    close: async () => {
      await context.close()
      await refusing?.close()
      const unexpected = complaints.filter((each) => expected === undefined || !expected.test(each))
      if (unexpected.length > 0) throw new Error(`the browser complained: ${unexpected.join("; ")}`)
    },
  }
}

/** Registers with the page's form, opens the conversation, and returns the key. */
export const register = async (page: Page, email = `${crypto.randomUUID()}@example.com`): Promise<string> => {
  await page.getByLabel("Your e-mail").fill(email)
  await page.getByRole("button", { name: "Get a key" }).click()
  const key = (await page.locator("#new-key[open] #new-key-text").textContent()) ?? ""
  await page.getByRole("button", { name: "Start talking" }).click()
  await shows(page, "#talk")
  return key
}

/** Between two looks at the page, in ms. */
const polling = 20

/**
 * Waits for a visible element that contains a text. Playwright's `waitFor` looks only twice a second after a while: it
 * would take longer, and miss a brief state.
 */
export const shows = async (page: Page, selector: string, text = ""): Promise<void> => {
  await page.waitForFunction(
    ([selector, text]) =>
      [...document.querySelectorAll(selector)].some(
        (element) => element.textContent.includes(text) && element.checkVisibility(),
      ),
    [selector, text] as const,
    { polling },
  )
}

/** Waits for an element while the page's clock runs ahead: between its tries, the client pauses for seconds. */
export const showsLater = async (page: Page, selector: string, text: string): Promise<void> => {
  let isShown = false
  const shown = shows(page, selector, text).finally(() => {
    isShown = true
  })
  // A time-out is reported below, and not as unhandled.
  shown.catch(() => undefined)
  while (!isShown) {
    await page.clock.fastForward(500)
    await Bun.sleep(polling)
  }
  await shown
}

/** Waits for a state of the talk button. */
export const reaches = (page: Page, state: string): Promise<void> =>
  shows(page, `#orb[data-state="${state}"]`)

/** A fraction of what the default reply takes to play: Chromium uses half a core while it plays. For `beforeEach`. */
export const speakBriefly = (service: TurnService): void => {
  service.reset()
  service.upstream.default("tts", { seconds: 0.4 })
}

/** A shorter press is no recording. In ms, with some to spare. */
const phrase = 400

/** Waits until the recording has speech and is long enough to be sent. */
export const records = async (page: Page): Promise<void> => {
  await reaches(page, "listening")
  await Promise.all([page.waitForTimeout(phrase), valueBetween(page, "#level", 30, 101)])
}

/** Holds the space bar while the fake microphone plays. */
export const speak = async (page: Page): Promise<void> => {
  await page.keyboard.down(" ")
  await records(page)
  await page.keyboard.up(" ")
}

/** Speaks, and waits for the end of the spoken reply. */
export const converse = async (page: Page): Promise<void> => {
  // Looked for from the start: on a busy machine, a brief reply ends before a later look.
  await Promise.all([reaches(page, "speaking"), speak(page)])
  await reaches(page, "idle")
}

/** Waits until the page plays sound above a whisper, 0 to 1. */
export const sounds = async (page: Page): Promise<void> => {
  await page.waitForFunction(() => window.loudest > 0.05, undefined, { polling })
}

/** Forgets the sound played so far. */
export const forgetSound = (page: Page): Promise<unknown> =>
  page.evaluate(() => {
    window.loudest = 0
  })

/** Waits until the page plays nothing. */
export const quiet = async (page: Page): Promise<void> => {
  await page.waitForFunction(() => window.player?.paused, undefined, { polling })
}

/** Waits for a value of a meter or progress bar. */
export const valueBetween = async (
  page: Page,
  selector: string,
  low: number,
  high: number,
): Promise<void> => {
  await page.waitForFunction(
    ([selector, low, high]) => {
      const value = document.querySelector(selector)?.value ?? Number.NaN
      return value > low && value < high
    },
    [selector, low, high] as const,
    { polling },
  )
}

/** The text of the notice. */
export const notice = async (page: Page): Promise<string> => {
  await shows(page, "#notice:not(:empty)")
  return (await page.locator("#notice p").textContent()) ?? ""
}

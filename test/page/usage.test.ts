import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser, Locator } from "playwright-core"
import { startTurns, type TurnService } from "../support/turns.ts"
import { register, shows, startBrowser, type VisitOptions, visit } from "./browser.ts"

// Chromium needs seconds to start on a busy machine.
setDefaultTimeout(60_000)

let service: TurnService
let browser: Browser
beforeAll(async () => {
  service = await startTurns({ env: { MONTHLY_LIMIT: "25" } })
  browser = await startBrowser()
})
afterAll(async () => {
  await browser?.close()
  await service?.stop()
})

/** The browser's globals, for the functions that run there. */
declare const getComputedStyle: (element: unknown) => {
  readonly fontSize: string
  readonly stroke: string
  readonly fill: string
}

/** The usage of a user on a day of this month, counted from 0, that cost some billionths or is not priced. */
const use = (email: string, day: number, costNanos: number | undefined, turns = 3) =>
  service.database.sql`insert into usage_days
    select id, date_trunc('month', now() at time zone 'UTC')::date + ${day}::int, null, null,
      ${costNanos === undefined ? null : "USD"}, ${turns}::int, ${costNanos === undefined ? turns : 0}::int, 1, 1000, 200, 50,
      ${costNanos ?? 0}::bigint
    from users where email = ${email}`

const open = async (options: VisitOptions) => {
  const email = `${crypto.randomUUID()}@example.com`
  const { page, close } = await visit(browser, service, options)
  await register(page, email)
  const phone = page.getByRole("button", { name: "Conversations", exact: true })
  const press = (name: string) => page.getByRole("button", { name, exact: true }).click()
  const show = async () => {
    if (await phone.isVisible()) await phone.click()
    await press("Usage")
  }
  return { page, close, email, press, show }
}

/** The boxes of the bars as they are drawn, in px above the axis. */
const barsOf = (picture: Locator) =>
  picture.evaluate((svg) => {
    const axis = svg.getBoundingClientRect()
    return [...svg.querySelectorAll("rect")].map((bar) => {
      const { left, width, bottom, height } = bar.getBoundingClientRect()
      const { stroke } = getComputedStyle(bar)
      return { left: left - axis.left, width, height, below: bottom - axis.bottom, stroke }
    })
  })

const schemes = ["light", "dark"] as const

test.each(schemes)("the usage of a month, %s", async (colorScheme) => {
  const { page, close, email, press, show } = await open({ colorScheme })
  await show()
  await shows(page, "#usage-sum", "0 turns, $0.00. Your limit is $25.00 a month.")
  expect(await page.locator("#usage-days *").count()).toBe(0)
  await press("Close")

  for (const day of [0, 1, 2]) await use(email, day, 5e8 * day)
  await use(email, -1, undefined, 7)
  await show()
  const picture = page.getByRole("img", { name: "Cost by day. At most $1.00." })
  await picture.waitFor()
  expect(await barsOf(picture)).toHaveLength(2)
  const cells = await page
    .locator("#usage tbody tr")
    .evaluateAll((rows) => rows.map((row) => [...row.children].map(({ textContent }) => textContent)))
  expect(cells.map(([, ...rest]) => rest)).toEqual([
    ["3", "1,200", "$0.00"],
    ["3", "1,200", "$0.50"],
    ["3", "1,200", "$1.00"],
  ])
  await page.getByRole("table", { name: "Usage by day, in UTC" }).waitFor()
  expect(await page.getByRole("button", { name: "The month after" }).isDisabled()).toBe(true)

  await press("The month before")
  await page.getByRole("img", { name: "Turns by day. At most 7 turns." }).waitFor()
  expect(await page.locator("#usage-sum").textContent()).toBe("7 turns, cost unknown.")
  await press("Close")
  await close()
})

const views = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
} as const

describe.each(["desktop", "phone"] as const)("the bars on a %s", (view) => {
  test("are as tall as the costs", async () => {
    const { page, close, email, show } = await open(views[view])
    const costs = [1e9, undefined, 5e8, 1e6, 2.5e8]
    for (const [day, cost] of costs.entries()) await use(email, day * 5, cost)
    await show()
    const picture = page.getByRole("img", { name: "Cost by day. At most $1.00." })
    await picture.waitFor()
    const bars = await barsOf(picture)
    expect(bars.map(({ stroke }) => stroke)).toEqual(costs.map(() => "none"))
    const tallest = bars[0]?.height ?? 0
    expect(tallest).toBeGreaterThan(80)
    const shares = bars.map(({ height }) => height / tallest)
    for (const [at, share] of [1, 0.02, 0.5, 0.02, 0.25].entries()) expect(shares[at]).toBeCloseTo(share, 2)
    for (const { below } of bars) expect(Math.abs(below)).toBeLessThan(2)
    const days = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1, 0)).getUTCDate()
    const width = (await picture.boundingBox())?.width ?? 0
    for (const [at, bar] of bars.entries()) {
      expect(bar.left + bar.width / 2).toBeCloseTo((width * (at * 5 + 0.5)) / days, 0)
      expect(bar.width).toBeLessThan(width / days)
    }
    const [priced, unpriced] = await picture
      .locator("rect")
      .evaluateAll((all) => all.map((bar) => getComputedStyle(bar).fill))
    expect(unpriced).not.toBe(priced)
    await page.getByText("A low grey bar: a day whose cost is not known.").waitFor()
    for (const text of [".usage-most", ".usage-mark"]) {
      const label = page.locator(text).first()
      expect(
        await label.evaluate((element) => Number.parseFloat(getComputedStyle(element).fontSize)),
      ).toBeGreaterThan(12)
      expect((await label.boundingBox())?.height).toBeGreaterThan(12)
    }
    await close()
  })

  test("stand on one axis for a whole month", async () => {
    const { page, close, email, show } = await open(views[view])
    for (let day = 0; day < 28; day += 1) await use(email, day, undefined, day + 1)
    await show()
    const picture = page.getByRole("img", { name: "Turns by day. At most 28 turns." })
    await picture.waitFor()
    const heights = (await barsOf(picture)).map(({ height }) => height)
    expect(heights).toHaveLength(28)
    expect(heights).toEqual(heights.toSorted((a, b) => a - b))
    expect((heights[13] ?? 0) / (heights[27] ?? 0)).toBeCloseTo(0.5, 2)
    // Nothing is wider than the dialog.
    expect(await page.locator("#usage").evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth)).toBe(0)
    await close()
  })
})

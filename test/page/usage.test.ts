import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { Browser } from "playwright-core"
import { startTurns, type TurnService } from "../support/turns.ts"
import { register, startBrowser, visit } from "./browser.ts"

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

const schemes = ["light", "dark"] as const

test.each(schemes)("the usage of a month, %s", async (colorScheme) => {
  const email = `${crypto.randomUUID()}@example.com`
  const { page, close } = await visit(browser, service, { colorScheme })
  await register(page, email)
  const press = (name: string) => page.getByRole("button", { name, exact: true }).click()
  await press("Usage")
  await page.locator("#usage-sum", { hasText: "0 turns, $0.00. Your limit is $25.00 a month." }).waitFor()
  expect(await page.locator("#usage svg.bars").count()).toBe(0)
  await press("Close")

  await service.database.sql`insert into usage_days
    select id, date_trunc('month', now() at time zone 'UTC')::date + n, null, null, 'USD', 3, 0, 1, 1000, 200, 50, 5e8 * n
    from users, generate_series(0, 2) as n where email = ${email}`
  await service.database.sql`insert into usage_days
    select id, date_trunc('month', now() at time zone 'UTC')::date - 1, null, null, null, 7, 7, 1, 2, 3, 4, 0
    from users where email = ${email}`
  await press("Usage")
  const picture = page.getByRole("img", { name: "Cost by day. At most $1.00." })
  await picture.waitFor()
  const heights = await picture
    .locator("rect")
    .evaluateAll((bars) => bars.map((bar) => bar.getAttribute("height")))
  expect(heights.length).toBeGreaterThanOrEqual(28)
  expect(heights.slice(0, 4).map(Number)).toEqual([0, 57, 114, 0])
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
  expect(await page.locator("#usage-sum").textContent()).toBe("7 turns, unknown.")
  await press("Close")
  await close()
})

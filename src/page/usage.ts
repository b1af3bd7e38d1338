import type { Client, UsageEntry, UsageReport } from "../client/client.ts"
import { button, byId, draw, make } from "./dom.ts"

/** A smaller bar is not seen as one: each day with usage has this height at least, in per cent of the drawing. */
const leastBar = 2

/** Of a bar, in days. */
const barWidth = 0.72

const dayMs = 86_400_000
const isoDay = (ms: number) => new Date(ms).toISOString().slice(0, 10)

/** The first and the last day of the month, `offset` months from this one, in UTC. */
const monthOf = (offset: number) => {
  const now = new Date()
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth() + offset]
  return { from: isoDay(Date.UTC(year, month, 1)), to: isoDay(Date.UTC(year, month + 1, 0)) }
}

const monthName = new Intl.DateTimeFormat("en", { month: "long", year: "numeric", timeZone: "UTC" })
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })

/** Small amounts need their digits. */
const money = (amount: number | null, currency: string) =>
  amount === null
    ? "unknown"
    : new Intl.NumberFormat("en", {
        style: "currency",
        currency,
        maximumFractionDigits: amount > 0 && amount < 1 ? 4 : 2,
      }).format(amount)

const turnsOf = (turns: number) => `${number.format(turns)} ${turns === 1 ? "turn" : "turns"}`

/** What the bars show: costs, or turns where nothing has a known cost. */
const measure = ({ entries, currency }: UsageReport) => {
  const hasCosts = entries.some(({ cost }) => (cost ?? 0) > 0)
  return hasCosts
    ? {
        name: "Cost by day",
        of: ({ cost }: UsageEntry) => cost,
        say: (value: number) => money(value, currency),
      }
    : { name: "Turns by day", of: ({ turns }: UsageEntry) => turns, say: turnsOf }
}

/**
 * A bar for each day with usage. A day whose cost is not known has a low bar in another colour. The texts stand outside the
 * drawing, which takes the width of the dialog. Its label says the most; the table has the numbers.
 */
const plot = (report: UsageReport): Node => {
  const { name, of, say } = measure(report)
  const first = Date.parse(report.from)
  const days = (Date.parse(report.to) - first) / dayMs + 1
  const most = Math.max(0, ...report.entries.map((entry) => of(entry) ?? 0))
  const bars = report.entries.flatMap((entry) => {
    const value = of(entry)
    if (entry.day === undefined || value === 0) return []
    const tall = Math.max(leastBar, (100 * (value ?? 0)) / most)
    const at = (Date.parse(entry.day) - first) / dayMs
    return [
      draw(
        "rect",
        {
          class: value === null ? "usage-bar unpriced" : "usage-bar",
          x: `${at + (1 - barWidth) / 2}`,
          y: (100 - tall).toFixed(2),
          width: `${barWidth}`,
          height: tall.toFixed(2),
        },
        draw("title", {}, `${entry.day}: ${value === null ? "cost unknown" : say(value)}`),
      ),
    ]
  })
  const marks = Array.from({ length: Math.ceil(days / 7) }, (_, week) => {
    const mark = make("span", { class: "usage-mark" }, `${week * 7 + 1}`)
    mark.style.left = `${(100 * (week * 7 + 0.5)) / days}%`
    return mark
  })
  return make(
    "div",
    { class: "usage-plot" },
    make("p", { class: "usage-most", "aria-hidden": "true" }, say(most)),
    draw(
      "svg",
      {
        class: "usage-bars",
        viewBox: `0 0 ${days} 100`,
        preserveAspectRatio: "none",
        role: "img",
        "aria-label": `${name}. At most ${say(most)}.`,
      },
      ...bars,
    ),
    make("div", { class: "usage-marks", "aria-hidden": "true" }, ...marks),
    ...(report.entries.some((entry) => of(entry) === null)
      ? [make("p", {}, "A low grey bar: a day whose cost is not known.")]
      : []),
  )
}

const row = ({ day, turns, inputTokens, outputTokens, cost }: UsageEntry, currency: string) =>
  make(
    "tr",
    {},
    make("th", { scope: "row" }, day ?? ""),
    ...[number.format(turns), number.format(inputTokens + outputTokens), money(cost, currency)].map((text) =>
      make("td", {}, text),
    ),
  )

const table = ({ entries, currency }: UsageReport): Node =>
  make(
    "table",
    { class: "usage-table" },
    make("caption", { class: "unseen" }, "Usage by day, in UTC"),
    make(
      "thead",
      {},
      make("tr", {}, ...["Day", "Turns", "Tokens", "Cost"].map((text) => make("th", { scope: "col" }, text))),
    ),
    make("tbody", {}, ...entries.map((entry) => row(entry, currency))),
  )

const sentences = ({ total, month, currency }: UsageReport, isCurrent: boolean): string => {
  const all = `${turnsOf(total.turns)}, ${total.cost === null ? "cost unknown" : money(total.cost, currency)}.`
  const unpriced =
    total.unpriced === 0 || total.cost === null ? "" : ` ${total.unpriced} without a known cost.`
  const limit =
    isCurrent && month.limit !== null ? ` Your limit is ${money(month.limit, currency)} a month.` : ""
  return `${all}${unpriced}${limit}`
}

/** The dialog with the usage of a month, by day. */
export const makeUsageDialog = (client: () => Client, onFailure: (error: unknown) => void) => {
  const dialog = byId("usage", HTMLDialogElement)
  const later = button("later-usage")
  let offset = 0

  const show = async () => {
    const range = monthOf(offset)
    const report = await client().usage(range)
    byId("usage-month", HTMLElement).textContent = monthName.format(Date.parse(range.from))
    byId("usage-sum", HTMLElement).textContent = sentences(report, offset === 0)
    byId("usage-days", HTMLElement).replaceChildren(
      ...(report.entries.length === 0 ? [] : [plot(report), table(report)]),
    )
    later.disabled = offset === 0
  }
  const move = (months: number) => {
    offset += months
    show().catch(onFailure)
  }

  button("open-usage").addEventListener("click", () => {
    offset = 0
    show()
      .then(() => dialog.showModal())
      .catch(onFailure)
  })
  button("earlier-usage").addEventListener("click", () => move(-1))
  later.addEventListener("click", () => move(1))
  button("close-usage").addEventListener("click", () => dialog.close())

  return { close: () => dialog.close() }
}

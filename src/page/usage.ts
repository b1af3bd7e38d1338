import type { Client, UsageEntry, UsageReport } from "../client/client.ts"
import { button, byId, draw, make } from "./dom.ts"

/** Size of the drawing, in its own units. */
const width = 640
const height = 150
const floor = height - 20
/** A day without a bar is not seen as one: each has this height at least, if anything was used. */
const leastBar = 2

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
        of: ({ cost }: UsageEntry) => cost ?? 0,
        say: (value: number) => money(value, currency),
      }
    : { name: "Turns by day", of: ({ turns }: UsageEntry) => turns, say: turnsOf }
}

/** A bar for each day. Its label says the most; the table has the numbers. */
const plot = (report: UsageReport): Node => {
  const { name, of, say } = measure(report)
  const values = new Map(report.entries.map((entry) => [entry.day, of(entry)]))
  const first = Date.parse(report.from)
  const days = Array.from({ length: (Date.parse(report.to) - first) / dayMs + 1 }, (_, at) =>
    isoDay(first + at * dayMs),
  )
  const most = Math.max(0, ...values.values())
  const step = width / days.length
  const bars = days.map((day, at) => {
    const value = values.get(day) ?? 0
    const tall = most === 0 || value === 0 ? 0 : Math.max(leastBar, (value / most) * (floor - 16))
    return draw(
      "rect",
      {
        class: "bar",
        x: (at * step + step * 0.14).toFixed(1),
        y: (floor - tall).toFixed(1),
        width: (step * 0.72).toFixed(1),
        height: tall.toFixed(1),
        rx: "2",
      },
      draw("title", {}, `${day}: ${say(value)}`),
    )
  })
  const marks = days.flatMap((_, at) =>
    at % 7 === 0
      ? [draw("text", { class: "mark", x: ((at + 0.5) * step).toFixed(1), y: `${height - 4}` }, `${at + 1}`)]
      : [],
  )
  return draw(
    "svg",
    {
      class: "bars",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `${name}. At most ${say(most)}.`,
    },
    draw("path", { class: "floor", d: `M0 ${floor}H${width}` }),
    ...bars,
    ...marks,
    draw("text", { class: "most", x: "0", y: "11" }, say(most)),
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
  const all = `${turnsOf(total.turns)}, ${money(total.cost, currency)}.`
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

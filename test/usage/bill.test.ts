import { expect, test } from "bun:test"
import { Option } from "effect"
import { type PriceTable, prices } from "../../src/config/prices.ts"
import { noUsage, type Stage, type Usage } from "../../src/schema.ts"
import { addBills, billOf, freeBill, makeMeter, withCost } from "../../src/usage/bill.ts"

const table: PriceTable = {
  currency: "EUR",
  models: {
    "gpt-4o-mini": { perMillionInputTokens: 0.15, perMillionOutputTokens: 0.6 },
    "whisper-1": { perAudioMinute: 0.006 },
    "by-second": { perAudioSecond: 0.0001 },
    "tts-1": { perMillionCharacters: 15 },
    mine: { perMillionInputTokens: 0, perMillionOutputTokens: 0 },
  },
}

const use = (stage: Stage, model: string, usage: Partial<Usage>, isLocal = false) =>
  billOf(table, { stage, model, isLocal, usage: { ...noUsage, ...usage } })

const cases: ReadonlyArray<
  readonly [stage: Stage, model: string, usage: Partial<Usage>, nanos: number | null]
> = [
  ["llm", "gpt-4o-mini", { inputTokens: 1_000_000, outputTokens: 500_000 }, 450_000_000],
  ["llm", "gpt-4o-mini", { inputTokens: 1, outputTokens: 1 }, 750],
  ["stt", "whisper-1", { audioSeconds: 90 }, 9_000_000],
  ["stt", "by-second", { audioSeconds: 2.5 }, 250_000],
  ["tts", "tts-1", { charactersSpoken: 22 }, 330_000],
  ["llm", "mine", { inputTokens: 9, outputTokens: 9 }, 0],
  // A price of another stage is no price.
  ["llm", "tts-1", { inputTokens: 1 }, null],
  ["tts", "gpt-4o-mini", { charactersSpoken: 1 }, null],
  ["stt", "tts-1", { audioSeconds: 1 }, null],
  ["llm", "unknown", { inputTokens: 1 }, null],
  ["llm", "toString", { inputTokens: 1 }, null],
  ["llm", "GPT-4o-mini", { inputTokens: 1 }, null],
]

test.each(cases)("%s by %s: %j", (stage, model, usage, nanos) => {
  const bill = use(stage, model, usage)
  if (nanos === null) expect(bill.nanos).toBeNull()
  else expect(bill.nanos).toBeCloseTo(nanos, 3)
  expect(use(stage, model, usage, true).nanos).toBe(0)
})

test("one unknown price makes the cost of a turn unknown, whatever comes before and after", () => {
  const known = use("llm", "gpt-4o-mini", { inputTokens: 10 })
  const unknown = use("tts", "unknown", { charactersSpoken: 1 })
  for (const bills of [
    [known, unknown],
    [unknown, known],
    [known, unknown, known],
  ]) {
    const bill = bills.reduce(addBills, freeBill(table))
    expect(withCost({ usage: noUsage, bill })).toEqual({ ...noUsage, cost: null, currency: "EUR" })
  }
  expect(withCost({ usage: noUsage, bill: addBills(freeBill(table), known) })).toMatchObject({
    cost: 0.0000015,
  })
})

test("parts below a billionth add up before they are rounded", () => {
  const cheap = {
    currency: "USD",
    models: { cheap: { perMillionInputTokens: 0.0001, perMillionOutputTokens: 0 } },
  }
  const token = billOf(cheap, {
    stage: "llm",
    model: "cheap",
    isLocal: false,
    usage: { ...noUsage, inputTokens: 1 },
  })
  const bill = Array.from({ length: 1000 }, () => token).reduce(addBills, freeBill(cheap))
  expect(withCost({ usage: noUsage, bill }).cost).toBe(1e-7)
  expect(bill.models).toEqual([
    { stage: "llm", model: "cheap", isLocal: false, usage: { ...noUsage, inputTokens: 1000 } },
  ])
})

test("a meter gives what came since it was read, and takes it back", () => {
  const meter = makeMeter(table)
  const spoken = {
    stage: "stt",
    model: "whisper-1",
    isLocal: false,
    usage: { ...noUsage, audioSeconds: 60 },
  } as const
  meter.add(spoken)
  meter.add(spoken)
  const taken = meter.take()
  expect(taken).toMatchObject({ usage: { audioSeconds: 120 }, bill: { nanos: 12_000_000 } })
  expect(meter.take()).toMatchObject({ usage: noUsage, bill: { models: [], nanos: 0 } })
  meter.add(spoken)
  meter.giveBack(taken)
  expect(meter.take()).toMatchObject({ usage: { audioSeconds: 180 }, bill: { nanos: 18_000_000 } })
})

const parsed = (json: unknown) => prices.parse(typeof json === "string" ? json : JSON.stringify(json))

test("a table of prices, as JSON or as a file", async () => {
  const models = { "gpt-4o": { perMillionInputTokens: 2.5, perMillionOutputTokens: 10 } }
  expect(parsed({ models })).toEqual(Option.some({ currency: "USD", models }))
  expect(parsed({ currency: "JPY", models: {} })).toEqual(Option.some({ currency: "JPY", models: {} }))
  const file = `${process.env.TMPDIR ?? "/tmp"}/prices-${crypto.randomUUID()}.json`
  await Bun.write(file, JSON.stringify({ models }))
  expect(parsed(file)).toEqual(Option.some({ currency: "USD", models }))
  await Bun.file(file).delete()
})

test.each([
  ["no JSON", "{"],
  ["a missing file", "/nowhere/prices.json"],
  ["no models", {}],
  ["a currency that is none", { currency: "dollars", models: {} }],
  [
    "a field that does not exist",
    { models: { a: { perMillionInputTokens: 1, perMillionOutputTokens: 1, perToken: 1 } } },
  ],
  ["a field beside the models", { model: {}, models: {} }],
  ["a negative price", { models: { a: { perAudioMinute: -1 } } }],
  ["a price that is text", { models: { a: { perAudioMinute: "0.006" } } }],
  ["one price of tokens", { models: { a: { perMillionInputTokens: 1 } } }],
  ["two prices of audio", { models: { a: { perAudioMinute: 1, perAudioSecond: 1 } } }],
  ["a price that is null", { models: { a: { perMillionCharacters: null } } }],
  ["an infinite price", '{"models":{"a":{"perAudioMinute":1e999}}}'],
])("no table of prices: %s", (_, json) => {
  expect(parsed(json)).toEqual(Option.none())
})

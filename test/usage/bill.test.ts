import { expect, test } from "bun:test"
import { Option } from "effect"
import { noPrices, type PriceTable, prices } from "../../src/config/prices.ts"
import { noUsage, type Stage, type Usage } from "../../src/schema.ts"
import { addBills, billOf, freeBill, makeMeter, rounded, wholeNanos, withCost } from "../../src/usage/bill.ts"

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

const ofA = 'of the model "a" must be a number from 0 to 1000000000, but it is'
test.each([
  ["{", "it is no valid JSON: see line 1, column 2"],
  ["{} x", "it is no valid JSON: see line 1, column 4"],
  ["/nowhere/prices.json", 'there is no file "/nowhere/prices.json" that can be read'],
  [{}, "models is missing"],
  [{ models: [] }, "models must be an object"],
  [{ models: { a: 1 } }, 'the model "a" must be an object'],
  [{ currency: "dollars", models: {} }, 'currency must be an ISO 4217 code such as USD, but it is "dollars"'],
  [{ models: { a: { perToken: 1 } } }, /^perToken of the model "a" is no price. The prices are perMillion/],
  [{ model: {}, models: {} }, "model is no field. The fields are currency and models"],
  [{ models: { "": { perAudioMinute: 1 } } }, "the name of a model is empty"],
  [{ models: { a: { perAudioMinute: -1 } } }, `perAudioMinute ${ofA} -1`],
  [{ models: { a: { perAudioMinute: "0.006" } } }, `perAudioMinute ${ofA} "0.006"`],
  [{ models: { a: { perMillionCharacters: null } } }, `perMillionCharacters ${ofA} null`],
  [{ models: { a: { perMillionCharacters: 1e10 } } }, `perMillionCharacters ${ofA} 10000000000`],
  ['{"models":{"a":{"perAudioMinute":1e999}}}', `perAudioMinute ${ofA} Infinity`],
  [{ models: { a: {} } }, 'the model "a" has no price'],
  [{ models: { a: { perMillionInputTokens: 1 } } }, 'the model "a" has no perMillionOutputTokens'],
  [
    { models: { a: { perAudioMinute: 1, perAudioSecond: 1 } } },
    'the model "a" has both perAudioMinute and perAudioSecond',
  ],
])("no table of prices: %j", (json, fault) => {
  expect(parsed(json)).toEqual(Option.none())
  const explained = prices.explain?.(typeof json === "string" ? json : JSON.stringify(json))
  if (typeof fault === "string") expect(explained).toBe(fault)
  else expect(explained).toMatch(fault)
})

test("a fault of a file names the file", async () => {
  const file = `${process.env.TMPDIR ?? "/tmp"}/prices-${crypto.randomUUID()}.json`
  await Bun.write(file, JSON.stringify({ models: { a: {} } }))
  expect(prices.explain?.(file)).toBe(`the model "a" has no price (in ${file})`)
  await Bun.file(file).delete()
})

test("a cost that no bigint holds is the greatest one", () => {
  expect(wholeNanos({ models: [], nanos: 1e30, currency: "USD" })).toBe(9e18)
  expect(BigInt(9e18)).toBeLessThan(2n ** 63n)
})

test("sums have no binary noise", () => {
  const usage = { ...noUsage, audioSeconds: 3.5919375000000002 }
  expect(withCost({ usage, bill: freeBill(noPrices) }).audioSeconds).toBe(3.5919375)
  expect([0.1 + 0.2, 1e-10, 1e300].map(rounded)).toEqual([0.3, 0, 1e300])
})

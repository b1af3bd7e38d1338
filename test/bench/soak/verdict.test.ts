import { describe, expect, test } from "bun:test"
import type { Sample } from "../../../scripts/bench/soak/sample.ts"
import { isGood, type Seen, verdictsOf, windowOf } from "../../../scripts/bench/soak/verdict.ts"

const sample = (changed: Partial<Sample> = {}): Sample => ({
  seconds: 0,
  residentMb: 150,
  files: 17,
  ffmpegs: 2,
  otherChildren: 0,
  clients: 0,
  upstream: 0,
  database: 0,
  tempFiles: 0,
  heapMb: 33,
  externalMb: 19,
  fibres: 3,
  turns: 0,
  ...changed,
})

const at = (residentMb: number, count = 10) => Array.from({ length: count }, () => sample({ residentMb }))

const seen = (changed: Partial<Seen> = {}): Seen => ({
  before: sample(),
  after: sample(),
  during: at(200, 100),
  turns: 1000,
  wrong: [],
  inconsistencies: [],
  defects: [],
  ...changed,
})

/** What is not met. */
const missed = (changed: Partial<Seen>) =>
  verdictsOf(seen(changed))
    .filter(({ verdict }) => verdict !== "met")
    .map(({ budget }) => budget)

describe("a window", () => {
  const row = Array.from({ length: 100 }, (_, i) => i)

  test("is a share of the samples", () => {
    expect(windowOf(row, 0.1, 0.2)).toEqual(row.slice(10, 20))
    expect(windowOf(row, 0.9, 1)).toEqual(row.slice(90))
  })

  test("of few samples may be none", () => expect(windowOf([1, 2, 3], 0.1, 0.2)).toEqual([]))
})

describe("memory under load", () => {
  const under = "Resident memory under load, median of the second tenth and of the last"
  const grown = (late: number) => [...at(90), ...at(200), ...at(210, 70), ...at(late)]

  test("is flat with a tenth more at the end, whatever the warm-up was", () => {
    expect(missed({ during: grown(220) })).toEqual([])
    expect(missed({ during: grown(100) })).toEqual([])
  })

  test("is not with more", () => expect(missed({ during: grown(221) })).toEqual([under]))

  test("is not known of a load that was too short", () =>
    expect(missed({ during: at(200, 4) })).toEqual([under]))

  test("is told by the median: one collection of garbage that is late is none", () => {
    expect(missed({ during: [...at(200, 95), ...at(900, 4), ...at(200, 1)] })).toEqual([])
    expect(missed({ during: [...at(200, 94), ...at(900, 6)] })).toEqual([under])
  })
})

describe("at rest", () => {
  for (const name of [
    "files",
    "otherChildren",
    "clients",
    "upstream",
    "database",
    "tempFiles",
    "fibres",
    "turns",
  ] as const) {
    test(`one more of ${name} is one too many, one less is none`, () => {
      const before = sample({ [name]: 4 })
      expect(missed({ before, after: sample({ [name]: 5 }) })).toHaveLength(1)
      expect(missed({ before, after: sample({ [name]: 4 }) })).toEqual([])
      expect(missed({ before, after: sample({ [name]: 3 }) })).toEqual([])
    })
  }

  test("as many ffmpegs may be there as are kept warm", () => {
    expect(missed({ before: sample({ ffmpegs: 1 }) })).toEqual([])
    expect(missed({ after: sample({ ffmpegs: 3 }) })).toEqual(["ffmpegs, at rest"])
  })

  test("the heap counts with what it holds outside of itself", () => {
    const what = "Heap and what it holds outside of itself at rest, before and after"
    expect(missed({ after: sample({ heapMb: 46, externalMb: 19 }) })).toEqual([])
    expect(missed({ after: sample({ heapMb: 33, externalMb: 33 }) })).toEqual([what])
  })
})

describe("what clients met", () => {
  test("is wrong by one answer that nothing provoked, and by one that never came", () => {
    expect(missed({ wrong: ["whole turn: 500 TTS_FAILED"] })).toEqual(["Answers that nothing provoked"])
    expect(missed({ wrong: ["export: no answer (late)"] })).toEqual(["Requests without an answer"])
  })

  test("is nothing where no turn was taken", () => expect(missed({ turns: 0 })).toEqual(["Turns taken"]))
})

test("a defect in the log, and a turn that is stored wrong, are no good", () => {
  expect(missed({ defects: ["defect SqlError"] })).toEqual(["Defects in the log"])
  expect(missed({ inconsistencies: ["1 still running"] })).toEqual(["Turns and messages stored wrong"])
})

test("a run is good when all is met", () => {
  expect(isGood(verdictsOf(seen()))).toBe(true)
  expect(isGood(verdictsOf(seen({ defects: ["defect SqlError"] })))).toBe(false)
})

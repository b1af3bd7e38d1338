import { describe, expect, test } from "bun:test"
import type { Sample } from "../../../scripts/bench/soak/sample.ts"
import {
  isGood,
  type LoadSample,
  lowest,
  type Seen,
  verdictsOf,
  windowOf,
} from "../../../scripts/bench/soak/verdict.ts"

const sample = (changed: Partial<Sample> = {}): Sample => ({
  seconds: 0,
  residentMb: 150,
  childrenMb: 60,
  postgresMb: 100,
  files: 17,
  ffmpegs: 2,
  otherChildren: 0,
  clients: 0,
  upstream: 0,
  tools: 0,
  database: 0,
  tempFiles: 0,
  heapMb: 33,
  externalMb: 19,
  fibers: 3,
  turns: 0,
  ...changed,
})

const at = (residentMb: number, count = 10): ReadonlyArray<LoadSample> =>
  Array.from({ length: count }, () => ({ ...sample({ residentMb }), taken: 0 }))

const seen = (changed: Partial<Seen> = {}): Seen => ({
  before: sample(),
  after: sample(),
  objects: { before: {}, after: {} },
  during: at(200, 100),
  turns: 1000,
  wrong: [],
  inconsistencies: [],
  defects: [],
  ...changed,
})

/** The limits that are not met. */
const missed = (changed: Partial<Seen>) =>
  verdictsOf(seen(changed))
    .filter(({ verdict }) => verdict !== "met")
    .map(({ budget }) => budget)

describe("a window", () => {
  const row = Array.from({ length: 100 }, (_, i) => i)

  test("is a fraction of the samples", () => {
    expect(windowOf(row, 0.1, 0.2)).toEqual(row.slice(10, 20))
    expect(windowOf(row, 0.9, 1)).toEqual(row.slice(90))
  })

  test("may be empty for few samples", () => expect(windowOf([1, 2, 3], 0.1, 0.2)).toEqual([]))
})

describe("memory under load", () => {
  const under = "Resident memory under load, median of the second tenth and of the last"
  const grown = (late: number) => [...at(90), ...at(200), ...at(210, 70), ...at(late)]

  test("is flat with up to 10 % growth after warm-up", () => {
    expect(missed({ during: grown(220) })).toEqual([])
    expect(missed({ during: grown(100) })).toEqual([])
  })

  test("is not flat with more growth", () => expect(missed({ during: grown(221) })).toEqual([under]))

  test("is unknown for a short load", () => expect(missed({ during: at(200, 4) })).toEqual([under]))

  test("uses the median, so one late GC changes nothing", () => {
    expect(missed({ during: [...at(200, 95), ...at(900, 4), ...at(200, 1)] })).toEqual([])
    expect(missed({ during: [...at(200, 94), ...at(900, 6)] })).toEqual([under])
  })
})

describe("growth after 10,000 turns", () => {
  /** Garbage of up to 100 MB, and this many bytes of growth a turn. */
  const load = (bytes: number, of: "residentMb" | "externalMb" | "childrenMb") =>
    Array.from({ length: 1000 }, (_, at): LoadSample => {
      const taken = at * 100
      const garbage = (at * 37) % 100
      return {
        ...sample({ residentMb: 900 + garbage, heapMb: 200 + garbage }),
        [of]: 900 + garbage + (bytes * taken) / 1024 / 1024,
        taken,
      }
    })

  test("is noise", () => expect(missed({ during: load(0, "residentMb") })).toEqual([]))
  test("is a leak of 200 bytes", () =>
    expect(missed({ during: load(200, "residentMb") })).toEqual([
      "Resident memory, growth after 10000 turns",
    ]))
  test("may be outside the heap, or in a child", () => {
    expect(missed({ during: load(200, "externalMb") })).toEqual([
      "Heap and external memory, growth after 10000 turns",
    ])
    expect(missed({ during: load(200, "childrenMb") })).toEqual([
      "Memory of child processes, growth after 10000 turns",
    ])
  })
  test("is not known of a short run", () => {
    const budgets = verdictsOf(seen({ during: load(0, "residentMb").slice(0, 110) }))
    expect(budgets.filter(({ budget }) => budget.includes("growth"))).toEqual([])
  })
})

describe("at rest", () => {
  for (const name of [
    "files",
    "otherChildren",
    "clients",
    "upstream",
    "tools",
    "database",
    "tempFiles",
    "fibers",
    "turns",
  ] as const) {
    test(`one more of ${name} is one too many, one less is none`, () => {
      const before = sample({ [name]: 4 })
      expect(missed({ before, after: sample({ [name]: 5 }) })).toHaveLength(1)
      expect(missed({ before, after: sample({ [name]: 4 }) })).toEqual([])
      expect(missed({ before, after: sample({ [name]: 3 }) })).toEqual([])
    })
  }

  test("the warm ffmpeg processes may remain", () => {
    expect(missed({ before: sample({ ffmpegs: 1 }) })).toEqual([])
    expect(missed({ after: sample({ ffmpegs: 3 }) })).toEqual(["ffmpeg processes, at rest"])
  })

  test("the heap includes external memory", () => {
    const what = "Heap and external memory at rest without garbage, before and after"
    expect(missed({ after: sample({ heapMb: 73, externalMb: 19 }) })).toEqual([])
    expect(missed({ after: sample({ heapMb: 33, externalMb: 60 }) })).toEqual([what])
  })

  test("objects may be compiled code, not of turns", () => {
    const what = "Objects in the heap at rest, other than code: more than before"
    const before = { Object: 30_000, FunctionCodeBlock: 4000, Promise: 10 }
    expect(missed({ objects: { before, after: { Object: 30_550, FunctionCodeBlock: 9000 } } })).toEqual([])
    expect(missed({ objects: { before, after: { Object: 30_500, Promise: 61 } } })).toEqual([what])
    expect(missed({ objects: { before, after: { Object: 30_000, Timer: 551 } } })).toEqual([what])
  })

  test("a count for a moment is not one", () => {
    const samples = [
      sample({ fibers: 5, residentMb: 1 }),
      sample({ fibers: 3 }),
      sample({ fibers: 4, files: 18 }),
    ]
    expect(lowest(samples)).toEqual(sample({ fibers: 3 }))
    expect(() => lowest([])).toThrow("There are no samples.")
  })
})

describe("the clients' results", () => {
  test("fail with one unexpected or one missing response", () => {
    expect(missed({ wrong: ["whole turn: 500 TTS_FAILED"] })).toEqual(["Failures that were not planned"])
    expect(missed({ wrong: ["export: no response (late)"] })).toEqual(["Requests without a response"])
  })

  test("fail without any turn", () => expect(missed({ turns: 0 })).toEqual(["Turns taken"]))
})

test("fails for a logged defect or a wrong row", () => {
  expect(missed({ defects: ["defect SqlError"] })).toEqual(["Defects in the log"])
  expect(missed({ inconsistencies: ["1 still running"] })).toEqual(["Inconsistencies in the stored data"])
})

test("a run passes if every check passes", () => {
  expect(isGood(verdictsOf(seen()))).toBe(true)
  expect(isGood(verdictsOf(seen({ defects: ["defect SqlError"] })))).toBe(false)
})

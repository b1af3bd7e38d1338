import { describe, expect, test } from "bun:test"
import { failedTurns, figuresOf, type Meter } from "../../scripts/bench/figures.ts"
import { atOnceColumns, pacedColumns, tableOf } from "../../scripts/bench/table.ts"
import { rowOf } from "./rows.ts"

const load = { upstream: "paced", recording: "WebM", clients: 2, together: false } as const
const floors = { pipelinedMs: 1583, sequentialMs: 4643 }
const meter = (ownMs: number, childrenMs: number, benchMs: number, residentMb: number): Meter => ({
  service: { ownMs, childrenMs, residentMb },
  benchMs,
})
const heard = (firstByteMs: number, lastByteMs: number, gapMs = 0) => ({
  firstByteMs,
  lastByteMs,
  gapMs,
  ownFirstAudioMs: firstByteMs - 5,
})
const failed = (failure: string) => ({ failure, failedMs: 2000, hasRetryAfter: true })

describe("figures", () => {
  const counted = [heard(1610, 3400), heard(1600, 3300, 12), heard(1620, 3500, 0.4), heard(1900, 3900, 30)]
  const figures = figuresOf(
    load,
    floors,
    { counted, others: Array(4).fill(heard(9000, 9999, 99)), wallMs: 4000 },
    meter(100, 50, 10, 120),
    meter(500, 690, 90, 180),
  )

  test("are percentiles of the counted turns", () => {
    expect(figures.turns).toBe(4)
    expect(figures.firstByteMs).toEqual({ p50: 1610, p95: 1900 })
    expect(figures.lastByteMs).toEqual({ p50: 3400, p95: 3900 })
  })

  test("divide the cost by all turns, counted or not", () => {
    expect(figures).toMatchObject({ ownCpuMs: 50, ffmpegCpuMs: 80, benchCpuMs: 10, turnsPerSecond: 2 })
  })

  test("have the longest gap; under 1 ms is none", () => {
    expect(figures).toMatchObject({ turnsWithGap: 2, longestGapMs: 30 })
  })

  test("use completed turns; count failures by outcome", () => {
    const three = [failed("503 OVERLOADED"), failed("ECONNRESET"), failed("503 OVERLOADED")]
    const some = figuresOf(
      load,
      floors,
      { counted: [...three, heard(1600, 3400)], others: [failed("ECONNRESET")], wallMs: 4000 },
      meter(0, 0, 0, 0),
      meter(40, 0, 0, 0),
    )
    expect(some.turns).toBe(1)
    expect(some.firstByteMs).toEqual({ p50: 1600, p95: 1600 })
    expect(some.failures).toEqual(
      new Map([
        ["503 OVERLOADED", 2],
        ["ECONNRESET", 2],
      ]),
    )
    expect(failedTurns(some)).toBe(4)
    expect(failedTurns(figures)).toBe(0)
  })

  test("keep the load, the floors and the final memory", () => {
    expect(figures).toMatchObject({ ...load, floors, residentMb: 180 })
  })
})

describe("the table", () => {
  const cells = (line: string | undefined) => line?.split("|").map((cell) => cell.trim())

  test("is Markdown with a row per load", () => {
    const rows = [rowOf({}), rowOf({ recording: "WebM", clients: 32, together: true })]
    const [head, rule, first, second, ...rest] = tableOf(pacedColumns, rows).split("\n")
    const titles = cells(head) ?? []
    const cell = (line: string | undefined, title: string) => cells(line)?.[titles.indexOf(title)]
    expect(
      cells(rule)
        ?.slice(1, -1)
        .every((mark) => /^-+:$/.test(mark)),
    ).toBe(true)
    expect(cell(first, "recording")).toBe("WAV")
    expect(cell(first, "first byte p50")).toBe("1010")
    expect(cell(first, "over floor")).toBe("10")
    expect(cell(first, "ratio")).toBe("1.010")
    expect(cell(first, "sequential")).toBe("4000")
    expect(cell(second, "clients")).toBe("32 together")
    expect(rest).toEqual([])
  })

  test("has lines of equal length", () => {
    const rows = [
      rowOf({}),
      rowOf({ recording: "WebM", clients: 64, together: true }, { longestGapMs: 12_345 }),
    ]
    for (const columns of [pacedColumns, atOnceColumns]) {
      expect(
        new Set(
          tableOf(columns, rows)
            .split("\n")
            .map(({ length }) => length),
        ).size,
      ).toBe(1)
    }
  })

  test("explains every column", () => {
    for (const { meaning } of [...pacedColumns, ...atOnceColumns]) expect(meaning).toMatch(/^.{10,}\.$/)
  })
})

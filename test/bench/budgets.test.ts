import { describe, expect, test } from "bun:test"
import { type Measured, verdictsOf } from "../../scripts/bench/budgets.ts"
import { rowOf } from "./rows.ts"

const verdictOn = (part: string, measured: Partial<Measured>) => {
  const found = verdictsOf({ rows: [], idleMb: 100, ...measured }).filter(({ budget }) =>
    budget.includes(part),
  )
  expect(found).toHaveLength(1)
  return found[0]
}

describe("a budget", () => {
  test("is met or missed by the measured figure", () => {
    const at = (p50: number) => ({ rows: [rowOf({}, { firstByteMs: { p50, p95: 9999 } })] })
    expect(verdictOn("floor: WAV, 1 client", at(1025))).toMatchObject({ figure: "25.0 ms", verdict: "met" })
    expect(verdictOn("floor: WAV, 1 client", at(1026))).toMatchObject({
      figure: "26.0 ms",
      verdict: "not met",
    })
  })

  test("is compared with the unrounded figure", () => {
    const rows = [rowOf({}, { firstByteMs: { p50: 1025.04, p95: 1030 } })]
    expect(verdictOn("floor: WAV, 1 client", { rows })).toMatchObject({
      figure: "25.0 ms",
      verdict: "not met",
    })
  })

  test("for WebM: reads the WebM row only", () => {
    const rows = [
      rowOf({}, { firstByteMs: { p50: 1500, p95: 1500 } }),
      rowOf({ recording: "WebM" }, { firstByteMs: { p50: 1059, p95: 1500 } }),
    ]
    expect(verdictOn("floor: WebM, 1 client", { rows })).toMatchObject({
      limit: "at most 60.0 ms",
      verdict: "met",
    })
    expect(verdictOn("floor: WAV, 1 client", { rows })?.verdict).toBe("not met")
  })

  test("for many clients: a ratio to the floor", () => {
    const rows = [
      rowOf({ clients: 32 }, { firstByteMs: { p50: 1149, p95: 2000 } }),
      rowOf({ clients: 32, together: true }, { firstByteMs: { p50: 1151, p95: 2000 } }),
    ]
    expect(verdictOn("WAV, 32 clients, median", { rows })).toMatchObject({
      figure: "1.149 x",
      verdict: "met",
    })
    expect(verdictOn("WAV, 32 clients together", { rows })).toMatchObject({
      figure: "1.151 x",
      verdict: "not met",
    })
  })

  test("can be a minimum", () => {
    const at = (turnsPerSecond: number) => ({
      rows: [rowOf({ upstream: "at once", clients: 32 }, { turnsPerSecond })],
    })
    expect(verdictOn("Turns per second", at(60))).toMatchObject({ limit: "at least 60.0 /s", verdict: "met" })
    expect(verdictOn("Turns per second", at(59.9))?.verdict).toBe("not met")
  })

  test("is missed by a row without a completed turn", () => {
    const rows = [rowOf({}, { turns: 0, firstByteMs: { p50: Number.NaN, p95: Number.NaN } })]
    expect(verdictOn("floor: WAV, 1 client", { rows })?.verdict).toBe("not met")
  })

  test("for failed turns: reads every row", () => {
    const rows = [rowOf({}), rowOf({ clients: 7 }, { failures: new Map([["ECONNRESET", 2]]) })]
    expect(verdictOn("failed", { rows })).toMatchObject({ figure: "2", verdict: "not met" })
    expect(verdictOn("failed", { rows: [rowOf({})] })?.verdict).toBe("met")
  })

  test("for idle memory: needs no row", () => {
    expect(verdictOn("Resident memory", { idleMb: 150 })?.verdict).toBe("met")
    expect(verdictOn("Resident memory", { idleMb: 151 })?.verdict).toBe("not met")
  })

  test("that was not measured is missed", () => {
    expect(verdictOn("CPU per turn: WAV, 1 client", {})).toMatchObject({
      figure: "-",
      verdict: "not measured",
    })
  })
})

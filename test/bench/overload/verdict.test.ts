import { describe, expect, test } from "bun:test"
import type { Outcome } from "../../../scripts/bench/client.ts"
import { type Figures, figuresOf, type Witnessed } from "../../../scripts/bench/overload/figures.ts"
import { describeRow } from "../../../scripts/bench/overload/report.ts"
import { type Loads, verdictsOf } from "../../../scripts/bench/overload/verdict.ts"

const probed = { asked: 100, refused: 0, p50: 1, p99: 20, max: 60 }
const witnessed: Witnessed = {
  load: "a load",
  wallMs: 2000,
  health: probed,
  ready: probed,
  ownCpu: 0.8,
  peakMb: 300,
}

const heard = (ownFirstAudioMs: number): Outcome => ({
  firstByteMs: ownFirstAudioMs + 10,
  lastByteMs: 3400,
  gapMs: 0,
  ownFirstAudioMs,
})
const failed = (failure: string, failedMs = 2000, hasRetryAfter = true): Outcome => ({
  failure,
  failedMs,
  hasRetryAfter,
})

describe("the figures", () => {
  const figures = figuresOf(witnessed, [
    heard(1600),
    heard(1610),
    heard(1700),
    failed("503 OVERLOADED", 2001),
    failed("503 OVERLOADED", 3),
    failed("429 RATE_LIMIT_EXCEEDED", 2003),
  ])

  test("cover accepted and refused turns", () => {
    expect(figures).toMatchObject({ asked: 6, heard: 3, turnsPerSecond: 1.5, refusedAfter: 2001 })
    expect(figures.ownFirstAudio).toEqual({ p50: 1610, p95: 1700 })
    expect(figures.firstByte).toEqual({ p50: 1620, p95: 1710 })
    expect(figures.failures).toEqual(
      new Map([
        ["503 OVERLOADED", 2],
        ["429 RATE_LIMIT_EXCEEDED", 1],
      ]),
    )
  })

  test("accept 503 and 429 with Retry-After as refusals", () => {
    expect(figures.improper).toBe(0)
    const improper = (outcome: Outcome) => figuresOf(witnessed, [outcome]).improper
    expect(improper(failed("503 OVERLOADED", 5, false))).toBe(1)
    expect(improper(failed("500 TTS_FAILED"))).toBe(1)
    expect(improper(failed("ECONNRESET", 5, false))).toBe(1)
  })

  test("print in one line", () => {
    expect(describeRow(figures)).toContain(
      "refused 2 503 OVERLOADED, 1 429 RATE_LIMIT_EXCEEDED; share refused 50 %",
    )
    expect(describeRow(figuresOf(witnessed, [heard(1)]))).toContain(
      "refused -; share refused 0 %; refused after -",
    )
  })
})

const calm = figuresOf(
  witnessed,
  Array.from({ length: 20 }, () => heard(1600)),
)
const row = (changed: Partial<Figures> = {}): Figures => ({ ...calm, ...changed })

/** The limits that are not met. */
const missed = (changed: Partial<Loads>) =>
  verdictsOf({ calm, full: calm, over: calm, afterwards: calm, ...changed })
    .filter(({ verdict }) => verdict !== "met")
    .map(({ budget }) => budget)

describe("an overloaded service", () => {
  test("passes with the figures of normal load", () => expect(missed({})).toEqual([]))

  test("must stay fast for accepted turns", () => {
    expect(missed({ over: row({ ownFirstAudio: { p50: 1839, p95: 1841 } }) })).toEqual([
      "First audio of accepted turns under overload, p95",
    ])
    expect(missed({ afterwards: row({ ownFirstAudio: { p50: 1841, p95: 1600 } }) })).toEqual([
      "First audio of accepted turns afterwards, p50",
    ])
  })

  test("fails if it accepts nothing", () => {
    const none = { p50: Number.NaN, p95: Number.NaN }
    expect(missed({ over: row({ heard: 0, ownFirstAudio: none }) })).toHaveLength(2)
  })

  test("must answer /health within 50 ms", () => {
    expect(missed({ over: row({ health: { ...probed, p99: 50 } }) })).toEqual([])
    expect(missed({ over: row({ health: { ...probed, p99: 50.1 } }) })).toEqual([
      "/health under overload, p99",
    ])
    expect(missed({ over: row({ ready: { ...probed, p99: 51 } }) })).toEqual(["/ready under overload, p99"])
    expect(missed({ over: row({ ready: { ...probed, refused: 1 } }) })).toEqual([
      "/health and /ready that were not 200",
    ])
  })

  test("must refuse properly, and only under overload", () => {
    expect(missed({ over: row({ improper: 1 }) })).toHaveLength(1)
    expect(missed({ full: row({ heard: 19 }) })).toEqual(["Turns that failed with a load that it carries"])
  })

  test("may use 50 % more memory", () => {
    expect(missed({ over: row({ peakMb: 450 }) })).toEqual([])
    expect(missed({ over: row({ peakMb: 451 }) })).toEqual(["Peak of resident memory under overload"])
  })
})

import { describe, expect, test } from "bun:test"
import { Arbitrary, FastCheck as fc } from "effect"
import { exampleOf } from "../../src/http/openapi/json-schema.ts"
import { liveTimesOf, ticksOf, timesOf } from "../../src/page/waterfall-spans.ts"
import { Timings } from "../../src/schema.ts"

const timings = Arbitrary.make(Timings)

describe("the waterfall", () => {
  test("places each stage", () => {
    const { spans, since, firstAudio, total } = timesOf({
      ...exampleOf(Timings),
      upload: 40,
      validate: 2,
      transcode: 98,
      stt: 300,
      llmTtft: 200,
      ttsTtfb: 150,
      firstAudio: 800,
      total: 1900,
    })
    expect(spans.map(({ name, from, to }) => [name, from, to])).toEqual([
      ["Upload", -40, 0],
      ["Checks", 0, 100],
      ["Speech to text", 100, 400],
      ["First word", 400, 600],
      ["First sound", 650, 800],
      ["Whole reply", 800, 1900],
    ])
    expect([since, firstAudio, total]).toEqual(["the upload", 800, 1900])
  })

  test("places each stage of a hands-free turn", () => {
    const { spans, since, firstAudio, total } = liveTimesOf({
      spoken: 10_000,
      transcribed: 10_300,
      firstText: 10_500,
      firstAudio: 10_900,
      lastAudio: 12_000,
    })
    expect(spans.map(({ name, from, to, says }) => [name, from, to, says])).toEqual([
      ["Speech to text", 0, 300, "300 ms"],
      ["First word", 300, 500, "200 ms"],
      ["First sound", 500, 900, "400 ms"],
      ["Whole reply", 900, 2000, "1.1 s"],
    ])
    expect([since, firstAudio, total]).toEqual(["the speech", 900, 2000])
  })

  test("no span ends before it begins", () => {
    fc.assert(
      fc.property(timings, (times) => {
        for (const { from, to } of timesOf(times).spans) expect(to).toBeGreaterThanOrEqual(from)
      }),
    )
    // Two recordings may be answered by one reply, so that a moment comes before an earlier stage's.
    const moment = fc.double({ min: -1e6, max: 1e6, noNaN: true })
    const moments = fc.record({
      spoken: moment,
      transcribed: moment,
      firstText: moment,
      firstAudio: moment,
      lastAudio: moment,
    })
    fc.assert(
      fc.property(moments, (given) => {
        const { spans, total } = liveTimesOf(given)
        for (const [at, { from, to }] of spans.entries()) {
          expect(to).toBeGreaterThanOrEqual(from)
          expect(from).toBe(spans[at - 1]?.to ?? 0)
        }
        expect(spans.at(-1)?.to).toBe(total)
      }),
    )
  })

  test("the axis has a few round numbers", () => {
    fc.assert(
      fc.property(fc.integer({ min: -60_000, max: 0 }), fc.integer({ min: 1, max: 120_000 }), (from, to) => {
        const ticks = ticksOf(from, to)
        expect(ticks.length).toBeLessThanOrEqual(6)
        for (const tick of ticks) expect(tick >= from && tick <= to).toBe(true)
      }),
    )
    expect(ticksOf(-40, 1900)).toEqual([0, 500, 1000, 1500])
  })
})

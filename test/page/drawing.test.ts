import { describe, expect, test } from "bun:test"
import { Arbitrary, FastCheck as fc } from "effect"
import { exampleOf } from "../../src/http/openapi/json-schema.ts"
import { spansOf, ticksOf } from "../../src/page/waterfall-spans.ts"
import { Timings } from "../../src/schema.ts"

const timings = Arbitrary.make(Timings)

describe("the waterfall", () => {
  test("places each stage", () => {
    const spans = spansOf({
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
  })

  test("no span ends before it begins", () => {
    fc.assert(
      fc.property(timings, (times) => {
        for (const { from, to } of spansOf(times)) expect(to).toBeGreaterThanOrEqual(from)
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

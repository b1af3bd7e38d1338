import { describe, expect, test } from "bun:test"
import { defaultReply, hosted, sequentialFloorMs } from "../../scripts/bench/latency.ts"
import { drawWaterfall } from "../../scripts/bench/svg.ts"
import { type Bar, type Lane, medianTurn, sequentialLane, turnLane } from "../../scripts/bench/waterfall.ts"
import { exampleOf } from "../../src/http/openapi/json-schema.ts"
import { Timings } from "../../src/schema.ts"

const timings = {
  ...exampleOf(Timings),
  upload: 4,
  validate: 1,
  transcode: 80,
  stt: 604,
  llmTtft: 355,
  ttsTtfb: 402,
  firstAudio: 1680,
  total: 3420,
}

const isInARow = (bars: ReadonlyArray<Bar>) =>
  bars.every((bar, i) => {
    const before = bars[i - 1]
    return bar.startMs === (before === undefined ? 0 : before.startMs + before.ms)
  })

describe("the bars of a turn", () => {
  const { bars, firstSoundMs } = turnLane(timings)
  const bar = (label: string) => bars.find((each) => each.label === label)

  test("join end to end, from the request to the last byte", () => {
    expect(isInARow(bars)).toBe(true)
    const last = bars.at(-1)
    expect(last).toEqual({ label: "streaming, saving", startMs: 4 + 1680, ms: 3420 - 1680 })
  })

  test("have the lengths of the stages", () => {
    expect(bar("upload")).toEqual({ label: "upload", startMs: 0, ms: 4 })
    expect(bar("transcode")).toEqual({ label: "transcode", startMs: 5, ms: 80 })
    expect(bar("speech to text")).toEqual({ label: "speech to text", startMs: 85, ms: 604 })
    expect(bar("model's first token")?.ms).toBe(355)
    expect(bar("its first speech")?.ms).toBe(402)
  })

  test("the first sentence gets the rest before first audio", () => {
    expect(bar("rest of the first sentence")?.ms).toBe(1680 - 1 - 80 - 604 - 355 - 402)
    expect(firstSoundMs).toBe(1684)
    const speech = bar("its first speech")
    expect((speech?.startMs ?? 0) + (speech?.ms ?? 0)).toBe(firstSoundMs)
  })

  test("are never negative after rounding", () => {
    const rounded = turnLane({ ...timings, firstAudio: 1 + 80 + 604 + 355 + 402 - 1 })
    expect(rounded.bars.every(({ ms }) => ms >= 0)).toBe(true)
  })
})

test("the bars of a sequential server end at its floor", () => {
  const { bars, firstSoundMs } = sequentialLane(hosted, defaultReply)
  expect(isInARow(bars)).toBe(true)
  expect(bars.map(({ ms }) => Math.round(ms))).toEqual([600, 1333, 2701])
  expect(firstSoundMs).toBeCloseTo(sequentialFloorMs(hosted, defaultReply))
})

test("the median turn is the median by first audio", () => {
  const turns = [1700, 1650, 1900, 1660, 1680].map((firstAudio) => ({ ...timings, firstAudio }))
  expect(medianTurn(turns).firstAudio).toBe(1680)
  expect(() => medianTurn([])).toThrow("no turn")
})

describe("the picture", () => {
  const lanes = [turnLane(timings), sequentialLane(hosted, defaultReply)]
  const svg = drawWaterfall("One turn", lanes)
  const rects = (picture: string) =>
    [...picture.matchAll(/<rect class="(bar\d)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"/g)].map(
      ([, kind = "", x, y, width]) => ({ kind, x: Number(x), y: Number(y), width: Number(width) }),
    )

  test("has a bar and a label per stage", () => {
    const drawn = rects(svg)
    expect(drawn.map(({ kind }) => kind)).toEqual([...Array(8).fill("bar0"), ...Array(3).fill("bar1")])
    expect(drawn.every(({ y }, i) => i === 0 || y >= (drawn[i - 1]?.y ?? 0) + 20)).toBe(true)
    for (const { label, ms } of lanes.flatMap(({ bars }) => bars)) {
      expect(svg).toContain(`>${label}</text>`)
      expect(svg).toContain(`>${Math.round(ms)} ms</text>`)
    }
  })

  test("draws all bars to scale inside the frame", () => {
    const drawn = rects(svg)
    const bars = lanes.flatMap(({ bars }) => bars)
    const pxPerMs = (drawn[3]?.width ?? 0) / (bars[3]?.ms ?? 1)
    for (const [i, { x, width }] of drawn.entries()) {
      const { startMs = 0, ms = 0 } = bars[i] ?? {}
      expect(Math.abs(x - 220 - startMs * pxPerMs)).toBeLessThan(1)
      if (width > 2) expect(Math.abs(width - ms * pxPerMs)).toBeLessThan(1)
      expect(x + width).toBeLessThanOrEqual(810)
    }
  })

  test("keeps a stage of 0 ms visible", () => {
    const lane: Lane = { title: "One", bars: [{ label: "validate", startMs: 0, ms: 0 }], firstSoundMs: 0 }
    const drawn = drawWaterfall("One", [lane])
    expect(rects(drawn)[0]?.width).toBe(2)
    expect(drawn).toContain(">&lt;1 ms</text>")
  })

  test("has a text alternative", () => {
    expect(svg).toContain('role="img" aria-labelledby="title desc"')
    expect(svg).toContain('<title id="title">One turn</title>')
    expect(svg).toMatch(/<desc id="desc">This service: upload 4 ms, .*; first sound after 1684 ms\./)
  })

  test("escapes markup", () => {
    const lane: Lane = { title: "<a> & b", bars: [{ label: '"c"', startMs: 0, ms: 5 }], firstSoundMs: 5 }
    const drawn = drawWaterfall("x < y", [lane])
    expect(drawn).toContain("&lt;a&gt; &amp; b")
    expect(drawn).toContain("x &lt; y")
    expect(drawn).not.toContain("<a>")
  })
})

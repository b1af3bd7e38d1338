import { describe, expect, test } from "bun:test"
import { drawMemory } from "../../../scripts/bench/soak/chart.ts"

const points = Array.from({ length: 121 }, (_, i) => ({
  seconds: 45 + i,
  residentMb: 200 + (i % 2) * 40,
  heldMb: 60,
}))
const svg = drawMemory("Memory <1>", points, [{ from: 57, to: 68, residentMb: 219.6 }])

const line = (kind: number) =>
  (new RegExp(`class="line${kind}" points="([^"]+)"`).exec(svg)?.[1] ?? "")
    .split(" ")
    .map((pair) => pair.split(",").map(Number))

describe("the picture of memory over time", () => {
  test("begins at the left, and has every point within its frame, in the order of time", () => {
    const drawn = line(0)
    expect(drawn).toHaveLength(points.length)
    expect(drawn[0]?.[0]).toBe(70)
    expect(drawn.every(([x = 0], i) => i === 0 || x > (drawn[i - 1]?.[0] ?? 0))).toBe(true)
    expect(drawn.every(([x = 0, y = 0]) => x >= 70 && x <= 876 && y >= 64 && y <= 330)).toBe(true)
  })

  test("has more memory higher up", () => {
    const [first, second] = line(0)
    expect(second?.[1] ?? 0).toBeLessThan(first?.[1] ?? 0)
    expect(line(1)[0]?.[1] ?? 0).toBeGreaterThan(first?.[1] ?? 0)
  })

  test("has the marks of its axes", () => {
    expect(svg).toContain(">0:00 min</text>")
    expect(svg).toContain(">2:00</text>")
    expect(svg).toContain(">250 MB</text>")
  })

  test("says its levels in figures and in words", () => {
    expect(svg).toContain(">220 MB</text>")
    expect(svg).toContain("From 0:12 to 0:23 min the median is 220 MB.")
  })

  test("holds no text that would be markup", () => expect(svg).toContain("Memory &lt;1&gt;"))

  test("of nothing is a picture still", () => {
    expect(drawMemory("None", [], [])).not.toContain("NaN")
  })
})

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

describe("the memory chart", () => {
  test("draws every point inside the frame, in order", () => {
    const drawn = line(0)
    expect(drawn).toHaveLength(points.length)
    expect(drawn[0]?.[0]).toBe(70)
    expect(drawn.every(([x = 0], i) => i === 0 || x > (drawn[i - 1]?.[0] ?? 0))).toBe(true)
    expect(drawn.every(([x = 0, y = 0]) => x >= 70 && x <= 876 && y >= 64 && y <= 330)).toBe(true)
  })

  test("draws more memory higher", () => {
    const [first, second] = line(0)
    expect(second?.[1] ?? 0).toBeLessThan(first?.[1] ?? 0)
    expect(line(1)[0]?.[1] ?? 0).toBeGreaterThan(first?.[1] ?? 0)
  })

  test("labels its axes", () => {
    expect(svg).toContain(">0:00 min</text>")
    expect(svg).toContain(">2:00</text>")
    expect(svg).toContain(">250 MB</text>")
  })

  test("states its levels in figures and words", () => {
    expect(svg).toContain(">220 MB</text>")
    expect(svg).toContain("From 0:12 to 0:23 min the median is 220 MB.")
  })

  test("escapes markup", () => expect(svg).toContain("Memory &lt;1&gt;"))

  test("is valid without samples", () => {
    expect(drawMemory("None", [], [])).not.toContain("NaN")
  })
})

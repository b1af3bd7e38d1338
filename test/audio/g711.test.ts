import { describe, expect, test } from "bun:test"
import { decodeG711, encodeG711, type G711 } from "../../src/audio/g711.ts"

const codes = Uint8Array.from({ length: 256 }, (_, code) => code)
const samples = Int16Array.from({ length: 65_536 }, (_, n) => n - 32_768)
const laws: ReadonlyArray<G711> = ["pcmu", "pcma"]

/** From the tables of ITU-T G.711, in 16-bit units. */
test.each([
  ["pcmu", 0x00, -32_124],
  ["pcmu", 0x80, 32_124],
  ["pcmu", 0xff, 0],
  ["pcmu", 0x7f, 0],
  ["pcmu", 0xfe, 8],
  ["pcma", 0x2a, -32_256],
  ["pcma", 0xaa, 32_256],
  ["pcma", 0xd5, 8],
  ["pcma", 0x55, -8],
] as const)("%s %i is %i", (law, code, sample) => {
  expect([...decodeG711(law, Uint8Array.of(code))]).toEqual([sample])
})

test("silence is the usual code", () => {
  expect([...encodeG711("pcmu", Int16Array.of(0))]).toEqual([0xff])
  expect([...encodeG711("pcma", Int16Array.of(0))]).toEqual([0xd5])
})

describe.each(laws)("%s", (law) => {
  test("a level keeps its code", () => {
    const again = encodeG711(law, decodeG711(law, codes))
    const changed = [...codes].filter((code) => again[code] !== code)
    // µ-law has two zeros.
    expect(changed).toEqual(law === "pcmu" ? [0x7f] : [])
  })

  test("a sample becomes the nearest level", () => {
    const levels = [...decodeG711(law, codes)].toSorted((a, b) => a - b)
    const decoded = decodeG711(law, encodeG711(law, samples))
    for (let n = 0; n < samples.length; n += 37) {
      const sample = samples[n] ?? 0
      const nearest = Math.min(...levels.map((level) => Math.abs(level - sample)))
      expect(Math.abs((decoded[n] ?? 0) - sample)).toBe(nearest)
    }
  })
})

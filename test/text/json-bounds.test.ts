import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { excessOf, shapeFault } from "../../src/text/json-bounds.ts"

const bounds = { depth: 4, values: 20, length: 200, media: "audio" }
const of = (value: unknown) => excessOf(JSON.stringify(value), bounds)
const long = "x".repeat(300)

describe("depth", () => {
  test.each([
    ["[[[[]]]]", undefined],
    ["[[[[[]]]]]", "depth"],
    ['{"a":[{"b":[1]}]}', undefined],
    ['{"a":[{"b":[[1]]}]}', "depth"],
    ['["[[[[[[[["]', undefined],
    ['["\\"[[[[[[[["]', undefined],
    ['["\\\\",[[[[1]]]]]', "depth"],
    ["[],[],[],[],[]", undefined],
  ] as const)("%s", (json, excess) => {
    expect(excessOf(json, bounds)).toBe(excess)
  })
})

describe("values", () => {
  test("counts commas and brackets, but not those in strings", () => {
    expect(of(Array(20).fill(1))).toBeUndefined()
    expect(of(Array(22).fill(1))).toBe("values")
    expect(of(Array(9).fill([]))).toBe("values")
    expect(of([",".repeat(50)])).toBeUndefined()
    expect(of(['","'.repeat(20)])).toBeUndefined()
  })
})

describe("length", () => {
  test("of strings, names, numbers and spaces", () => {
    for (const json of [`["${long}"]`, `{"${long}":1}`, `[${"1".repeat(300)}]`, `[${" ".repeat(300)}1]`]) {
      expect(excessOf(json, bounds)).toBe("length")
    }
    expect(excessOf(`["${'\\"'.repeat(300)}"]`, bounds)).toBe("length")
    expect(excessOf(`"${long}`, bounds)).toBe("length")
  })

  test("without the field for media, at any depth, with or without spaces", () => {
    expect(of({ audio: long })).toBeUndefined()
    expect(of({ a: [{ audio: long }, { audio: long }], b: "x" })).toBeUndefined()
    expect(excessOf(`{"audio" : \n "${long}"}`, bounds)).toBeUndefined()
  })

  test("with what only looks like it", () => {
    for (const value of [{ audios: long }, { a: "audio", b: long }, ["audio", long], { audio: [long] }]) {
      expect([value, of(value)]).toEqual([value, "length"])
    }
    expect(of({ audio: "", b: long })).toBe("length")
    expect(excessOf(`{"audio":"${'\\"'.repeat(300)}"}`, bounds)).toBe("length")
    expect(excessOf(`{"audio","${long}"`, bounds)).toBe("length")
  })
})

test("any JSON of two levels is within generous bounds, and outside of those below its length", () => {
  FastCheck.assert(
    FastCheck.property(FastCheck.json({ maxDepth: 2 }), (json) => {
      const generous = { depth: 4, values: json.length + 1, length: json.length }
      expect(excessOf(json, generous)).toBeUndefined()
      if (json.length > 2) expect(excessOf(json, { ...generous, length: 0 })).toBe("length")
    }),
  )
})

test("a shape that cannot be copied", () => {
  expect(shapeFault({ a: [{ b: 1 }], __proto__: { c: 1 } }, 3)).toBeUndefined()
  expect(shapeFault({ a: [{ b: 1 }] }, 2)).toBe("depth")
  expect(shapeFault(JSON.parse('[{"__proto__":1}]'), 3)).toBe("prototype")
  expect(shapeFault("__proto__", 0)).toBeUndefined()
})

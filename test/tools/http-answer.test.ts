import { expect, test } from "bun:test"
import { FastCheck as fc, Option } from "effect"
import { bodyText, minify } from "../../src/tools/http/answer.ts"

test("JSON loses the white space between its tokens only", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t", " \t "), (value, indent) => {
      const json = JSON.stringify(value, null, indent)
      expect(minify(json)).toBe(JSON.stringify(value))
    }),
  )
  expect(minify(' [ 12345678901234567890 ,\r\n"a \\" b" , "\\\\" , { } ]\n')).toBe(
    '[12345678901234567890,"a \\" b","\\\\",{}]',
  )
})

test("1 MB of escapes, of spaces and of short texts", () => {
  const contentType = "application/json"
  const read = (json: string) => bodyText({ bytes: new TextEncoder().encode(json), contentType })
  const escapes = `"${'\\"'.repeat(500_000)}"`
  expect(read(escapes)).toEqual(Option.some(escapes))
  expect(read(`[${" ".repeat(1_000_000)}1]`)).toEqual(Option.some("[1]"))
  expect(read(`[${'"a b", '.repeat(100_000)}1]`)).toEqual(Option.some(`[${'"a b",'.repeat(100_000)}1]`))
})

import { describe, expect, test } from "bun:test"
import { Duration, Option } from "effect"
import OpenAI from "openai"
import { toProviderError } from "../../../src/providers/openai/errors.ts"

/** As the SDK reads an answer of this status. */
const answered = (status: number, error: object = {}, headers: Record<string, string> = {}) =>
  toProviderError("llm")(OpenAI.APIError.generate(status, { error }, undefined, new Headers(headers)))

test.each([
  [400, "ProviderRefusedRequest", undefined],
  [401, "ProviderRefusedKey", undefined],
  [403, "ProviderRefusedKey", undefined],
  [404, "ProviderUnusable", false],
  [408, "ProviderUnusable", true],
  [409, "ProviderUnusable", true],
  [413, "ProviderUnusable", false],
  [422, "ProviderUnusable", false],
  [429, "ProviderRateLimited", undefined],
  [500, "ProviderUnusable", true],
  [503, "ProviderUnusable", true],
  [529, "ProviderUnusable", true],
] as const)("status %d", (status, tag, retryable) => {
  const error = answered(status)
  expect(error).toMatchObject({ _tag: tag, stage: "llm", ...(retryable === undefined ? {} : { retryable }) })
})

test.each([
  ["the provider's own sentence", { message: "Too many characters." }, "Too many characters."],
  ["one of ours where it gave none", {}, "The provider refused the request."],
  ["one of ours where it is no sentence", { message: { a: 1 } }, "The provider refused the request."],
])("a refused request says %s", (_, error, message) => {
  expect(answered(400, error)).toMatchObject({ message })
})

test.each([
  ["insufficient_quota", { _tag: "ProviderUnusable", kind: "no-credit", retryable: false }],
  ["rate_limit_exceeded", { _tag: "ProviderRateLimited" }],
])("a 429 of code %s", (code, error) => {
  expect(answered(429, { code })).toMatchObject({ ...error, details: { code } })
})

describe("Retry-After", () => {
  const wait = (headers: Record<string, string>) => {
    const error = answered(429, {}, headers)
    return "retryAfter" in error ? Option.map(error.retryAfter, Duration.toSeconds) : Option.none()
  }
  test.each([
    ["seconds", { "retry-after": "7" }, 7],
    ["a fraction", { "retry-after": "0.5" }, 0.5],
    ["OpenAI's milliseconds, which are more exact", { "retry-after-ms": "1234", "retry-after": "2" }, 1.234],
    ["a date that is past", { "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT" }, 0],
  ] as const)("as %s", (_, headers, seconds) => {
    expect(wait(headers)).toEqual(Option.some(seconds))
  })

  test("as a date to come", () => {
    const date = new Date(Date.now() + 60_000).toUTCString()
    expect(Math.abs(Option.getOrElse(wait({ "retry-after": date }), () => 0) - 60)).toBeLessThan(2)
  })

  test.each([{}, { "retry-after": "soon" }, { "retry-after": "" }] as const)("none in %j", (headers) => {
    expect(wait(headers)).toEqual(Option.none())
  })
})

test.each([
  [
    "a lost connection",
    new OpenAI.APIConnectionError({ cause: Object.assign(new Error("lost"), { code: "ECONNRESET" }) }),
    "ECONNRESET",
  ],
  [
    "an error within a stream",
    new OpenAI.APIError(undefined, { message: "busy" }, undefined, undefined),
    "APIError",
  ],
  ["broken JSON", new SyntaxError("Unexpected end of what was said"), "SyntaxError"],
  ["what is no error", "odd", "string"],
])("%s is worth another try", (_, cause, reason) => {
  expect(toProviderError("tts")(cause)).toMatchObject({
    _tag: "ProviderUnusable",
    stage: "tts",
    retryable: true,
    reason,
  })
})

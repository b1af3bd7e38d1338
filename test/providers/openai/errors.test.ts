import { describe, expect, test } from "bun:test"
import { Duration, Option } from "effect"
import OpenAI from "openai"
import { isUnserved, timedOut } from "../../../src/providers/errors.ts"
import { toProviderError } from "../../../src/providers/openai/errors.ts"
import { providerFetch } from "../../../src/providers/openai/fetch.ts"

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

test("a server that refuses is known from one that may have answered", async () => {
  for (const status of [400, 401, 402, 404, 413, 422, 429, 500, 503]) {
    expect([status, isUnserved(answered(status))]).toEqual([status, true])
  }
  const requested = async (url: string) =>
    fetch(url, { method: "POST", body: "{}" }).then(
      () => undefined,
      (cause: unknown) => toProviderError("llm")(new OpenAI.APIConnectionError({ cause: asError(cause) })),
    )
  const asError = (cause: unknown) => (cause instanceof Error ? cause : undefined)
  const closing = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: (socket) => void socket.end() },
  })
  const port = closing.port
  const lost = await requested(`http://127.0.0.1:${port}`)
  closing.stop(true)
  const unreached = await requested(`http://127.0.0.1:${port}`)
  const unknown = await requested("http://nowhere.invalid")
  expect([lost, unreached, unknown].map((error) => error !== undefined && isUnserved(error))).toEqual([
    false,
    true,
    true,
  ])
  expect(isUnserved(timedOut("llm", Duration.seconds(1)))).toBe(false)
})

/** An answer whose body is `text`, over the SDK. */
const refused = async (status: number, text: string) => {
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response(text, { status }) })
  const client = new OpenAI({
    apiKey: "sk-test",
    baseURL: `${server.url}`,
    maxRetries: 0,
    logLevel: "off",
    fetch: providerFetch,
  })
  const cause = await client.models.list().then(
    () => undefined,
    (cause: unknown) => cause,
  )
  return toProviderError("llm")(cause)
}

const long = "x".repeat(499)

test.each([
  ['{"error":{"message":"Too long."}}', "Too long."],
  ['{"error":"Too long."}', "Too long."],
  ['{"detail":"Too long."}', "Too long."],
  ['{"detail":[{"type":"missing","loc":["body","voice"],"msg":"Too long."}]}', "voice: Too long."],
  ['{"detail":{"message":"Too long."}}', "Too long."],
  ['{"detail":{"error":{"message":"Too long."}}}', "Too long."],
  ['{"message":"Too long."}', "Too long."],
  ['{"object":"error","message":{"detail":[{"msg":"Too long.","loc":["body","a",0]}]}}', "a.0: Too long."],
  ['{"errors":["Too long."]}', "Too long."],
  ['{"errors":[{"message":"Too long."}]}', "Too long."],
  ['{"error":{"errors":[{"reason":"a"}],"message":"Too long."}}', "Too long."],
  ['[{"error":{"code":400,"message":"Too long.","status":"INVALID_ARGUMENT"}}]', "Too long."],
  ['{"type":"error","error":{"type":"x","message":"Too long."}}', "Too long."],
  ['{"error":{"message":"","detail":"Too long."}}', "Too long."],
  ["Too long.", "Too long."],
  [" Too\nlong. ", "Too long."],
  [JSON.stringify({ error: { message: `${long}\u{1f600}` } }), long],
  [`${long}\u{1f600}`, long],
  ['{"error":{"message":"\\ud83d No."}}', "\ufffd No."],
  ...[
    "",
    "<html>Bad</html>",
    " <!doctype html>",
    "{}",
    "[]",
    "null",
    "5",
    '{"error":{"message":{"a":1}}}',
  ].map((body) => [body, "The provider refused the request."]),
])("the words of %s", async (body, message) => {
  expect(await refused(400, body)).toMatchObject({ _tag: "ProviderRefusedRequest", message })
})

const nested = (levels: number, open: string, close: string) =>
  `{"error":${open.repeat(levels)}${close.repeat(levels)}}`

test.each([
  ["lists", nested(200_000, "[", "]")],
  ["objects", nested(100_000, '{"error":', "}").replace(":}", ":1}")],
  ["a message of lists", nested(100_000, "[", "]").replace("error", "message")],
  ["lists without their ends", "[".repeat(200_000)],
])("a body of %s in each other has no words", async (_, body) => {
  for (const [status, _tag] of [
    [400, "ProviderRefusedRequest"],
    [401, "ProviderRefusedKey"],
    [404, "ProviderUnusable"],
  ] as const) {
    expect(await refused(status, body)).toMatchObject({ _tag, details: {} })
  }
  expect(await refused(400, body)).toMatchObject({ message: "The provider refused the request." })
})

test.each([
  [
    404,
    '{"error":{"message":"x","type":"invalid_request_error","param":null,"code":"model_not_found"}}',
    "no-model",
  ],
  [404, "404 page not found", "no-model"],
  [402, '{"error":{"message":"x","code":402}}', "no-credit"],
  [429, '{"error":{"message":"x","type":"insufficient_quota","code":null}}', "no-credit"],
  [403, '{"error":{"code":"insufficient_user_quota"}}', "no-credit"],
  [422, '{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"x"}]}', "refused-field"],
] as const)("a %d of %s is for the operator", async (status, body, kind) => {
  expect(await refused(status, body)).toMatchObject({ _tag: "ProviderUnusable", kind, retryable: false })
})

test.each([
  [
    '{"error":{"message":"x","type":"a_type","param":"messages[0].content","code":"a_code"}}',
    { type: "a_type", param: "messages[0].content", code: "a_code" },
  ],
  [
    '{"detail":[{"type":"extra_forbidden","loc":["body","x",0,"y"],"msg":"a b"}]}',
    { type: "extra_forbidden", param: "body.x.0.y" },
  ],
  [
    '[{"error":{"code":400,"message":"x","status":"INVALID_ARGUMENT"}}]',
    { code: "400", type: "INVALID_ARGUMENT" },
  ],
  ['{"error":{"message":"x","code":"You said hello","type":{"a":1},"param":["x"]}}', {}],
  ["Hello.", {}],
] as const)("the names in %s are for the log", async (body, details) => {
  for (const status of [400, 401, 422, 500]) {
    const error = await refused(status, body)
    expect(error.details).toEqual(details)
  }
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

  test.each([
    ["requests", { "x-ratelimit-reset-requests": "1s" }, 1],
    ["minutes", { "x-ratelimit-reset-tokens": "6m0s" }, 360],
    ["milliseconds", { "x-ratelimit-reset-requests": "12ms" }, 0.012],
    ["hours", { "x-ratelimit-reset-requests": "1h2m3.5s" }, 3723.5],
    ["plain seconds", { "x-ratelimit-reset-requests": "7.5" }, 7.5],
    ["both: the later", { "x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "9s" }, 9],
    [
      "both: the one that is used up",
      {
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-tokens": "9s",
        "x-ratelimit-remaining-tokens": "100",
      },
      1,
    ],
    [
      "both: the one that says nothing of what remains",
      {
        "x-ratelimit-reset-requests": "2s",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-remaining-tokens": "300",
      },
      2,
    ],
    ["the standard's seconds", { "ratelimit-reset": "8" }, 8],
    ["a time that is past", { "x-ratelimit-reset": "1700000000" }, 0],
    ["a time that is past, in ms", { "x-ratelimit-reset": "1700000000000" }, 0],
    ["less than Retry-After", { "retry-after": "2", "x-ratelimit-reset-requests": "9s" }, 2],
  ] as const)("from the headers of a rate limit: %s", (_, headers, seconds) => {
    expect(wait(headers)).toEqual(Option.some(seconds))
  })

  test("from a time to come", () => {
    const reset = String(Date.now() + 60_000)
    for (const headers of [{ "x-ratelimit-reset": reset }, { "x-ratelimit-reset": reset.slice(0, 10) }]) {
      expect(Math.abs(Option.getOrElse(wait(headers), () => 0) - 60)).toBeLessThan(2)
    }
  })

  test("not from the headers of a rate limit on another error", () => {
    expect(answered(500, {}, { "x-ratelimit-reset-requests": "9s" })).toMatchObject({
      retryAfter: Option.none(),
    })
  })

  test.each([
    {},
    { "x-ratelimit-reset-requests": "soon" },
    { "x-ratelimit-reset": "" },
    { "retry-after": "soon" },
    { "retry-after": "" },
    { "x-ratelimit-remaining-tokens": "300", "x-ratelimit-reset-tokens": "6m0s" },
    {
      "x-ratelimit-remaining-tokens": "300",
      "x-ratelimit-reset-tokens": "6m0s",
      "x-ratelimit-remaining-requests": "1",
      "x-ratelimit-reset-requests": "8.64s",
    },
    { "x-ratelimit-remaining": "12", "x-ratelimit-reset": "360" },
    { "ratelimit-remaining": "12", "ratelimit-reset": "360" },
  ] as const)("none in %j", (headers) => {
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

const gemini = (message: string, reason: string) => [
  {
    error: {
      code: 400,
      message,
      status: "INVALID_ARGUMENT",
      details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "googleapis.com" }],
    },
  },
]

test.each([
  [400, gemini("API key not valid. Please pass a valid API key.", "API_KEY_INVALID")],
  [400, gemini("API key expired. Please renew the API key.", "API_KEY_INVALID")],
  [400, gemini("x", "API_KEY_INVALID")],
  [400, gemini("API key not valid. Please pass a valid API key.", "x")],
  [
    400,
    [
      {
        error: { code: 400, message: "Missing or invalid Authorization header.", status: "INVALID_ARGUMENT" },
      },
    ],
  ],
  [400, { code: "Client specified an invalid argument", error: "Incorrect API key provided: xa***cd." }],
  [400, { errors: [{ code: 6111, message: "Invalid format for Authorization header" }] }],
  [400, { errors: [{ code: 10000, message: "Authentication error" }] }],
  [404, { error: { message: "x", type: "authentication_error" } }],
  [404, { error: { code: "InvalidApiKey", message: "x" } }],
  [404, { error: { message: "Invalid API key" } }],
  [400, { detail: "API key is missing" }],
  [400, "The provided API key is invalid."],
  [422, { detail: { status: "invalid_api_key", message: "x" } }],
] as const)("a %d for the key: %j", async (status, body) => {
  const error = await refused(status, typeof body === "string" ? body : JSON.stringify(body))
  expect(error._tag).toBe("ProviderRefusedKey")
})

test.each([
  'Invalid prompt: "my API key is not valid" was flagged.',
  "Your request was flagged: API key invalid",
  "Invalid value for max_tokens. See the API keys page.",
  "The token limit is invalid.",
  "Invalid token in the prompt",
  "Unknown key: temperature",
  "Missing required parameter: key",
])("a 400 that is not for the key: %s", async (message) => {
  expect(await refused(400, JSON.stringify({ error: { message } }))).toMatchObject({
    _tag: "ProviderRefusedRequest",
  })
})

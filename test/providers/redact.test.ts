import { expect, test } from "bun:test"
import { Duration, Effect, Option, Redacted } from "effect"
import {
  type ProviderError,
  ProviderRateLimited,
  ProviderRefusedKey,
  ProviderRefusedRequest,
  ProviderUnusable,
} from "../../src/providers/errors.ts"
import { redactor } from "../../src/providers/redact.ts"
import { makeServers } from "../../src/providers/servers.ts"
import { newId, TurnId } from "../../src/schema.ts"
import { serverSettings } from "../support/openai-client.ts"

const key = "vk.Secret~/9f3b7a"
const settings = serverSettings(
  "https://user:p%40ssw0rd@host.example/v1?api-version=2024-06-01&code_key=abc-123-xyz",
  {
    apiKey: Redacted.make(key),
    extraBody: { api_key: "second.secret", reasoning_effort: "high" },
  },
)

const messageOf = (message: string, server = settings) => {
  const error = redactor(server)(new ProviderRefusedRequest({ stage: "llm", message }))
  return error._tag === "ProviderRefusedRequest" ? error.message : error._tag
}

test.each([
  ["the key", `The key ${key} is bad.`, "The key *** is bad."],
  ["the key twice", `${key}${key}`, "******"],
  ["the key in a URL", `?q=${encodeURIComponent(key)}.`, "?q=***."],
  ["the key cut off", `Bad: ${key.slice(0, 12)}`, "Bad: ***"],
  ["the key with an ellipsis", `Bad: ${key.slice(0, 11)}...`, "Bad: ***..."],
  ["a secret of EXTRA_BODY", "Bad: second.secret", "Bad: ***"],
  ["a secret of the base URL", "abc-123-xyz and p@ssw0rd", "*** and ***"],
  ["a key of another service", "Incorrect: sk-proj-ab12-cd34_x.", "Incorrect: ***."],
  ["a key with an underscore", "Incorrect: sk_0123abcd", "Incorrect: ***"],
  ["a key of Groq", "gsk_abcdefgh1234", "***"],
  ["a key of Google", `key AIza${"Sy0".repeat(11)}`, "key ***"],
  [
    "a token",
    "Header 'Authorization: Bearer abc.def-123' is bad",
    "Header 'Authorization: Bearer ***' is bad",
  ],
  ["a JSON Web Token", "bad eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln!", "bad ***!"],
  ["a parameter", "POST /v1?api_key=abcdef&x=1", "POST /v1?api_key=***&x=1"],
  ["a long token", `token ${"0123456789abcdef".repeat(2)}`, "token ***"],
])("a message does not repeat %s", (_, message, clean) => {
  expect(messageOf(message)).toBe(clean)
})

test.each([
  "Incorrect API key provided: vk.Secr***f3.",
  "Incorrect API key provided: sk-ab***cd.",
  "The reasoning_effort high and the api-version 2024-06-01 are unknown.",
  "Bearer authentication required. Use a Bearer token.",
  "Request id req_0123456789abcdef0123456789abcdef",
  "Request id 123e4567-e89b-12d3-a456-426614174000",
  "gpt-4o-mini-transcribe-2025-12-15 and meta-llama/Llama-3.3-70B-Instruct-Turbo-Free",
  "Kraftfahrzeughaftpflichtversicherungen sind teuer. sk-x",
  "disk-usage-exceeded, task_identifiers",
  "x".repeat(500),
])("a message keeps %s", (message) => {
  expect(messageOf(message)).toBe(message)
})

test("a word in place of a key stays", () => {
  const local = serverSettings("http://localhost/v1", { apiKey: Redacted.make("ollama") })
  expect(messageOf("ollama has none of these models", local)).toBe("ollama has none of these models")
  const named = serverSettings("http://localhost/v1", { apiKey: Redacted.make("sk-1") })
  expect(messageOf("no key sk-1", named)).toBe("no key ***")
})

const details = { code: key, type: "sk-secret123", param: "messages" }
const retryAfter = Option.none()
const errors: ReadonlyArray<ProviderError> = [
  new ProviderRefusedRequest({ stage: "llm", message: key, details }),
  new ProviderRefusedKey({ stage: "llm", details }),
  new ProviderRateLimited({ stage: "llm", retryAfter, details }),
  new ProviderUnusable({
    stage: "llm",
    reason: `ended with ${key}`,
    retryable: false,
    kind: "no-model",
    retryAfter,
    details,
  }),
]

test.each(errors.map((error) => [error._tag, error] as const))(
  "a server's %s has no secret",
  async (_, error) => {
    const attempt = Effect.gen(function* () {
      const servers = yield* makeServers(
        "llm",
        { ...settings, fallback: Option.none() },
        { breakerFailures: 0, breakerPause: Duration.seconds(1) },
        () => Effect.succeed({ call: Effect.fail(error) }),
      )
      return yield* Effect.flip(servers.attempt({ turnId: newId(TurnId), model: "m" }, (call) => call))
    })
    const failure = await Effect.runPromise(attempt)
    expect(failure).toMatchObject({ _tag: error._tag, details: { param: "messages" } })
    expect(failure.details).toEqual({ param: "messages" })
    expect(JSON.stringify(failure)).not.toContain("ecret")
  },
)

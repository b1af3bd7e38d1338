import { expect, test } from "bun:test"
import { SecretValue } from "../../src/accounts/model.ts"
import { clientSecretRequest } from "../../src/http/realtime-payloads.ts"
import { strictBody } from "../../src/http/strict-body.ts"
import { ToolResults } from "../../src/http/tool-results.ts"
import { NewWebhook, ReplayRange, SecretRotation, WebhookChanges } from "../../src/webhooks/model.ts"

const ofTheClass = (field: string, known: string) => [
  { path: field.split(".").map((each) => (/^\d$/.test(each) ? Number(each) : each)), message: known },
]
const fields = (known: string) => `is not a field here; the fields are ${known}`
const result = { callId: "a", output: "1" }

test.each([
  [strictBody(SecretRotation), { grace: 0 }, "grace", "graceSeconds"],
  [strictBody(SecretRotation), { graceSeconds: 0, GraceSeconds: 1 }, "GraceSeconds", "graceSeconds"],
  [strictBody(NewWebhook), { transcript: true }, "transcript", "url, events, transcripts, enabled"],
  [strictBody(WebhookChanges), { enable: true }, "enable", "url, events, transcripts, enabled"],
  [
    strictBody(WebhookChanges),
    JSON.parse('{"__proto__":{}}'),
    "__proto__",
    "url, events, transcripts, enabled",
  ],
  [strictBody(ReplayRange), { form: "2026-01-01" }, "form", "from, to, state"],
  [strictBody(SecretValue), { value: "x", name: "y" }, "name", "value"],
  [strictBody(ToolResults), { results: [result], turnId: "x" }, "turnId", "results"],
  [
    strictBody(ToolResults),
    { results: [{ ...result, iserror: true }] },
    "results.0.iserror",
    "callId, output, isError",
  ],
  [clientSecretRequest, { expires: 1 }, "expires", "expires_after, agent, session"],
  [clientSecretRequest, { expires_after: { second: 1 } }, "expires_after.second", "anchor, seconds"],
] as const)("%# refuses", async (body, value, field, known) => {
  expect(await body["~standard"].validate(value)).toEqual({ issues: ofTheClass(field, fields(known)) })
})

test("ignores fields that are shown", async () => {
  const body = strictBody(WebhookChanges, ["id"])
  expect(await body["~standard"].validate({ id: "x", enabled: false })).toEqual({ value: { enabled: false } })
})

import { expect, test } from "bun:test"
import { Either } from "effect"
import { parseDefinition } from "../../src/agent/read-definition.ts"

const refused = (more: object) =>
  Either.match(parseDefinition({ name: "A", ...more }), {
    onLeft: ({ field, reason }) => `${field}: ${reason}`,
    onRight: () => "taken",
  })

const url = "https://example.com/"
const mcp = "type, name, url, headers, program, tools, idempotentTools, timeoutSeconds, maxResultBytes"
const http =
  "type, name, description, parameters, method, url, headers, timeoutSeconds, isIdempotent, maxResultBytes"

test.each([
  [
    { tools: [{ type: "http", name: "a", url, header: {} }] },
    `tools.0.header: is not a field here; the fields are ${http}`,
  ],
  [
    { tools: [{ type: "mcp", name: "a", url, filter: [] }] },
    `tools.0.filter: is not a field here; the fields are ${mcp}`,
  ],
  [
    { tools: [{ type: "client", name: "a", url }] },
    "tools.0.url: is not a field here; the fields are type, name, description, parameters",
  ],
  [
    { tools: [{ type: "builtin", name: "a", url }] },
    "tools.0.url: is not a field here; the fields are type, name",
  ],
  [{ tts: { speed: 1 } }, "tts.speed: is not a field here; the fields are model, voice"],
  [{ stt: { language: "en" } }, "stt.language: is not a field here; the fields are model"],
])("an unknown field is told the fields there are #%#", (more, sentence) =>
  expect(refused(more)).toBe(sentence),
)

test("an unknown field of an agent", () => {
  expect(refused({ instruction: "x" })).toStartWith(
    "instruction: is not a field of an agent; the fields are name, instructions, ",
  )
})

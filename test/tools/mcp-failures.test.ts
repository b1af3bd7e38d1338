import { expect, test } from "bun:test"
import { ConnectionFailed, HostNotFound, OutboundTimeout, UrlRefused } from "../../src/outbound/errors.ts"
import { explainMcpToOwner, McpFailed, mcpReason, unavailable } from "../../src/tools/mcp/errors.ts"
import { makeSession } from "../../src/tools/mcp/session.ts"

const target = { kind: "http", url: "https://mcp.test/", headers: {} } as const
const on = { tools: () => {}, closed: () => {} }

/** Why a session with a server that answers so does not open, as the log says it. */
const reasonOf = async (fetch: () => Promise<Response>) => {
  const failure: unknown = await makeSession(target, fetch, on)
    .open(new AbortController().signal)
    .catch((error: unknown) => error)
  return failure instanceof McpFailed ? mcpReason(failure) : failure
}

test.each([
  [new ConnectionFailed({ phase: "connect" }), "ConnectionFailed connect"],
  [new ConnectionFailed({ phase: "cut" }), "ConnectionFailed cut"],
  [new HostNotFound(), "HostNotFound"],
  [new OutboundTimeout({ phase: "connect", seconds: 5 }), "OutboundTimeout connect"],
  [new UrlRefused({ reason: "is too long" }), "UrlRefused"],
] as const)("a request that fails #%#", async (error, reason) =>
  expect(await reasonOf(() => Promise.reject(error))).toBe(reason),
)

const html = { headers: { "content-type": "text/html" } }

test.each([
  ["status 404", () => new Response("none", { status: 404 })],
  ["status 401", () => new Response("none", { status: 401 })],
  ["status 503", () => new Response("none", { status: 503 })],
  ["unexpected", () => new Response("<p>Hello</p>", html)],
  ["unexpected", () => Response.json({ hello: 1 })],
] as const)("an answer that is no MCP: %s", async (reason, answer) =>
  expect(await reasonOf(() => Promise.resolve(answer()))).toBe(reason),
)

test.each([
  [new McpFailed({ kind: "program" }), "The program of its MCP server cannot be started."],
  [new McpFailed({ kind: "closed" }), "ended before it had answered."],
  [new McpFailed({ kind: "status", words: "404" }), "answered with status 404. Check the URL of the tool."],
  [
    new McpFailed({ kind: "status", words: "401" }),
    "status 401. Check the headers and the secrets of the tool.",
  ],
  [new McpFailed({ kind: "status", words: "503" }), "status 503. Ask the operator of that server."],
  [new McpFailed({ kind: "unexpected" }), "Check that the URL is that of an MCP server"],
  [undefined, "Its MCP server has not answered yet."],
])("the owner reads why the last try failed #%#", (reason, sentence) =>
  expect(explainMcpToOwner(unavailable(reason))).toContain(sentence),
)

test("the owner does not read the words of a server", () => {
  const refused = new McpFailed({ kind: "refused", words: "no Bearer s-123456" })
  expect(explainMcpToOwner(unavailable(refused))).not.toContain("s-123456")
})

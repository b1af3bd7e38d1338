import { expect, test } from "bun:test"
import { ConnectionFailed, HostNotFound, OutboundTimeout, UrlRefused } from "../../src/outbound/errors.ts"
import { McpFailed, mcpReason } from "../../src/tools/mcp/errors.ts"
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

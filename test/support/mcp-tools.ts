/** An MCP server by the official SDK, with tools that behave in the ways of the tests. */
import { McpServer } from "@modelcontextprotocol/server"
import { z } from "zod"

export interface McpToolsOptions {
  /** Ends the server in the middle of a call. */
  readonly die: () => void
  /** Sees every call of `count`. */
  readonly onCount?: (idempotencyKey: unknown) => void
  /** A call of `hangs` was cancelled. */
  readonly onCancel?: () => void
}

const text = (text: string) => ({ content: [{ type: "text" as const, text }] })

export const makeMcpTools = ({ die, onCount, onCancel }: McpToolsOptions): McpServer => {
  const server = new McpServer({ name: "test", version: "1.0.0" })
  const none = z.object({})
  server.registerTool(
    "echo",
    { description: "Says it again.", inputSchema: z.object({ text: z.string() }) },
    ({ text: given }) => text(given),
  )
  server.registerTool("pid", { inputSchema: none }, () =>
    text(`${process.pid} ${process.env.MCP_TEST ?? "unset"}`),
  )
  server.registerTool("count", { inputSchema: none }, (_, { mcpReq }) => {
    const key = mcpReq._meta?.["voice-agent/idempotency-key"]
    onCount?.(key)
    return text(`${key}`)
  })
  server.registerTool("fails", { inputSchema: none }, () => ({ ...text("no such order"), isError: true }))
  server.registerTool("throws", { inputSchema: none }, () => {
    throw new Error("broken inside")
  })
  server.registerTool("big", { inputSchema: none }, () => text("ü".repeat(100_000)))
  server.registerTool("empty", { inputSchema: none }, () => ({ content: [] }))
  server.registerTool("mixed", { inputSchema: none }, () => ({
    content: [
      { type: "text", text: "see" },
      { type: "image", data: "AAAA", mimeType: "image/png" },
      { type: "audio", data: "AAAA", mimeType: "audio/wav" },
      { type: "resource", resource: { uri: "file:///a.txt", text: "inside" } },
      { type: "resource", resource: { uri: "file:///b.bin", mimeType: "a/b", blob: "AAAA" } },
      { type: "resource_link", uri: "file:///c.txt", name: "c" },
    ],
  }))
  server.registerTool(
    "structured",
    { inputSchema: none, outputSchema: z.object({ degrees: z.number() }) },
    () => ({ content: [], structuredContent: { degrees: 21 } }),
  )
  server.registerTool("hangs", { inputSchema: none }, (_, { mcpReq }) => {
    mcpReq.signal.addEventListener("abort", () => onCancel?.())
    return new Promise<never>(() => undefined)
  })
  server.registerTool("huge", { inputSchema: none }, () => text("a".repeat(1024 ** 2)))
  server.registerTool("large", { inputSchema: none }, () => text("a".repeat(1_000_000)))
  server.registerTool("dies", { inputSchema: none }, () => {
    die()
    return new Promise<never>(() => undefined)
  })
  server.registerTool("name.with.dots", { inputSchema: none }, () => text("named"))
  let version = 1
  const changing = server.registerTool("changing", { inputSchema: z.object({ one: z.string() }) }, () =>
    text("1"),
  )
  server.registerTool("change", { inputSchema: none }, () => {
    version += 1
    changing.update({ description: `Version ${version}`, paramsSchema: z.object({ two: z.string() }) })
    return text("changed")
  })
  return server
}

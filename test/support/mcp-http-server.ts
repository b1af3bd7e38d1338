/** The MCP server of the tests over HTTP: with sessions, or by the protocol of 2026. */
import { createMcpHandler, WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/server"
import { makeMcpTools } from "./mcp-tools.ts"

export interface McpHttpServer {
  readonly url: string
  /** The headers of every request. */
  readonly requests: ReadonlyArray<Headers>
  /** The idempotency keys of all calls of `count`. */
  readonly counted: ReadonlyArray<unknown>
  /** Resolves when a call of `hangs` is cancelled. */
  readonly cancelled: Promise<void>
  /** Forgets all sessions, as a restart does. */
  readonly forget: () => void
  /** Answers every request with this. */
  readonly answer: (with_: ((request: Request) => Response | Promise<Response>) | undefined) => void
  readonly stop: () => Promise<void>
}

export const startMcpHttpServer = ({
  protocol,
}: {
  readonly protocol: "sessions" | "json" | "modern"
}): McpHttpServer => {
  const requests: Array<Headers> = []
  const counted: Array<unknown> = []
  const { promise: cancelled, resolve: onCancel } = Promise.withResolvers<void>()
  const sessions = new Map<string, WebStandardStreamableHTTPServerTransport>()
  let instead: ((request: Request) => Response | Promise<Response>) | undefined
  const make = () =>
    makeMcpTools({
      die: () => {
        void server.stop(true)
      },
      onCount: (key) => counted.push(key),
      onCancel,
    })
  const modern = createMcpHandler(make)

  const withSession = async (request: Request): Promise<Response> => {
    const id = request.headers.get("mcp-session-id")
    if (id !== null)
      return (await sessions.get(id)?.handleRequest(request)) ?? new Response("", { status: 404 })
    const transport: WebStandardStreamableHTTPServerTransport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      enableJsonResponse: protocol === "json",
      onsessioninitialized: (id) => {
        sessions.set(id, transport)
      },
    })
    await make().connect(transport)
    return transport.handleRequest(request)
  }

  const start = (port: number) =>
    Bun.serve({
      port,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request) => {
        requests.push(request.headers)
        if (instead !== undefined) return instead(request)
        return protocol === "modern" ? modern.fetch(request) : withSession(request)
      },
    })
  const server = start(0)
  return {
    url: `http://127.0.0.1:${server.port}/mcp`,
    requests,
    counted,
    cancelled,
    forget: () => sessions.clear(),
    answer: (given) => {
      instead = given
    },
    stop: () => server.stop(true),
  }
}

/** A server of a tool, over real HTTP or HTTPS, that answers as its test says, also against the protocol. */
import { readFileSync } from "node:fs"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import { createServer as createRawServer, type Socket } from "node:net"
import type { Certificate } from "./certificates.ts"

export interface ToolRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

export interface ToolServer {
  /** By its address, `127.0.0.1`. */
  readonly url: string
  readonly port: number
  readonly requests: ReadonlyArray<ToolRequest>
  /** Resolves when a connection of the server has ended. */
  readonly hungUp: Promise<void>
  readonly stop: () => Promise<void>
}

type Answer = (answer: ServerResponse, request: ToolRequest) => void

const listen = async (server: {
  listen: (port: number, host: string, done: () => void) => unknown
  address: () => unknown
}): Promise<number> => {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done))
  const address = server.address()
  if (typeof address === "object" && address !== null && "port" in address) return Number(address.port)
  throw new Error("The server has no port.")
}

const read = async (request: IncomingMessage): Promise<ToolRequest> => {
  let body = ""
  for await (const chunk of request) body += chunk
  return {
    method: request.method ?? "",
    path: request.url ?? "",
    headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, `${value}`])),
    body,
  }
}

export const startToolServer = async (answer: Answer, tls?: Certificate): Promise<ToolServer> => {
  const requests: Array<ToolRequest> = []
  const { promise: hungUp, resolve: onHangUp } = Promise.withResolvers<void>()
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const request = await read(incoming)
    requests.push(request)
    outgoing.on("close", onHangUp)
    answer(outgoing, request)
  }
  const server: Server =
    tls === undefined
      ? createServer(handle)
      : createTlsServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, handle)
  const port = await listen(server)
  return {
    url: `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    port,
    requests,
    hungUp,
    stop: () =>
      new Promise((stopped) => {
        server.close(() => stopped())
        server.closeAllConnections()
      }),
  }
}

/** Writes what it likes as soon as a request is there. */
export const startRawServer = async (
  answer: (socket: Socket) => void,
): Promise<Pick<ToolServer, "url" | "port" | "hungUp" | "stop">> => {
  const open = new Set<Socket>()
  const { promise: hungUp, resolve: onHangUp } = Promise.withResolvers<void>()
  const server = createRawServer((socket) => {
    open.add(socket)
    socket
      .on("error", () => undefined)
      .on("close", () => {
        open.delete(socket)
        onHangUp()
      })
    socket.once("data", () => answer(socket))
  })
  const port = await listen(server)
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    hungUp,
    stop: () =>
      new Promise((stopped) => {
        server.close(() => stopped())
        for (const socket of open) socket.destroy()
      }),
  }
}

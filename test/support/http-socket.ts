/**
 * HTTP/1.1 on bare sockets, for a test server that breaks the protocol on purpose: a server library does not reset a
 * connection in the middle of a chunk, or end it short of its Content-Length.
 */
import { createServer, type Server, type Socket } from "node:net"

export interface Incoming {
  readonly method: string
  /** Without the query string. */
  readonly path: string
  /** Names in lower case; a repeated header is joined by ", ". */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** How the end of the body is marked. */
export type Framing = { readonly length: number } | "chunked"

/** One request, and the functions to answer it correctly or not. */
export interface Exchange {
  readonly request: Incoming
  /** The index of its connection, in the order in which they were opened. */
  readonly connection: number
  /** Aborted when either side ends the connection before the response is complete. */
  readonly lost: AbortSignal
  /** True if the client closed the connection. */
  readonly clientLeft: () => boolean
  readonly head: (status: number, headers: Readonly<Record<string, string>>, framing: Framing) => void
  /** Resolves when the socket accepts more bytes. */
  readonly send: (bytes: Uint8Array) => Promise<void>
  readonly end: () => void
  /** `reset`: RST at once. `close`: FIN after what was sent, so the response is too short. */
  readonly breakOff: (how: "reset" | "close") => void
}

export interface HttpSocketServer {
  readonly port: number
  readonly openConnections: () => number
  /** Closes connections at once: all, or those with an unanswered request. */
  readonly drop: (which: "all" | "busy") => void
  readonly stop: () => Promise<void>
}

export interface HttpSocketOptions {
  readonly port?: number
  readonly host?: string
  readonly onConnectionClosed?: () => void
}

/** Serves `handle` on 127.0.0.1, with kept-alive connections and one request at a time on each. */
export const listenHttp = async (
  handle: (exchange: Exchange) => Promise<void>,
  options: HttpSocketOptions = {},
): Promise<HttpSocketServer> => {
  const connections = new Map<Socket, { busy: boolean; dropped: boolean }>()
  let opened = 0
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const state = { busy: false, dropped: false }
    connections.set(socket, state)
    socket.on("close", () => {
      connections.delete(socket)
      options.onConnectionClosed?.()
    })
    void serveConnection(
      socket,
      opened++,
      () => state.dropped,
      async (exchange) => {
        state.busy = true
        await handle(exchange)
        state.busy = false
      },
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve)
  })
  const drop = (which: "all" | "busy") => {
    for (const [socket, state] of connections) {
      if (which === "busy" && !state.busy) continue
      state.dropped = true
      socket.destroy()
    }
  }
  return {
    port: portOf(server),
    openConnections: () => connections.size,
    drop,
    stop: async () => {
      server.close()
      const closed = [...connections.keys()].map(
        (socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
      )
      drop("all")
      await Promise.all(closed)
    },
  }
}

const portOf = (server: Server): number => {
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the server has no TCP port")
  return address.port
}

const serveConnection = async (
  socket: Socket,
  connection: number,
  dropped: () => boolean,
  handle: (exchange: Exchange) => Promise<void>,
) => {
  const reader = new SocketReader(socket)
  for (;;) {
    const request = await readRequest(reader, socket)
    if (request === undefined) break
    const exchange = openExchange(socket, connection, dropped, request)
    await handle(exchange)
    if (!exchange.reusable()) return
  }
  socket.end()
}

const openExchange = (socket: Socket, connection: number, dropped: () => boolean, request: Incoming) => {
  const lost = new AbortController()
  let state: "open" | "ended" | "broken" = "open"
  let clientLeft = false
  let chunked = false
  const onLost = () => {
    if (state !== "open") return
    clientLeft = !dropped()
    lost.abort()
  }
  const events = ["end", "close", "error"]
  for (const event of events) socket.on(event, onLost)
  const finish = (to: "ended" | "broken") => {
    state = to
    for (const event of events) socket.off(event, onLost)
  }
  const keepAlive = request.headers.connection?.toLowerCase() !== "close"
  return {
    request,
    connection,
    lost: lost.signal,
    clientLeft: () => clientLeft,
    reusable: () => state === "ended" && keepAlive,
    head: (status: number, headers: Readonly<Record<string, string>>, framing: Framing) => {
      chunked = framing === "chunked"
      const lines = Object.entries({
        ...headers,
        ...(framing === "chunked"
          ? { "transfer-encoding": "chunked" }
          : { "content-length": String(framing.length) }),
        connection: keepAlive ? "keep-alive" : "close",
      }).map(([name, value]) => `${name}: ${value}\r\n`)
      socket.write(`HTTP/1.1 ${status} Scripted\r\n${lines.join("")}\r\n`, "latin1")
    },
    send: async (bytes: Uint8Array) => {
      if (bytes.length === 0 || lost.signal.aborted) return
      const framed = chunked
        ? Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, CRLF])
        : bytes
      if (!socket.write(framed)) await drained(socket, lost.signal)
    },
    end: () => {
      if (state !== "open" || lost.signal.aborted) return
      if (chunked) socket.write("0\r\n\r\n")
      finish("ended")
      if (!keepAlive) socket.end()
    },
    breakOff: (how: "reset" | "close") => {
      finish("broken")
      if (how === "reset") socket.resetAndDestroy()
      else socket.end()
    },
  }
}

const CRLF = Buffer.from("\r\n")

const drained = (socket: Socket, lost: AbortSignal) =>
  new Promise<void>((resolve) => {
    const done = () => {
      socket.off("drain", done)
      lost.removeEventListener("abort", done)
      resolve()
    }
    socket.on("drain", done)
    lost.addEventListener("abort", done)
  })

/** The next request. Undefined if the client disconnected before it was complete. */
const readRequest = async (reader: SocketReader, socket: Socket): Promise<Incoming | undefined> => {
  const head = await reader.until("\r\n\r\n")
  if (head === undefined) return undefined
  const [requestLine = "", ...lines] = head.toString("latin1").split("\r\n")
  const [method = "", target = ""] = requestLine.split(" ")
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const colon = line.indexOf(":")
    if (colon < 1) continue
    const name = line.slice(0, colon).toLowerCase()
    const value = line.slice(colon + 1).trim()
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`
  }
  if (headers.expect?.toLowerCase() === "100-continue") socket.write("HTTP/1.1 100 Continue\r\n\r\n")
  const body =
    headers["transfer-encoding"] === undefined
      ? await reader.bytes(Number(headers["content-length"] ?? 0))
      : await readChunks(reader)
  if (body === undefined) return undefined
  return { method, path: target.split("?")[0] ?? target, headers, body }
}

const readChunks = async (reader: SocketReader): Promise<Buffer | undefined> => {
  const chunks: Buffer[] = []
  for (;;) {
    const line = await reader.until("\r\n")
    if (line === undefined) return undefined
    const size = Number.parseInt(line.toString("latin1"), 16)
    const chunk = await reader.bytes(size)
    if (chunk === undefined || (await reader.until("\r\n")) === undefined) return undefined
    if (size === 0) return Buffer.concat(chunks)
    chunks.push(chunk)
  }
}

/** Reads exact numbers of bytes from a socket. */
class SocketReader {
  #chunks: Buffer[] = []
  #size = 0
  #ended = false
  #wake = () => {}

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#size += chunk.length
      this.#wake()
    })
    for (const event of ["end", "close", "error"]) {
      socket.on(event, () => {
        this.#ended = true
        this.#wake()
      })
    }
  }

  async bytes(length: number): Promise<Buffer | undefined> {
    while (this.#size < length) if (!(await this.#more())) return undefined
    return this.#take(length, 0)
  }

  /** The bytes before `mark`. Consumes the mark too. */
  async until(mark: string): Promise<Buffer | undefined> {
    for (;;) {
      const all = this.#joined()
      const at = all.indexOf(mark)
      if (at >= 0) return this.#take(at, mark.length)
      if (!(await this.#more())) return undefined
    }
  }

  #joined(): Buffer {
    const [first] = this.#chunks
    const all = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  #take(length: number, skip: number): Buffer {
    const all = this.#joined()
    this.#size -= length + skip
    this.#chunks = this.#size === 0 ? [] : [all.subarray(length + skip)]
    return all.subarray(0, length)
  }

  /** False at the end of the stream. */
  async #more(): Promise<boolean> {
    if (this.#ended) return false
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    return true
  }
}

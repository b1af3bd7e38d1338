/** A proxy in front of PostgreSQL that can break, stall, delay and record the connections of a service. */
import { connect, createServer, type Socket } from "node:net"

export interface TcpProxy {
  /** The URL of the database through the proxy. */
  readonly url: string
  /** The SQL of each statement since the start or the last `forget`, in order. */
  readonly statements: () => ReadonlyArray<string>
  readonly forget: () => void
  /** Bytes to and from the database since the start or the last `forget`, with those of the protocol. */
  readonly bytes: () => number
  /** The number of open connections. */
  readonly connections: () => number
  /** Ends every connection, and each new one, until `restore`. */
  readonly cut: () => void
  /** Drops everything silently until `restore`. */
  readonly stall: () => void
  readonly restore: () => void
  /** Like a power failure of the server: open connections are silent for ever, new ones work. */
  readonly vanish: () => void
  /** New connections go to another server, or are refused with this SQLSTATE. Without an argument: to the database again. */
  readonly redirect: (to?: string | { readonly refusal: string }) => void
  /** The number of connections refused in this way. */
  readonly refused: () => number
  /** Like a pooler: new connections get a process id that does not exist, until `restore`. */
  readonly inventProcessIds: () => void
  /** Delays everything by this many ms in each direction, until `restore`. */
  readonly slow: (ms: number) => void
  /** Ends every open connection. */
  readonly drop: () => void
  /**
   * Ends the connection of the next matching statement: `before` the server sees it, or `after` it ran, so that its answer
   * is lost; or lets all `vanish`. Repeated for later matching statements, `times` in all (1).
   */
  readonly breakOn: (statement: RegExp, when: "before" | "after" | "vanish", times?: number) => void
  readonly stop: () => Promise<void>
}

export const startTcpProxy = async (databaseUrl: string): Promise<TcpProxy> => {
  let target: URL | { readonly refusal: string } = new URL(databaseUrl)
  const open = new Set<Socket>()
  /** Connections on which everything is dropped. */
  const silent = new WeakSet<Socket>()
  let delayMs = 0
  const statements: Array<string> = []
  let passedBytes = 0
  let refused = 0
  let processIdsAreInvented = false
  /** Data that waits for the end of a stall. */
  const held: Array<() => void> = []
  let way: "open" | "cut" | "stalled" = "open"
  let trap:
    | { readonly statement: RegExp; readonly when: "before" | "after" | "vanish"; times: number }
    | undefined

  const vanish = () => {
    for (const socket of open) silent.add(socket)
  }
  const server = createServer({ noDelay: true }, (client) => {
    if (way === "cut") return void client.resetAndDestroy()
    if ("refusal" in target) {
      refused++
      return refuse(client, target.refusal)
    }
    const upstream = connect({ port: Number(target.port), host: target.hostname, noDelay: true })
    open.add(client)
    const end = () => {
      open.delete(client)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end)
    const read = statementReader()
    let answerIsLost = false
    const pass = (to: Socket, bytes: Buffer) => {
      if (silent.has(client)) return
      passedBytes += bytes.length
      if (way === "stalled") held.push(() => to.write(bytes))
      else if (delayMs > 0) setTimeout(() => to.write(bytes), delayMs)
      else to.write(bytes)
    }
    client.on("data", (bytes: Buffer) => {
      const said = read(bytes)
      statements.push(...said)
      if (trap !== undefined && trap.times > 0 && said.some((each) => trap?.statement.test(each))) {
        trap.times--
        if (trap.when === "before") return end()
        if (trap.when === "vanish") return vanish()
        answerIsLost = true
      }
      return pass(upstream, bytes)
    })
    if (processIdsAreInvented) upstream.on("data", inventProcessId)
    upstream.on("data", (bytes: Buffer) => (answerIsLost ? end() : pass(client, bytes)))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the proxy has no TCP port")
  const url = new URL(databaseUrl)
  url.hostname = "127.0.0.1"
  url.port = `${address.port}`

  const drop = () => {
    for (const socket of [...open]) socket.resetAndDestroy()
  }
  return {
    url: url.href,
    statements: () => statements,
    forget: () => {
      statements.length = 0
      passedBytes = 0
    },
    bytes: () => passedBytes,
    connections: () => open.size,
    cut: () => {
      way = "cut"
      drop()
    },
    stall: () => {
      way = "stalled"
    },
    vanish,
    redirect: (to = databaseUrl) => {
      target = typeof to === "string" ? new URL(to) : to
    },
    refused: () => refused,
    inventProcessIds: () => {
      processIdsAreInvented = true
    },
    slow: (ms) => {
      delayMs = ms
    },
    restore: () => {
      way = "open"
      delayMs = 0
      processIdsAreInvented = false
      for (const send of held.splice(0)) send()
    },
    drop,
    breakOn: (statement, when, times = 1) => {
      trap = { statement, when, times }
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      drop()
      await closed
    },
  }
}

/** The answer of a server that refuses connections. */
const refuse = (client: Socket, state: string) => {
  const fields = `SFATAL\0VFATAL\0C${state}\0Mthe test lets nobody in\0\0`
  const message = Buffer.alloc(5 + fields.length)
  message.write("E")
  message.writeUInt32BE(4 + fields.length, 1)
  message.write(fields, 5)
  client.on("error", () => undefined)
  client.once("data", () => client.end(message))
}

const BACKEND_KEY_DATA = "K".charCodeAt(0)

/** Overwrites the process id in the server's answer to a start-up. Each message of it is complete. */
const inventProcessId = (messages: Buffer) => {
  for (let at = 0; at + 9 <= messages.length; at += 1 + messages.readUInt32BE(at + 1)) {
    if (messages[at] === BACKEND_KEY_DATA) messages.writeUInt32BE(0x7fffffff, at + 5)
  }
}

const QUERY = "Q".charCodeAt(0)
const PARSE = "P".charCodeAt(0)

/**
 * Extracts the statements from the bytes of a PostgreSQL client: a start-up message (length, content), then messages of
 * a type byte, a length that counts itself, and the content.
 */
const statementReader = () => {
  let unread: Buffer = Buffer.alloc(0)
  let started = false
  return (bytes: Uint8Array): ReadonlyArray<string> => {
    unread = Buffer.concat([unread, bytes])
    const found: Array<string> = []
    for (;;) {
      const head = started ? 1 : 0
      if (unread.length < head + 4) return found
      const end = head + unread.readUInt32BE(head)
      if (unread.length < end) return found
      const content = unread.subarray(head + 4, end)
      // A Query contains its text; a Parse contains the statement's name before its text.
      const [first = "", second = ""] = content.toString("utf8").split("\0")
      if (started && unread[0] === QUERY) found.push(first)
      if (started && unread[0] === PARSE) found.push(second)
      started = true
      unread = unread.subarray(end)
    }
  }
}

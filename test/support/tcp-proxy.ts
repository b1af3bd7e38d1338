/** A wire to PostgreSQL that can be cut, mended, held up and listened to, for a service that talks through it. */
import { connect, createServer, type Socket } from "node:net"

export interface TcpProxy {
  /** The database's URL, by way of the proxy. */
  readonly url: string
  /** The SQL of each statement that came by since the start or the last `forget`, in order. */
  readonly statements: () => ReadonlyArray<string>
  readonly forget: () => void
  /** How many connections are open. */
  readonly connections: () => number
  /** Ends every connection, and each new one as it comes, until `restore`. */
  readonly cut: () => void
  /** Nothing comes through any more, and nobody is told, until `restore`. */
  readonly stall: () => void
  readonly restore: () => void
  /** Ends every connection that is open now. */
  readonly drop: () => void
  /**
   * Ends the one connection on which the next such statement comes by: `before` the server sees it, or `after` it was
   * carried out, its answer lost. So too with the statements after that, `times` in all (1).
   */
  readonly breakOn: (statement: RegExp, when: "before" | "after", times?: number) => void
  readonly stop: () => Promise<void>
}

export const startTcpProxy = async (databaseUrl: string): Promise<TcpProxy> => {
  const target = new URL(databaseUrl)
  const open = new Set<Socket>()
  const statements: Array<string> = []
  /** What waits for the end of a stall. */
  const held: Array<() => void> = []
  let way: "open" | "cut" | "stalled" = "open"
  let trap: { readonly statement: RegExp; readonly when: "before" | "after"; times: number } | undefined

  const server = createServer({ noDelay: true }, (client) => {
    if (way === "cut") return void client.resetAndDestroy()
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
      if (way === "stalled") held.push(() => to.write(bytes))
      else to.write(bytes)
    }
    client.on("data", (bytes: Buffer) => {
      const said = read(bytes)
      statements.push(...said)
      if (trap !== undefined && trap.times > 0 && said.some((each) => trap?.statement.test(each))) {
        trap.times--
        if (trap.when === "before") return end()
        answerIsLost = true
      }
      return pass(upstream, bytes)
    })
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
    },
    connections: () => open.size,
    cut: () => {
      way = "cut"
      drop()
    },
    stall: () => {
      way = "stalled"
    },
    restore: () => {
      way = "open"
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

const QUERY = "Q".charCodeAt(0)
const PARSE = "P".charCodeAt(0)

/**
 * Reads the statements out of what a PostgreSQL client sends: a start-up message (length, content), then messages of
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
      // A query is its text; a Parse is the statement's name first, and then its text.
      const [first = "", second = ""] = content.toString("utf8").split("\0")
      if (started && unread[0] === QUERY) found.push(first)
      if (started && unread[0] === PARSE) found.push(second)
      started = true
      unread = unread.subarray(end)
    }
  }
}

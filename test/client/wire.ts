/** A TCP proxy between a client and the service that breaks connections on demand. */
import { connect, createServer, type Socket } from "node:net"

export interface Wire {
  /** The API's address through the proxy. */
  readonly url: string
  /** Resets each of the next `times` connections (default: 1) after this many bytes of responses. */
  readonly breakAfter: (bytes: number, times?: number) => void
  /** The number of connections broken since `reset`. */
  readonly broken: () => number
  readonly connections: () => number
  /** Bytes of responses on the latest connection. */
  readonly received: () => number
  /** Resets all connections, and further ones until `accept`. */
  readonly refuse: () => void
  readonly accept: () => void
  readonly reset: () => void
  readonly stop: () => Promise<void>
}

export const startWire = async (serviceUrl: string): Promise<Wire> => {
  const target = new URL(serviceUrl)
  const open = new Set<Socket>()
  let limit = Number.POSITIVE_INFINITY
  let times = 0
  let isRefusing = false
  let broken = 0
  let connections = 0
  let received = 0

  const server = createServer({ noDelay: true }, (client) => {
    connections += 1
    if (isRefusing) return void client.resetAndDestroy()
    let passed = 0
    const upstream = connect({ port: Number(target.port), host: target.hostname, noDelay: true })
    open.add(client)
    const end = () => {
      open.delete(client)
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end)
    client.on("data", (bytes) => upstream.write(bytes))
    upstream.on("data", (bytes: Buffer) => {
      const before = passed
      passed += bytes.length
      received = passed
      if (times === 0 || passed < limit) return void client.write(bytes)
      times -= 1
      broken += 1
      // Bytes up to the limit arrive before the reset, as on a real network.
      client.write(bytes.subarray(0, Math.max(0, limit - before)), () => client.resetAndDestroy())
      return undefined
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the proxy has no TCP port")

  const drop = () => {
    for (const socket of [...open]) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${address.port}${target.pathname}`,
    breakAfter: (bytes, count = 1) => {
      limit = bytes
      times = count
    },
    broken: () => broken,
    connections: () => connections,
    received: () => received,
    refuse: () => {
      isRefusing = true
      drop()
    },
    accept: () => {
      isRefusing = false
    },
    reset: () => {
      drop()
      isRefusing = false
      times = broken = connections = 0
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      drop()
      await closed
    },
  }
}

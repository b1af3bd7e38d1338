/** A load balancer in front of several processes of the service: TCP connections in turn, as the simplest proxy has it. */
import { connect, createServer, type Socket } from "node:net"

export interface Balancer {
  readonly url: string
  /** New connections go to these processes. Open ones stay where they are. */
  readonly use: (urls: ReadonlyArray<string>) => void
  readonly stop: () => Promise<void>
}

export const startBalancer = async (): Promise<Balancer> => {
  let targets: ReadonlyArray<URL> = []
  let count = 0
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    const target = targets[count++ % targets.length]
    if (target === undefined) return void client.resetAndDestroy()
    const upstream = connect({ host: target.hostname, port: Number(target.port), noDelay: true })
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(socket)
      socket.on("error", () => other.resetAndDestroy())
      socket.on("close", () => open.delete(socket))
    }
    client.pipe(upstream)
    upstream.pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the balancer has no TCP port")
  return {
    url: `http://127.0.0.1:${address.port}`,
    use: (urls) => {
      targets = urls.map((url) => new URL(url))
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

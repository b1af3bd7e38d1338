/** A TLS listener in front of a service, as a proxy of production is. It passes bytes on, both ways. */
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { createServer } from "node:tls"
import type { Certificate } from "./certificates.ts"

export interface TlsFront {
  readonly port: number
  readonly stop: () => Promise<void>
}

/** `target`: the URL of the service, of which the host and the port count. */
export const startTlsFront = async (target: string, { certificate, key }: Certificate): Promise<TlsFront> => {
  const { hostname, port } = new URL(target)
  const open = new Set<Socket>()
  const server = createServer(
    { cert: readFileSync(certificate), key: readFileSync(key), noDelay: true },
    (client) => {
      const service = connect({ host: hostname, port: Number(port), noDelay: true })
      for (const [from, to] of [
        [client, service],
        [service, client],
      ] as const) {
        open.add(from)
        from.on("error", () => to.destroy()).on("close", () => open.delete(from))
        from.pipe(to)
      }
    },
  )
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the front has no TCP port")
  return {
    port: address.port,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

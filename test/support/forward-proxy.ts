/** A forward proxy as companies run them, and a TLS end in front of a plain server. */
import { connect as connectTcp, createServer, type Server } from "node:net"
import { createServer as createTlsServer } from "node:tls"
import type { Certificate } from "./certificates.ts"

const listen = (server: Server) =>
  new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      resolve(typeof address === "object" && address !== null ? address.port : 0)
    }),
  )

export interface ForwardProxy {
  readonly url: string
  /** The first lines of the requests: `CONNECT host:443 HTTP/1.1`, or `GET http://host/ HTTP/1.1`. */
  readonly requests: () => ReadonlyArray<string>
  readonly stop: () => void
}

/** `port`: where every tunnel leads. Other requests are answered with 502. */
export const startForwardProxy = async (port = 1): Promise<ForwardProxy> => {
  const requests: Array<string> = []
  const server = createServer((client) => {
    client.on("error", () => undefined)
    client.once("data", (head) => {
      const [line = ""] = head.toString().split("\r\n")
      requests.push(line)
      if (!line.startsWith("CONNECT ")) {
        return void client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
      }
      const target = connectTcp(port, "127.0.0.1", () => {
        client.write("HTTP/1.1 200 Connection Established\r\n\r\n")
        client.pipe(target)
        target.pipe(client)
      })
      target.on("error", () => client.destroy())
    })
  })
  const own = await listen(server)
  return { url: `http://127.0.0.1:${own}`, requests: () => requests, stop: () => void server.close() }
}

/** Passes what it decrypts on to a server on this port. */
export const startTlsEnd = async (port: number, { certificate, key }: Certificate) => {
  const [cert, privateKey] = await Promise.all([Bun.file(certificate).text(), Bun.file(key).text()])
  const server = createTlsServer({ cert, key: privateKey }, (client) => {
    const target = connectTcp(port, "127.0.0.1")
    for (const socket of [client, target]) {
      socket.on("error", () => {
        client.destroy()
        target.destroy()
      })
    }
    client.pipe(target)
    target.pipe(client)
  })
  server.on("tlsClientError", () => undefined)
  return { port: await listen(server), stop: () => void server.close() }
}

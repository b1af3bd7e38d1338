/** HTTP/1.1 by hand, for requests that no client library would send. */
import { connect } from "node:net"

export interface RawAnswer {
  readonly status: number
  readonly headers: Headers
  readonly body: string
}

export interface RawConnection {
  readonly send: (bytes: string | Uint8Array) => void
  /** The next answer, as soon as it is whole; rejects where the connection ends before. */
  readonly answer: () => Promise<RawAnswer>
  readonly close: () => void
}

/** Opens a connection to the server of a URL. */
export const openRaw = async (url: string): Promise<RawConnection> => {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  let received = Buffer.alloc(0)
  let ended = false
  let wake = () => {}
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes])
    wake()
  })
  for (const event of ["end", "close", "error"]) {
    socket.on(event, () => {
      ended = true
      wake()
    })
  }
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject)
  })

  const take = (): RawAnswer | undefined => {
    const headEnd = received.indexOf("\r\n\r\n")
    if (headEnd === -1) return undefined
    const [statusLine = "", ...lines] = received.subarray(0, headEnd).toString("latin1").split("\r\n")
    const headers = new Headers(
      lines.map((line): [string, string] => {
        const colon = line.indexOf(":")
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      }),
    )
    const end = headEnd + 4 + Number(headers.get("content-length") ?? 0)
    if (received.length < end) return undefined
    const body = received.subarray(headEnd + 4, end).toString("utf8")
    received = received.subarray(end)
    return { status: Number(statusLine.split(" ")[1]), headers, body }
  }

  const answer = async () => {
    for (;;) {
      const whole = take()
      if (whole !== undefined) return whole
      if (ended) throw new Error(`The connection ended; before that came: ${received.toString("latin1")}`)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { send: (bytes) => void socket.write(bytes), answer, close: () => void socket.destroy() }
}

/** The lines of a request and its headers, with the empty line that ends them. */
export const head = (line: string, headers: Record<string, string> = {}): string =>
  [
    `${line} HTTP/1.1`,
    ...Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}`),
    "",
    "",
  ].join("\r\n")

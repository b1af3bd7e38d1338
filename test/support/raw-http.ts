/**
 * A client on a bare socket. It can stop in the middle of a body, disconnect, and tell a response that ended from one
 * that broke off, which `fetch` does not always do.
 */
import { connect } from "node:net"

export interface RawAnswer {
  /** 0 if the connection ended before the response began. */
  readonly status: number
  readonly headers: Headers
  /** Without the chunk headers. */
  readonly body: Buffer
  /** False if the connection ended before the body did. */
  readonly whole: boolean
}

export interface RawClient {
  /** Resolves when the kernel has the bytes, or the connection has ended. */
  readonly send: (bytes: string | Uint8Array) => Promise<void>
  /** The response so far, when `isEnough` accepts it or it has ended. */
  readonly until: (isEnough: (answer: RawAnswer) => boolean) => Promise<RawAnswer>
  /** The response when it is complete or the connection has ended. The next call returns the next response. */
  readonly answer: () => Promise<RawAnswer>
  /** Stops reading until `resume`: the system's buffers fill up, and then the server has to wait. */
  readonly pause: () => void
  readonly resume: () => void
  /** Disconnects: with FIN after what was sent, or with RST at once. */
  readonly leave: (how?: "close" | "reset") => void
}

export const connectRaw = (url: string): Promise<RawClient> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    let received: Buffer = Buffer.alloc(0)
    let gone = false
    let wake = () => {}
    const settle = () => {
      gone = true
      wake()
    }
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      wake()
    })
    socket.on("close", settle)
    socket.on("end", settle)
    socket.once("error", reject)
    socket.on("error", settle)

    const until = async (isEnough: (answer: RawAnswer) => boolean) => {
      for (;;) {
        const answer = readAnswer(received)
        if (answer.whole || gone || (answer.status !== 0 && isEnough(answer))) return answer
        await new Promise<void>((next) => {
          wake = next
        })
      }
    }
    const send: RawClient["send"] = (bytes) =>
      new Promise((sent) => {
        if (gone) return sent()
        const done = () => {
          socket.off("close", done)
          sent()
        }
        socket.once("close", done)
        socket.write(bytes, done)
      })
    socket.once("connect", () =>
      resolve({
        send,
        until,
        answer: async () => {
          const answer = await until(() => false)
          received = received.subarray(answer.size)
          return answer
        },
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        leave: (how = "close") => (how === "reset" ? socket.resetAndDestroy() : socket.destroy()),
      }),
    )
  })

/** The request line and headers, with the empty line at the end. */
export const head = (line: string, headers: Record<string, string> = {}): string =>
  [
    `${line} HTTP/1.1`,
    ...Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}`),
    "",
    "",
  ].join("\r\n")

/** `size`: the bytes read, including the head. */
type Parsed = RawAnswer & { readonly size: number }

const nothing: Parsed = { status: 0, headers: new Headers(), body: Buffer.alloc(0), whole: false, size: 0 }

const readAnswer = (bytes: Buffer): Parsed => {
  const headEnd = bytes.indexOf("\r\n\r\n")
  if (headEnd < 0) return nothing
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n")
  const status = Number(statusLine.split(" ")[1])
  const start = headEnd + 4
  const rest = bytes.subarray(start)
  if (status === 100) {
    const next = readAnswer(rest)
    return { ...next, size: start + next.size }
  }
  const headers = new Headers(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon), line.slice(colon + 1).trim()]
    }),
  )
  if (headers.get("transfer-encoding") === "chunked") {
    const { body, whole, size } = readChunks(rest)
    return { status, headers, body, whole, size: start + size }
  }
  const length = Number(headers.get("content-length") ?? 0)
  return {
    status,
    headers,
    body: rest.subarray(0, length),
    whole: rest.length >= length,
    size: Math.min(bytes.length, start + length),
  }
}

const readChunks = (bytes: Buffer): Pick<Parsed, "body" | "whole" | "size"> => {
  const chunks: Array<Buffer> = []
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at)
    const size = lineEnd < 0 ? Number.NaN : Number.parseInt(bytes.toString("latin1", at, lineEnd), 16)
    const start = lineEnd + 2
    if (size === 0) return { body: Buffer.concat(chunks), whole: true, size: start + 2 }
    if (Number.isNaN(size) || start + size > bytes.length) {
      return { body: Buffer.concat(chunks), whole: false, size: bytes.length }
    }
    chunks.push(bytes.subarray(start, start + size))
    at = start + size + 2
  }
}

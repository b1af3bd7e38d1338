/**
 * A client on a bare socket: it can stop in the middle of a body, leave without a word, and tell an answer that
 * ended from one that broke off, which `fetch` does not always do.
 */
import { connect } from "node:net"

export interface RawAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
  /** Without the marks of its chunks. */
  readonly body: Buffer
  /** False where the connection was gone before the body's end. */
  readonly whole: boolean
}

export interface RawClient {
  /** Resolves once the bytes are with the kernel, or the connection is gone. */
  readonly send: (bytes: string | Uint8Array) => Promise<void>
  /** The answer so far as soon as `isEnough`, or at its end. */
  readonly until: (isEnough: (answer: RawAnswer) => boolean) => Promise<RawAnswer>
  /** The answer when it is whole or the connection is gone. */
  readonly answer: () => Promise<RawAnswer>
  /** Leaves: a FIN after what was sent, or a reset at once. */
  readonly leave: (how?: "close" | "reset") => void
}

export const connectRaw = (url: string): Promise<RawClient> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    const received: Array<Buffer> = []
    let gone = false
    let wake = () => {}
    const settle = () => {
      gone = true
      wake()
    }
    socket.on("data", (chunk: Buffer) => {
      received.push(chunk)
      wake()
    })
    socket.on("close", settle)
    socket.on("end", settle)
    socket.once("error", reject)
    socket.on("error", settle)

    const until: RawClient["until"] = async (isEnough) => {
      for (;;) {
        const answer = readAnswer(Buffer.concat(received))
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
        answer: () => until(() => false),
        leave: (how = "close") => (how === "reset" ? socket.resetAndDestroy() : socket.destroy()),
      }),
    )
  })

const nothing: RawAnswer = { status: 0, headers: new Map(), body: Buffer.alloc(0), whole: false }

const readAnswer = (bytes: Buffer): RawAnswer => {
  const headEnd = bytes.indexOf("\r\n\r\n")
  if (headEnd < 0) return nothing
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n")
  const status = Number(statusLine.split(" ")[1])
  if (status === 100) return readAnswer(bytes.subarray(headEnd + 4))
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const rest = bytes.subarray(headEnd + 4)
  if (headers.get("transfer-encoding") === "chunked") return { status, headers, ...readChunks(rest) }
  const length = Number(headers.get("content-length") ?? 0)
  return { status, headers, body: rest.subarray(0, length), whole: rest.length >= length }
}

const readChunks = (bytes: Buffer): Pick<RawAnswer, "body" | "whole"> => {
  const chunks: Array<Buffer> = []
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf("\r\n", at)
    const size = lineEnd < 0 ? Number.NaN : Number.parseInt(bytes.toString("latin1", at, lineEnd), 16)
    if (size === 0) return { body: Buffer.concat(chunks), whole: true }
    const start = lineEnd + 2
    if (Number.isNaN(size) || start + size > bytes.length)
      return { body: Buffer.concat(chunks), whole: false }
    chunks.push(bytes.subarray(start, start + size))
    at = start + size + 2
  }
}

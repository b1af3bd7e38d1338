/**
 * A file server over real HTTP that knows ranges and ETags, and misbehaves as told: each request takes the next
 * behaviour of the script, and a well-behaved answer when the script is over.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { sha256 } from "../../src/hash.ts"

type Answer = (request: IncomingMessage, answer: ServerResponse, file: Uint8Array) => void

export interface FileServer {
  readonly url: string
  /** The headers of every request, in order, and its path as `path`. */
  readonly requests: ReadonlyArray<Readonly<Record<string, string | undefined>>>
  /** The files by path. May be changed between requests. */
  readonly files: Map<string, Uint8Array>
  /** Behaviours of the next requests. */
  readonly script: Array<Answer>
  /** Ends all connections at once. */
  readonly cut: () => void
  readonly stop: () => Promise<void>
}

const etagOf = (file: Uint8Array) => `"${sha256(file).slice(0, 16)}"`

/** The part of the file that the request asks for, with its status and headers. */
const plan = (request: IncomingMessage, file: Uint8Array) => {
  const etag = etagOf(file)
  const condition = request.headers["if-range"]
  const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? Number.NaN)
  if (Number.isNaN(first) || (condition !== undefined && condition !== etag)) {
    return { status: 200, headers: { etag, "content-length": `${file.length}` }, body: file }
  }
  if (first >= file.length) {
    return { status: 416, headers: { "content-range": `bytes */${file.length}` }, body: new Uint8Array() }
  }
  const headers = {
    etag,
    "content-length": `${file.length - first}`,
    "content-range": `bytes ${first}-${file.length - 1}/${file.length}`,
  }
  return { status: 206, headers, body: file.subarray(first) }
}

const wellBehaved: Answer = (request, answer, file) => {
  const { status, headers, body } = plan(request, file)
  answer.writeHead(status, headers).end(body)
}

/**
 * Ends the connection after so many bytes of the body. Bun's fetch loses those that it has not handed on yet. Where the
 * client must have them, `stallAfter` and then `cut`.
 */
export const cutAfter =
  (bytes: number): Answer =>
  (request, answer, file) => {
    const { status, headers, body } = plan(request, file)
    answer.writeHead(status, headers)
    answer.flushHeaders()
    answer.write(body.subarray(0, bytes), () => answer.socket?.destroySoon())
  }

/** Sends so many bytes of the body, and then nothing more. */
export const stallAfter =
  (bytes: number): Answer =>
  (request, answer, file) => {
    const { status, headers, body } = plan(request, file)
    answer.writeHead(status, headers)
    answer.flushHeaders()
    answer.write(body.subarray(0, bytes))
  }

/** A status without the file. */
export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, answer) => {
    answer.writeHead(code, headers).end("no")
  }

/** These bytes with these headers, whatever is asked. */
export const instead =
  (body: Uint8Array, headers: Readonly<Record<string, string>> = {}, code = 200): Answer =>
  (_, answer) => {
    answer.writeHead(code, { ...headers }).end(body)
  }

/** Sends the file in pieces of so many bytes, each on its own. */
export const inPieces =
  (bytes: number): Answer =>
  async (request, answer, file) => {
    const { status, headers, body } = plan(request, file)
    answer.writeHead(status, headers)
    for (let at = 0; at < body.length; at += bytes) {
      await new Promise((done) => answer.write(body.subarray(at, at + bytes), done))
    }
    answer.end()
  }

export const startFileServer = async (
  files: Readonly<Record<string, Uint8Array>> = {},
): Promise<FileServer> => {
  const requests: Array<Readonly<Record<string, string | undefined>>> = []
  const script: Array<Answer> = []
  const map = new Map(Object.entries(files))
  const server = createServer((request, answer) => {
    const path = request.url ?? ""
    requests.push({
      path,
      range: request.headers.range,
      ifRange: request.headers["if-range"]?.toString(),
      authorization: request.headers.authorization,
    })
    const next = script.shift()
    const file = map.get(path)
    if (next !== undefined) next(request, answer, file ?? new Uint8Array())
    else if (file === undefined) status(404)(request, answer, new Uint8Array())
    else wellBehaved(request, answer, file)
  })
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening))
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("The server has no port.")
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    files: map,
    script,
    cut: () => server.closeAllConnections(),
    stop: () =>
      new Promise((stopped) => {
        server.close(() => stopped())
        server.closeAllConnections()
      }),
  }
}

import { type IncomingMessage, request as requestHttp } from "node:http"
import { request as requestHttps } from "node:https"
import { isIP, type LookupFunction } from "node:net"
import { pipeline, type Readable } from "node:stream"
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib"
import { AnswerUnreadable, ConnectionFailed, OutboundTimeout } from "./errors.ts"
import type { Target } from "./target.ts"

export interface ExchangeOptions {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** For the name, the connection and TLS, in ms. */
  readonly connectMs: number
  /** Certificates to trust in place of the system's, as PEM. */
  readonly ca: string | undefined
}

/** Answers every name with the addresses that were checked. */
const lookupOf =
  (addresses: ReadonlyArray<string>): LookupFunction =>
  (_, options, done) => {
    const all = addresses.map((address) => ({ address, family: isIP(address) }))
    const [first] = all
    if (options.all === true || first === undefined) done(null, all)
    else done(null, first.address, first.family)
  }

type Phase = ConnectionFailed["phase"]

/** Codes of errors before the handshake has ended that are not of a certificate: BoringSSL's own, and those of the socket. */
const isHandshake = (error: Error) =>
  "code" in error && /^(?:ERR_SSL_|ERR_SOCKET_|ECONN|EPIPE$|EPROTO$)/.test(`${error.code}`)

/**
 * Sends one request, and resolves when the head of the answer is there. The abort of the signal ends the connection, also
 * while the body is read. Rejects with ConnectionFailed, OutboundTimeout or the reason of the abort.
 *
 * By `node:http`, because it connects to the addresses that it is given, while the name of the host stays in `Host`, in SNI
 * and in the check of the certificate. `fetch` resolves the name a second time. Each request has a connection of its own:
 * one that was kept could be closed by the server just as a request is sent, whose outcome would then be unknown.
 */
export const exchange = (
  { url, host, addresses }: Target,
  { method, headers, body, connectMs, ca }: ExchangeOptions,
  signal: AbortSignal,
): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    const isTls = url.protocol === "https:"
    let phase: Phase = "connect"
    const options = {
      method,
      host,
      port: url.port,
      path: `${url.pathname}${url.search}`,
      // Compressed answers could be a thousand times as large as what arrives.
      headers: { ...headers, "accept-encoding": "identity" },
      agent: false,
      lookup: lookupOf(addresses),
      signal,
    } as const
    const request = isTls
      ? requestHttps({
          ...options,
          // Whatever NODE_TLS_REJECT_UNAUTHORIZED says: it may be meant for a server of the operator's own.
          rejectUnauthorized: true,
          ...(isIP(host) === 0 ? { servername: host } : {}),
          ...(ca === undefined ? {} : { ca }),
        })
      : requestHttp(options)
    const timer = setTimeout(
      () => request.destroy(new OutboundTimeout({ phase: "connect", seconds: connectMs / 1000 })),
      connectMs,
    )
    request.on("socket", (socket) => {
      socket.once("connect", () => {
        phase = isTls ? "tls" : "cut"
        if (!isTls) clearTimeout(timer)
      })
      socket.once("secureConnect", () => {
        phase = "cut"
        clearTimeout(timer)
      })
    })
    request.once("response", (message) => {
      // Without it, a connection that breaks before the body is read would end the process.
      message.on("error", () => {})
      resolve(message)
    })
    request.once("upgrade", (_, socket) => {
      socket.destroy()
      reject(new ConnectionFailed({ phase: "cut" }))
    })
    // Errors after the head come here too; the body has them as well.
    request.on("error", (error) => {
      clearTimeout(timer)
      const reached: Phase = phase === "tls" && isHandshake(error) ? "handshake" : phase
      if (signal.aborted) reject(signal.reason)
      else reject(error instanceof OutboundTimeout ? error : new ConnectionFailed({ phase: reached }))
    })
    request.end(body)
  })

/** Decoders of a body that is compressed all the same. They read no more than what is taken from them. */
const decoders = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
} as const

const isDecodable = (encoding: string): encoding is keyof typeof decoders => Object.hasOwn(decoders, encoding)

/** The body as it was before its compression. Throws AnswerUnreadable for an unknown one. */
export const decodedBody = (message: IncomingMessage): Readable => {
  const encoding = (message.headers["content-encoding"] ?? "identity").trim().toLowerCase()
  if (encoding === "identity" || encoding === "") return message
  if (!isDecodable(encoding)) {
    message.destroy()
    throw new AnswerUnreadable({ reason: "is compressed in a way that cannot be read" })
  }
  // The reader of the decoder gets every error.
  return pipeline(message, decoders[encoding](), () => {})
}

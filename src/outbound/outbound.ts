import type { IncomingMessage } from "node:http"
import { Context, Duration, Effect, Layer } from "effect"
import { Settings } from "../config.ts"
import { type AddressRules, makeAddressCheck } from "./address.ts"
import { bodyError, boundedStream, readUpTo } from "./body.ts"
import { isOutboundError, type OutboundError, OutboundTimeout, RedirectRefused } from "./errors.ts"
import { decodedBody, exchange } from "./exchange.ts"
import { isRedirect, maxRedirects, type OutboundRequest, redirected } from "./redirect.ts"
import { findTarget, type Resolve, resolveHost } from "./target.ts"

/** The answer to a request, after its redirects. */
export interface OutboundAnswer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
  /** The body is longer than what was read of it. */
  readonly isCut: boolean
}

export interface OutboundOptions extends AddressRules {
  readonly isHttpAllowed: boolean
  /** For the name, the connection and TLS of each request. */
  readonly connectTimeout?: Duration.Duration
  readonly resolve?: Resolve
  /** The networks that this machine is in. */
  readonly own?: () => ReadonlyArray<string>
  /** Certificates to trust in place of the system's, as PEM. */
  readonly ca?: string
}

interface RequestLimits {
  readonly timeout: Duration.Duration
  readonly maxBytes: number
  readonly redirect?: "follow" | "manual"
}

/** A server that takes longer is not there, and the user waits. */
const defaultConnectTimeout = Duration.seconds(5)

/** Of an answer to `fetch`, after decompression, in bytes: what an SDK reads of it is in memory at once. */
const maxFetchBytes = 8 * 1024 * 1024

/** Statuses whose response has no body, by the Fetch standard. */
const isBodiless = (status: number) => [204, 205, 304].includes(status)

const headersOf = ({ headers }: IncomingMessage): Headers => {
  const copy = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) copy.append(name, each)
  }
  return copy
}

/**
 * Requests to addresses that users name: tools, MCP servers, webhooks. Only public addresses are called, and those that the
 * operator allows. The address is checked after the name is resolved, and the connection goes to that address. Every redirect
 * is checked in the same way.
 */
export class Outbound extends Context.Tag("voice-agent/Outbound")<
  Outbound,
  {
    /**
     * Reads at most `maxBytes` of the body, after decompression. Interruption ends the connection. `redirect`: as of `fetch`;
     * `manual` returns the answer that redirects.
     */
    readonly request: (
      request: OutboundRequest,
      limits: RequestLimits,
    ) => Effect.Effect<OutboundAnswer, OutboundError>
    /**
     * For SDKs. Rejects with an OutboundError. The body of the answer fails after 8 MB. A body to send is a text. Its
     * signal is the only limit of time after the connection.
     */
    readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>
  }
>() {
  static readonly layer = Layer.effect(
    Outbound,
    Effect.map(Settings, ({ outbound }) => makeOutbound(outbound)),
  )
}

export const makeOutbound = (options: OutboundOptions): typeof Outbound.Service => {
  const connectMs = Duration.toMillis(options.connectTimeout ?? defaultConnectTimeout)
  const rules = {
    reachOf: makeAddressCheck(options, options.own),
    isHttpAllowed: options.isHttpAllowed,
    resolve: options.resolve ?? resolveHost,
    connectMs,
  }

  /** Resolves at the head of the last answer. */
  const follow = async (
    first: OutboundRequest,
    signal: AbortSignal,
    redirect: "follow" | "manual" = "follow",
  ): Promise<IncomingMessage> => {
    let request = first
    for (let redirects = 0; ; redirects += 1) {
      const target = await findTarget(request.url, rules, signal)
      const { method, headers, body } = request
      const message = await exchange(target, { method, headers, body, connectMs, ca: options.ca }, signal)
      const { statusCode: status = 0 } = message
      if (!isRedirect(status) || redirect === "manual") return message
      message.destroy()
      if (redirects === maxRedirects) throw new RedirectRefused({ reason: `more than ${maxRedirects} times` })
      request = redirected(request, target.url, status, message.headers.location)
    }
  }

  const request = Effect.fn("Outbound.request")(
    (outgoing: OutboundRequest, { timeout, maxBytes, redirect = "follow" }: RequestLimits) =>
      Effect.tryPromise({
        try: async (signal): Promise<OutboundAnswer> => {
          const message = await follow(outgoing, signal, redirect)
          const { statusCode: status = 0 } = message
          return { status, headers: headersOf(message), ...(await readUpTo(decodedBody(message), maxBytes)) }
        },
        catch: (cause) => (isOutboundError(cause) ? cause : bodyError(cause)),
      }).pipe(
        Effect.timeoutFail({
          duration: timeout,
          onTimeout: () => new OutboundTimeout({ phase: "answer", seconds: Duration.toSeconds(timeout) }),
        }),
      ),
  )

  const fetchLike = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const { method = "GET", body, redirect, signal } = init
    const message = await follow(
      {
        url: `${url}`,
        method,
        headers: Object.fromEntries(new Headers(init.headers)),
        body: body === undefined || body === null ? undefined : await new Response(body).text(),
      },
      signal ?? new AbortController().signal,
      redirect === "manual" ? "manual" : "follow",
    )
    const { statusCode: status = 0 } = message
    const stream = boundedStream(decodedBody(message), maxFetchBytes)
    if (isBodiless(status)) await stream.cancel()
    return new Response(isBodiless(status) ? null : stream, { status, headers: headersOf(message) })
  }

  return { request, fetch: fetchLike }
}

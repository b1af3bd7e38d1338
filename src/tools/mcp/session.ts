import {
  Client,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  StreamableHTTPClientTransport,
  type Transport,
} from "@modelcontextprotocol/client"
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio"
import { version } from "../../../package.json"
import { isOutboundError, type OutboundError } from "../../outbound/errors.ts"
import type { Outbound } from "../../outbound/outbound.ts"
import type { ToolAnswer } from "../runnable.ts"
import { maxAnswerBytes } from "./answer-bound.ts"
import { McpFailed, outboundFailed } from "./errors.ts"
import { withPlainResult } from "./plain-result.ts"
import { makeToolList } from "./tool-list.ts"

/** Only this file imports the SDK. It is loaded with the first server: that takes 8 MB of memory and 0.2 s. */

/** Where a server is. `headers` have secrets. */
export type McpTarget =
  | { readonly kind: "http"; readonly url: string; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly kind: "stdio"
      readonly command: string
      readonly args: ReadonlyArray<string>
      readonly env: Readonly<Record<string, string>>
      readonly cwd: string | undefined
    }

/** A tool as its server describes it. */
export interface McpTool {
  readonly name: string
  readonly description: string | undefined
  readonly parameters: Readonly<Record<string, unknown>> & { readonly type: "object" }
}

export interface McpCall {
  readonly name: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly idempotencyKey: string
}

/** Promises reject with McpFailed. */
export interface McpSession {
  /** Connects, and lists the tools. */
  readonly open: (signal: AbortSignal) => Promise<ReadonlyArray<McpTool>>
  readonly call: (call: McpCall, signal: AbortSignal) => Promise<ToolAnswer>
  /** Ends the process of a stdio server. */
  readonly close: () => Promise<void>
}

/** Of `initialize` and of each page of tools, in ms. Programs that a package manager starts take seconds. */
const openTimeout = 20_000

/** The end of a call is the caller's: its signal. The SDK would end calls after a minute. */
const callTimeout = 10 * 60_000

/** Of the error that stands for the end of a stream, see `withStreamEnds`. */
const streamEnded = -32_099

/**
 * The SDK waits for the answer of a call although the stream that it would come in has ended. This answers the call with an
 * error at the end of its stream. After the answer, the SDK ignores it.
 */
const withStreamEnds = (transport: StreamableHTTPClientTransport): StreamableHTTPClientTransport => {
  const send = transport.send.bind(transport)
  transport.send = (message, options) => {
    const onRequestStreamEnd = () => {
      if (Array.isArray(message) || !("id" in message) || message.id === undefined) return
      transport.onmessage?.({
        jsonrpc: "2.0",
        id: message.id,
        error: { code: streamEnded, message: "The stream has ended." },
      })
    }
    return send(message, { onRequestStreamEnd, ...options })
  }
  return transport
}

/** Passes the messages of a server on with plain results. The SDK sets `onmessage` when it connects. */
const withPlainResults = <T extends Transport>(transport: T): T => {
  let receive: Transport["onmessage"]
  Object.defineProperty(transport, "onmessage", {
    get: () => receive,
    set: (given: typeof receive) => {
      receive = given && ((message, extra) => given(withPlainResult(message), extra))
    },
  })
  return transport
}

/** The SDK wraps what `fetch` rejects with while it finds the version of the protocol. */
const outboundCauseOf = (error: unknown): OutboundError | undefined => {
  if (isOutboundError(error)) return error
  return error instanceof Error && error.cause !== undefined ? outboundCauseOf(error.cause) : undefined
}

const failureOf = (error: unknown): McpFailed => {
  const outbound = outboundCauseOf(error)
  if (outbound !== undefined) return outboundFailed(outbound)
  if (SdkHttpError.isInstance(error)) return new McpFailed({ kind: "status", words: `${error.status}` })
  if (ProtocolError.isInstance(error)) {
    return error.code === streamEnded
      ? new McpFailed({ kind: "closed" })
      : new McpFailed({ kind: "refused", words: error.message })
  }
  if (error instanceof Error && "syscall" in error && `${error.syscall}`.startsWith("spawn")) {
    return new McpFailed({ kind: "program" })
  }
  if (!SdkError.isInstance(error)) return new McpFailed({ kind: "unexpected" })
  switch (error.code) {
    case SdkErrorCode.RequestTimeout:
      return new McpFailed({ kind: "timeout" })
    case SdkErrorCode.ConnectionClosed:
      return new McpFailed({ kind: "closed" })
    case SdkErrorCode.NotConnected:
      return new McpFailed({ kind: "unavailable" })
    default:
      return new McpFailed({ kind: "unexpected" })
  }
}

const rejectWithFailure = (error: unknown): never => {
  throw failureOf(error)
}

const transportOf = (target: McpTarget, fetch: typeof Outbound.Service.fetch) => {
  if (target.kind === "stdio") {
    const { command, args, env, cwd } = target
    return new StdioClientTransport({
      command,
      args: [...args],
      env: { ...env },
      stderr: "ignore",
      maxBufferSize: maxAnswerBytes,
      ...(cwd === undefined ? {} : { cwd }),
    })
  }
  return withStreamEnds(
    new StreamableHTTPClientTransport(new URL(target.url), {
      fetch,
      requestInit: { headers: target.headers },
      onInsufficientScope: "throw",
    }),
  )
}

/** A session that is not open yet. `onTools`: the server has other tools. `onClosed`: the connection has ended. */
export const makeSession = (
  target: McpTarget,
  fetch: typeof Outbound.Service.fetch,
  on: { readonly tools: (tools: ReadonlyArray<McpTool>) => void; readonly closed: () => void },
): McpSession => {
  const list = makeToolList(fetch)
  const transport = withPlainResults(transportOf(target, list.fetch))
  let known: ReadonlyArray<McpTool> = []
  const client = new Client(
    { name: "voice-agent", version },
    {
      // A probe of stdio would start the program twice.
      ...(target.kind === "http" ? { versionNegotiation: { mode: "auto" } } : {}),
      // The SDK would list without bounds, and refuse a whole list for one tool.
      listChanged: { tools: { autoRefresh: false, onChanged: () => void refresh() } },
    },
  )
  client.onclose = on.closed

  const learn = async (options: { readonly signal?: AbortSignal; readonly timeout: number }) => {
    known =
      client.getServerCapabilities()?.tools === undefined
        ? []
        : await list.read((params, schema) =>
            client.request({ method: "tools/list", params }, schema, options),
          )
    return known
  }

  const open = async (signal: AbortSignal) => {
    const options = { signal, timeout: openTimeout }
    await client.connect(transport, options)
    return learn(options)
  }

  let isRefreshing = false
  let isStale = false
  /** One list at a time. A change while it is read counts for the next one. A list that fails leaves the known tools. */
  const refresh = async () => {
    isStale = true
    if (isRefreshing) return
    isRefreshing = true
    while (isStale) {
      isStale = false
      await learn({ timeout: openTimeout }).then(on.tools, () => undefined)
    }
    isRefreshing = false
  }

  const call = async ({ name, arguments: values, idempotencyKey }: McpCall, signal: AbortSignal) => {
    const inputSchema = known.find((tool) => tool.name === name)?.parameters
    const { content, isError } = await client.callTool(
      { name, arguments: { ...values }, _meta: { "voice-agent/idempotency-key": idempotencyKey } },
      {
        signal,
        timeout: callTimeout,
        // Without an `outputSchema`: the SDK would compile the foreign schema, and refuse answers that do not fit it.
        ...(inputSchema === undefined ? {} : { toolDefinition: { name, inputSchema } }),
      },
    )
    const [block] = content
    if (block?.type !== "text") throw new McpFailed({ kind: "unexpected" })
    return { output: block.text, isError: isError ?? false }
  }

  const close = async () => {
    if (transport instanceof StreamableHTTPClientTransport)
      await transport.terminateSession().catch(() => undefined)
    await client.close().catch(() => undefined)
  }

  return {
    open: (signal) => open(signal).catch(rejectWithFailure),
    call: (request, signal) => call(request, signal).catch(rejectWithFailure),
    close,
  }
}

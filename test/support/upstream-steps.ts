/** What the scripted upstream can do with one call. */

export type Stage = "stt" | "llm" | "tts"

/**
 * One call's behaviour. Every field is optional and they combine: `{ ...fail.reset({ tokens: 3 }), text: "…",
 * delayMs: 50 }`. An empty step is the default behaviour.
 */
export interface Step {
  /** The transcript or the reply. */
  readonly text?: string
  /** The reply as the model's tokens, where their cuts matter. */
  readonly tokens?: readonly string[]
  /** Calls behind the reply, which is then empty by default. Their arguments come in pieces. */
  readonly toolCalls?: ReadonlyArray<{
    readonly id: string
    readonly name: string
    readonly arguments: string
  }>
  /** Answers chat with `content: null`. */
  readonly nullContent?: boolean
  /** Answers chat with `choices: []`. */
  readonly noChoices?: boolean
  /** Chat's finish_reason; "stop" unless max_tokens cut the reply ("length") or tools are called. */
  readonly finishReason?: string
  /** Whisper's guess, 0 to 1, in `verbose_json`. */
  readonly noSpeechProb?: number
  /** The speech's length, instead of one that goes with the text. */
  readonly seconds?: number
  /** The speech's very bytes. Their Content-Type is that of the request, unless `headers` has another. */
  readonly audio?: Uint8Array

  /** Nothing is answered before it resolves. */
  readonly after?: Promise<void>
  /** From the whole request to the status line. */
  readonly delayMs?: number
  /** From the status line to the body's first byte. */
  readonly firstChunkDelayMs?: number
  /** Between two chunks (LLM: tokens). */
  readonly chunkDelayMs?: number
  /** From the last chunk to the end of the HTTP body. */
  readonly endDelayMs?: number
  /** Cuts the body into chunks of so many bytes, through characters and events alike. */
  readonly chunkBytes?: number
  /** Speech comes at so many times the speed at which it plays, after the first chunk. */
  readonly realTimeFactor?: number

  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>
  /** An error in OpenAI's envelope. */
  readonly error?: ApiError
  /** This body, verbatim. Default: status 200, JSON. */
  readonly raw?: { readonly body: string; readonly contentType?: string; readonly status?: number }
  /** How the answer goes wrong on the wire. */
  readonly breakOff?: BreakOff
}

export interface ApiError {
  readonly status: number
  readonly message: string
  readonly type?: string
  readonly code?: string
  readonly param?: string
}

export interface BreakOff {
  /**
   * - `reset`: TCP RST.
   * - `close`: TCP FIN: short of the Content-Length, or chunked without the last chunk.
   * - `hang`: nothing more, for ever.
   * - `stop`: the HTTP body ends as if whole: only its content is short (a stream without `[DONE]`).
   * - `error event`: an SSE `data: {"error":…}`, then a proper end.
   */
  readonly how: "reset" | "close" | "hang" | "stop" | "error event"
  /** Absent: before the status line. */
  readonly after?: After
}

/**
 * So many content tokens of a chat stream, or bytes of the body. Never past the end: `{ tokens: Infinity }` is after
 * the last token, before `finish_reason` and `[DONE]`; `{ bytes: Infinity }` is just before the end of the
 * HTTP body.
 */
export type After = "headers" | { readonly tokens: number } | { readonly bytes: number }

const apiError = (status: number, message: string, type: string, more: Partial<ApiError> = {}): Step => ({
  error: { status, message, type, ...more },
})

/** The failures of a provider, by name. */
export const fail = {
  /** 429; `retryAfter` in seconds or as an HTTP date. */
  rateLimited: (retryAfter?: number | string): Step => ({
    ...apiError(429, "Rate limit reached for requests", "requests", { code: "rate_limit_exceeded" }),
    ...(retryAfter === undefined ? {} : { headers: { "retry-after": String(retryAfter) } }),
  }),
  /** 429 that a retry does not fix. */
  quota: (): Step =>
    apiError(429, "You exceeded your current quota, please check your plan.", "insufficient_quota", {
      code: "insufficient_quota",
    }),
  badRequest: (message = "Invalid request", code?: string): Step =>
    apiError(400, message, "invalid_request_error", code === undefined ? {} : { code }),
  unauthorized: (): Step =>
    apiError(401, "Incorrect API key provided: sk-wrong.", "invalid_request_error", {
      code: "invalid_api_key",
    }),
  forbidden: (): Step =>
    apiError(403, "Country, region, or territory not supported", "request_forbidden", {
      code: "unsupported_country_region_territory",
    }),
  notFound: (): Step =>
    apiError(404, "The model does not exist", "invalid_request_error", { code: "model_not_found" }),
  /** Any other status, such as 408, 409, 500 and 503. */
  status: (status: number, message = `Scripted ${status}`): Step => apiError(status, message, "server_error"),

  html: (status = 200): Step => ({
    raw: {
      body: "<!doctype html><title>Bad gateway</title><h1>Bad gateway</h1>",
      contentType: "text/html",
      status,
    },
  }),
  empty: (contentType = "application/json"): Step => ({ raw: { body: "", contentType } }),
  cutJson: (): Step => ({ raw: { body: '{"text":"Hello, can', contentType: "application/json" } }),
  wrongShape: (): Step => ({ raw: { body: '{"result":{"data":[1,2,3]}}', contentType: "application/json" } }),
  nullContent: (): Step => ({ nullContent: true }),
  noChoices: (): Step => ({ noChoices: true }),

  reset: (after?: After): Step => breakOff("reset", after),
  /** The connection is closed, and the answer with it is too short. */
  cutOff: (after?: After): Step => breakOff("close", after),
  hang: (after?: After): Step => breakOff("hang", after),
  /** A chat stream that ends well in HTTP, yet without finish_reason and `[DONE]`. */
  withoutDone: (after: After = { tokens: Number.POSITIVE_INFINITY }): Step => breakOff("stop", after),
  /** What OpenAI sends when it fails in the middle of a stream. */
  errorEvent: (after: After = { tokens: 1 }): Step => breakOff("error event", after),
} as const

const breakOff = (how: BreakOff["how"], after?: After): Step => ({
  breakOff: after === undefined ? { how } : { how, after },
})

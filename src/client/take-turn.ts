import { decodeBase64 } from "./base64.ts"
import { type Delivery, exactlyOnce, type TurnListener } from "./deduplicate.ts"
import { aborted, badAnswer, networkLost, VoiceAgentError } from "./errors.ts"
import { type IdleTimeout, silenceMs, startIdleTimeout, turnStartMs } from "./idle-timeout.ts"
import {
  type OpenToolCalls,
  readAudioChunk,
  readReplyDelta,
  readToolCall,
  readTranscript,
  readTurnCompleted,
  readTurnFailed,
  readTurnStarted,
  type TurnCompleted,
  type TurnStarted,
} from "./model.ts"
import { newKey } from "./new-key.ts"
import { errorOf, parse } from "./read.ts"
import { isTransient, type RetryOptions, retrying } from "./retry.ts"
import { eventsOf, type ServerEvent } from "./server-sent-events.ts"
import type { ToolFunctions, ToolResult } from "./tools.ts"
import { type HttpResponse, readText, type Send } from "./transport.ts"
import { sendByXhr, type UploadProgress } from "./upload-progress.ts"

export interface ConverseOptions extends TurnListener, RetryOptions {
  /**
   * The session to continue. Without one, the turn opens a new session. So does a recording whose session is unknown or
   * expired; a text fails instead. `onStarted` receives the session's id.
   */
  readonly sessionId?: string | undefined
  /** The agent that answers this turn: the id of one of yours, or `default`. A new session keeps it. */
  readonly agentId?: string | undefined
  /** Ends the turn, on the service too. */
  readonly signal?: AbortSignal | undefined
  /** Works in browsers only. Starts from zero with each retry. */
  readonly onUploadProgress?: ((progress: UploadProgress) => void) | undefined
  /** Identifies the turn across retries: 1 to 255 visible ASCII characters. Random by default. */
  readonly idempotencyKey?: string | undefined
  /**
   * The functions of the tools that the agent's definition leaves to the client. They run once their turn is complete, and
   * their results begin the next turn, until the reply is whole. Without them, the turn ends with its `toolCalls`.
   */
  readonly tools?: ToolFunctions | undefined
}

/** What a turn begins with: a recording, a text, or the results of the calls of the turn before. */
export type TurnInput = Blob | string | ResultsInput

interface ResultsInput {
  readonly turnId: string
  readonly results: ReadonlyArray<ToolResult>
}

/** The parts of the client that a turn uses. */
export interface Service {
  readonly url: string
  readonly send: Send
  readonly headers: Readonly<Record<string, string>>
  readonly createSession: (details: { readonly agentId?: string | undefined }) => Promise<string>
  readonly cancel: (turnId: string) => Promise<void>
  readonly openCalls: (sessionId: string) => Promise<OpenToolCalls>
}

/** Delivers an event's data. Returns the result when the turn has completed. */
const deliver = ({ event, data }: ServerEvent, delivery: Delivery): TurnCompleted | undefined => {
  switch (event) {
    case "transcript":
      delivery.transcript(parse(data, readTranscript).text)
      return undefined
    case "reply.delta":
      delivery.text(parse(data, readReplyDelta).text)
      return undefined
    case "audio": {
      const { base64, format } = parse(data, readAudioChunk)
      delivery.audio(decodeBase64(base64), format)
      return undefined
    }
    case "tool_call":
      delivery.toolCall(parse(data, readToolCall))
      return undefined
    case "turn.completed":
      return parse(data, readTurnCompleted)
    case "error": {
      const { error, message } = parse(data, readTurnFailed)
      throw new VoiceAgentError({ code: error, message })
    }
    // A later version of the service may send further events.
    default:
      return undefined
  }
}

/** How long an aborted turn without an id stays connected. By then it has sent audio or failed. */
const lingerMs = 90_000

/** A turn, and whether the service had completed it before this request. */
interface TakenTurn extends TurnStarted, TurnCompleted {
  readonly isReplayed: boolean
}

/**
 * Runs one turn. After a lost connection it sends the request again with the same Idempotency-Key, and the turn
 * continues where it broke off. `signal` rejects the returned promise at once, and cancels the turn on the service as
 * soon as its id is known.
 */
export const takeTurn = (
  service: Service,
  input: TurnInput,
  options: ConverseOptions,
): Promise<TakenTurn> => {
  const { agentId, signal, onUploadProgress, idempotencyKey = newKey() } = options
  const headers = { ...service.headers, accept: "text/event-stream", "idempotency-key": idempotencyKey }
  const delivery = exactlyOnce(options)
  const ending = new AbortController()
  let sessionId = options.sessionId
  let turnId: string | undefined
  let isAborted = signal?.aborted ?? false
  let isUploading = false
  let timeout: IdleTimeout | undefined

  const progressed = (progress: UploadProgress) => {
    isUploading = progress.sent < progress.total
    if (!isAborted) onUploadProgress?.(progress)
  }
  const send = (onUploadProgress === undefined ? undefined : sendByXhr(progressed)) ?? service.send

  const hangUp = () => {
    if (turnId !== undefined) service.cancel(turnId).catch(() => undefined)
    ending.abort()
    timeout?.abort(aborted(signal?.reason))
  }

  const start = (data: string) => {
    const started = parse(data, readTurnStarted)
    turnId = started.turnId
    if (isAborted) hangUp()
    else delivery.started(started)
    return started
  }

  const read = async (
    { status, header, text }: HttpResponse,
    { restart }: IdleTimeout,
  ): Promise<TakenTurn> => {
    if (status !== 200) throw errorOf(status, await readText(text), header)
    let started: TurnStarted | undefined
    const chunks = async function* () {
      for await (const chunk of text) {
        restart(silenceMs)
        yield chunk
      }
    }
    for await (const event of eventsOf(chunks())) {
      if (event.event === "turn.started") started = start(event.data)
      else if (started === undefined) throw badAnswer(`its first event is "${event.event}"`)
      if (isAborted) throw aborted(signal?.reason)
      const completed = deliver(event, delivery)
      if (completed !== undefined && started !== undefined) {
        return { ...started, ...completed, isReplayed: header("idempotent-replayed") === "true" }
      }
    }
    throw networkLost("the response ended before the turn did")
  }

  const requestOf = async () => {
    if (typeof input === "string") {
      // Kept for the retries: the same Idempotency-Key belongs to the same session.
      sessionId ??= await service.createSession({ agentId })
      return {
        url: `${service.url}/sessions/${encodeURIComponent(sessionId)}/messages`,
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ text: input, agentId }),
      }
    }
    if (!(input instanceof Blob)) {
      return {
        url: `${service.url}/voice/turns/${encodeURIComponent(input.turnId)}/tool-results`,
        headers: { ...headers, "content-type": "application/json" },
        body: JSON.stringify({ results: input.results }),
      }
    }
    const body = new FormData()
    if (sessionId !== undefined) body.append("sessionId", sessionId)
    if (agentId !== undefined) body.append("agentId", agentId)
    body.append("audio", input, "recording")
    return { url: `${service.url}/voice/conversation`, headers, body }
  }

  const attempt = async () => {
    timeout = startIdleTimeout(turnStartMs)
    try {
      const request = await requestOf()
      return await read(await send({ method: "POST", ...request, signal: timeout.signal }), timeout)
    } finally {
      timeout.clear()
    }
  }

  if (isAborted) return Promise.reject(aborted(signal?.reason))
  const turn = retrying(attempt, options, ending.signal, (error) => !isAborted && isTransient(error))
  if (signal === undefined) return turn
  return new Promise((resolve, reject) => {
    let lingering: ReturnType<typeof setTimeout> | undefined
    const stop = () => {
      isAborted = true
      reject(aborted(signal.reason))
      // The Idempotency-Key keeps the turn running after a disconnect. So wait for the turn's id, then cancel it.
      if (turnId === undefined && !isUploading) lingering = setTimeout(hangUp, lingerMs)
      else hangUp()
    }
    signal.addEventListener("abort", stop, { once: true })
    turn.then(resolve, reject).finally(() => {
      clearTimeout(lingering)
      signal.removeEventListener("abort", stop)
    })
  })
}

import { type Delivery, makeDelivery, type TurnListener } from "./deduplicate.ts"
import { aborted, badAnswer, networkLost, VoiceAgentError } from "./errors.ts"
import { makePatience, type Patience, silenceMs, turnAnswerMs } from "./idle-timeout.ts"
import type { Turn } from "./model.ts"
import { fieldsOf, parse, problem, text, timings, usage } from "./read.ts"
import { isPassing, type RetryOptions, retrying } from "./retry.ts"
import { eventsOf, type ServerEvent } from "./server-sent-events.ts"
import { type Answer, type Send, wholeText } from "./transport.ts"
import { sendByXhr, type UploadProgress } from "./upload-progress.ts"

export interface ConverseOptions extends TurnListener, RetryOptions {
  /** Of a new session where there is none, or it has expired: `onStarted` tells. */
  readonly sessionId?: string | undefined
  /** Ends the turn, on the service too. */
  readonly signal?: AbortSignal | undefined
  /** In browsers; elsewhere nobody knows. Begins anew with each try. */
  readonly onUploadProgress?: ((progress: UploadProgress) => void) | undefined
  /** Names the turn, 1 to 255 visible ASCII characters; a new one unless told. */
  readonly idempotencyKey?: string | undefined
}

/** What a turn needs of the client. */
export interface Service {
  readonly url: string
  readonly send: Send
  readonly headers: Readonly<Record<string, string>>
  readonly cancel: (turnId: string) => Promise<void>
}

/** Not crypto.randomUUID: pages on a plain http:// address have none. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  )

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => {
  const characters = atob(base64)
  const bytes = new Uint8Array(characters.length)
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = characters.charCodeAt(at)
  return bytes
}

/** Hands an event over; gives the turn once that is whole. */
const take = (
  { event, data }: ServerEvent,
  delivery: Delivery,
): Omit<Turn, "sessionId" | "turnId"> | undefined => {
  switch (event) {
    case "transcript":
      delivery.transcript(parse(data, fieldsOf)("text", text))
      return undefined
    case "reply.delta":
      delivery.text(parse(data, fieldsOf)("text", text))
      return undefined
    case "audio": {
      const field = parse(data, fieldsOf)
      delivery.audio(bytesOf(field("base64", text)), field("format", text))
      return undefined
    }
    case "turn.completed": {
      const field = parse(data, fieldsOf)
      return {
        transcript: field("transcript", text),
        response: field("response", text),
        timings: field("timings", timings),
        usage: field("usage", usage),
      }
    }
    case "error": {
      const field = parse(data, fieldsOf)
      throw new VoiceAgentError({ code: field("error", text), message: field("message", text) })
    }
    // A later service may have further events.
    default:
      return undefined
  }
}

/** How long the end of an unwanted turn is waited for, before its id is known: by then it has sounded or failed. */
const lingerMs = 90_000

/**
 * One turn. A connection that breaks is made again with the same Idempotency-Key, and the answer goes on where it broke
 * off; `signal` ends the turn at once for the caller, and on the service as soon as its id is known.
 */
export const converse = (service: Service, audio: Blob, options: ConverseOptions): Promise<Turn> => {
  const { sessionId, signal, onUploadProgress, idempotencyKey = newKey() } = options
  const headers = { ...service.headers, accept: "text/event-stream", "idempotency-key": idempotencyKey }
  const delivery = makeDelivery(options)
  const ending = new AbortController()
  let turnId: string | undefined
  let isUnwanted = signal?.aborted ?? false
  let isUploading = false
  let patience: Patience | undefined

  const progressed = (progress: UploadProgress) => {
    isUploading = progress.sent < progress.total
    if (!isUnwanted) onUploadProgress?.(progress)
  }
  const send = (onUploadProgress === undefined ? undefined : sendByXhr(progressed)) ?? service.send

  const leave = () => {
    if (turnId !== undefined) service.cancel(turnId).catch(() => undefined)
    ending.abort()
    patience?.abort(aborted(signal?.reason))
  }

  const begun = (data: string) => {
    const field = parse(data, fieldsOf)
    const started = { sessionId: field("sessionId", text), turnId: field("turnId", text) }
    turnId = started.turnId
    if (isUnwanted) leave()
    else delivery.started(started.sessionId, started.turnId)
    return started
  }

  const read = async ({ status, header, text: body }: Answer, { renew }: Patience): Promise<Turn> => {
    if (status !== 200) throw problem(status, await wholeText(body), header)
    let started: { readonly sessionId: string; readonly turnId: string } | undefined
    const heard = async function* () {
      for await (const chunk of body) {
        renew(silenceMs)
        yield chunk
      }
    }
    for await (const event of eventsOf(heard())) {
      if (event.event === "turn.started") started = begun(event.data)
      else if (started === undefined) throw badAnswer(`it begins with the event "${event.event}"`)
      if (isUnwanted) throw aborted(signal?.reason)
      const whole = take(event, delivery)
      if (whole !== undefined && started !== undefined) return { ...started, ...whole }
    }
    throw networkLost("the answer ended before the turn did")
  }

  const attempt = async () => {
    const form = new FormData()
    if (sessionId !== undefined) form.append("sessionId", sessionId)
    form.append("audio", audio, "recording")
    patience = makePatience(turnAnswerMs)
    try {
      const call = { method: "POST", url: `${service.url}/voice/conversation`, headers, body: form }
      return await read(await send({ ...call, signal: patience.signal }), patience)
    } finally {
      patience.end()
    }
  }

  if (isUnwanted) return Promise.reject(aborted(signal?.reason))
  const turn = retrying(attempt, options, ending.signal, (error) => !isUnwanted && isPassing(error))
  if (signal === undefined) return turn
  return new Promise((resolve, reject) => {
    let lingering: ReturnType<typeof setTimeout> | undefined
    const stop = () => {
      isUnwanted = true
      reject(aborted(signal.reason))
      // Hanging up does not end a turn that has a key, so its id is waited for, and the turn ended by that.
      if (turnId === undefined && !isUploading) lingering = setTimeout(leave, lingerMs)
      else leave()
    }
    signal.addEventListener("abort", stop, { once: true })
    turn.then(resolve, reject).finally(() => {
      clearTimeout(lingering)
      signal.removeEventListener("abort", stop)
    })
  })
}

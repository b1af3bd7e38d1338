import { VoiceAgentError } from "./errors.ts"
import { fieldsOf, number, type Reader, text } from "./read.ts"
import { type Connection, connect, type RealtimeSocketClass } from "./realtime-connection.ts"
import {
  type Dialogue,
  makeDialogue,
  type RealtimeListener,
  type RealtimeState,
} from "./realtime-dialogue.ts"
import { appendEvent, messageText, type RealtimeEvent, readEvent } from "./realtime-events.ts"
import { makeToolRunner } from "./realtime-tools.ts"
import type { ToolFunctions } from "./tools.ts"

export interface RealtimeOptions extends RealtimeListener {
  /** The session to continue. Without one, the conversation opens a new session: `onSession` receives its id. */
  readonly sessionId?: string | undefined
  /** The agent of a new session: the id of one of yours, or `default`. Not with `secret`, which has its own. */
  readonly agentId?: string | undefined
  /** Settings of the session in the form of the event `session.update`, such as `{ instructions: "…" }`. */
  readonly session?: Readonly<Record<string, unknown>> | undefined
  /** The functions of the tools that the agent's definition, or `session`, leaves to the client. */
  readonly tools?: ToolFunctions | undefined
  /**
   * How much of an item's audio has been played, in ms. It decides what the agent knows to be heard after an interruption.
   * Without it, audio counts as played in real time from its arrival on.
   */
  readonly playedMs?: ((itemId: string) => number) | undefined
  /**
   * A client secret from your own server, or an API key: the socket sends it as a subprotocol. By default, the client asks
   * the service for a client secret, so that its key is never part of a socket.
   */
  readonly secret?: (() => string | Promise<string>) | undefined
  /** Replaces the global WebSocket. Node.js 20 has none: pass the one of the package `ws`. */
  readonly WebSocket?: RealtimeSocketClass | undefined
  /** Further tries of the first connection. Default: 2. */
  readonly retries?: number | undefined
  /** Tries after a lost connection. Default: without a limit, until `close`. */
  readonly reconnects?: number | undefined
  /** The pause before the first of them, in ms. Each further pause is twice as long, up to 8 s. Default: 250. */
  readonly pauseMs?: number | undefined
}

/** A conversation without turns to send: the service hears when the user speaks, and answers. */
export interface Realtime {
  readonly state: () => RealtimeState
  /** Undefined before the first connection. */
  readonly sessionId: () => string | undefined
  /** Sends the next samples of the microphone: 24 kHz, mono. What is said while it connects is kept for 5 s. */
  readonly append: (samples: Int16Array) => void
  /** Stops the reply. */
  readonly interrupt: () => void
  /** Says a text in the user's place. Stops a reply. */
  readonly say: (text: string) => void
  /** Ends the conversation. */
  readonly close: () => void
}

/** The parts of the client that a conversation uses. */
export interface RealtimeService {
  /** Of the API, without a slash at the end. */
  readonly url: string
  readonly createSecret: (agentId: string | undefined) => Promise<ClientSecret>
  readonly getSession: (id: string) => Promise<{ readonly expired: boolean }>
}

export interface ClientSecret {
  readonly value: string
  /** Unix seconds. */
  readonly expiresAt: number
}

export const readClientSecret: Reader<ClientSecret> = (value) => {
  const field = fieldsOf(value)
  return { value: field("value", text), expiresAt: field("expires_at", number) }
}

/** A secret is used again until this long before its end, in ms. */
const secretMarginMs = 30_000

/** Samples kept while there is no connection: 5 s. */
const maxKeptSamples = 5 * 24_000

/** Transcripts are off by default in the protocol. */
const defaults = { type: "realtime", audio: { input: { transcription: {} } } }

/** Errors after which another connection would end the same way. */
const finalCodes = new Set(["session_idle", "invalid_api_key", "session_taken_over", "session_not_found"])

/** Audio that waits for a connection: the newest `maxKeptSamples`. */
const makeKeptAudio = () => {
  let kept: Array<Int16Array> = []
  let samples = 0
  return {
    add: (more: Int16Array) => {
      kept.push(more)
      samples += more.length
      while (samples > maxKeptSamples) samples -= kept.shift()?.length ?? samples
    },
    take: () => {
      const taken = kept
      kept = []
      samples = 0
      return taken
    },
  }
}

const makeCredential = (service: RealtimeService, { secret, agentId }: RealtimeOptions) => {
  let known: ClientSecret | undefined
  return {
    get: async () => {
      if (secret !== undefined) return secret()
      if (known === undefined || known.expiresAt * 1000 - secretMarginMs < Date.now()) {
        known = await service.createSecret(agentId)
      }
      return known.value
    },
    forget: () => {
      known = undefined
    },
  }
}

const sessionLost = (code: "SESSION_NOT_FOUND" | "SESSION_EXPIRED") =>
  new VoiceAgentError({
    code,
    message: "The session was deleted or has expired. Start a new one.",
    status: 404,
  })

/** Starts a conversation. It connects at once, and again when the connection is lost. */
export const realtime = (service: RealtimeService, options: RealtimeOptions): Realtime => {
  const credential = makeCredential(service, options)
  const kept = makeKeptAudio()
  /** Events that wait for a connection. */
  const waiting: Array<object> = []
  let sessionId = options.sessionId
  /** A session without items is not stored, so nothing can continue it. */
  let isStored = sessionId !== undefined
  let isReady = false
  const Socket = options.WebSocket ?? globalThis.WebSocket
  if (Socket === undefined) {
    throw new VoiceAgentError({
      code: "BAD_ANSWER",
      message: "There is no WebSocket here. Pass one as `WebSocket`, such as that of the package ws.",
    })
  }

  const send = (event: object) => {
    if (!(isReady && connection.send(JSON.stringify(event)))) waiting.push(event)
  }
  const toolRunner = makeToolRunner({
    tools: options.tools ?? {},
    send: (event) => send(event),
    isBusy: () => dialogue.isBusy(),
  })
  const dialogue: Dialogue = makeDialogue({
    listener: {
      ...options,
      onState: (state) => {
        options.onState?.(state)
        toolRunner.settle()
      },
    },
    playedMs: options.playedMs,
    send,
    now: () => performance.now(),
  })

  const begin = (id: string) => {
    const isResumed = id === sessionId
    sessionId = id
    isReady = true
    connection.begin()
    connection.send(JSON.stringify({ type: "session.update", session: defaults }))
    if (options.session !== undefined) {
      connection.send(
        JSON.stringify({ type: "session.update", session: { type: "realtime", ...options.session } }),
      )
    }
    options.onSession?.({ sessionId: id, isResumed })
    for (const event of waiting.splice(0)) send(event)
    for (const samples of kept.take()) connection.send(appendEvent(samples))
  }

  const take = (event: RealtimeEvent) => {
    if (event.type === "created") begin(event.sessionId)
    if (event.type === "transcript" && event.text !== "") isStored = true
    if (event.type === "error" && finalCodes.has(event.failure.code)) {
      return connection.end(new VoiceAgentError(event.failure))
    }
    dialogue.take(event)
    if (event.type === "responseCreated") toolRunner.answered()
    if (event.type === "responseDone") {
      for (const call of event.calls) options.onToolCall?.(call)
      if (options.tools !== undefined) toolRunner.run(event.calls)
    }
    toolRunner.settle()
  }

  const connection: Connection = connect({
    Socket,
    url: () => {
      const query = isStored && sessionId !== undefined ? `?session_id=${encodeURIComponent(sessionId)}` : ""
      return `${service.url.replace(/^http/, "ws")}/realtime${query}`
    },
    credential: credential.get,
    explain: async () => {
      // It may have been revoked.
      credential.forget()
      if (!isStored || sessionId === undefined) return
      const found = await service.getSession(sessionId).catch((error: unknown) => {
        if (error instanceof VoiceAgentError && error.code === "SESSION_NOT_FOUND") throw error
        return { expired: false }
      })
      if (found.expired) throw sessionLost("SESSION_EXPIRED")
    },
    onMessage: (data) => {
      try {
        const event = readEvent(messageText(data))
        if (event !== undefined) take(event)
      } catch (error) {
        if (!(error instanceof VoiceAgentError)) throw error
        options.onError?.(error)
      }
    },
    onLost: () => {
      isReady = false
      dialogue.lose()
    },
    onEnd: (error) => {
      toolRunner.close()
      dialogue.close()
      options.onClosed?.(error)
    },
    retries: options.retries ?? 2,
    reconnects: options.reconnects ?? Number.POSITIVE_INFINITY,
    pauseMs: options.pauseMs ?? 250,
  })

  return {
    state: dialogue.state,
    sessionId: () => sessionId,
    append: (samples) => {
      if (!(isReady && connection.send(appendEvent(samples)))) kept.add(samples)
    },
    interrupt: dialogue.interrupt,
    say: (text) => {
      dialogue.interrupt()
      const content = [{ type: "input_text", text }]
      send({ type: "conversation.item.create", item: { type: "message", role: "user", content } })
      send({ type: "response.create" })
    },
    close: () => {
      if (dialogue.state() === "closed") return
      toolRunner.close()
      dialogue.close()
      connection.close()
      options.onClosed?.(undefined)
    },
  }
}

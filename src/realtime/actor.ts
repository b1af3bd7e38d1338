import { Deferred, type Effect, Exit, type Fiber, type Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import type { Pcm16k } from "../audio/pcm.ts"
import type { SessionItems } from "../conversation/session-items.ts"
import type { TurnSession } from "../conversation/stored-turn.ts"
import type { Admission } from "../limits/admission.ts"
import type { RateLimits } from "../limits/rate-limits.ts"
import type { UserId } from "../schema.ts"
import type { Turns } from "../turn/turns.ts"
import { makeAnswers } from "./answers.ts"
import type { ConversationItem } from "./conversation.ts"
import { type Heard, makeHearing, type Transcribed } from "./hearing.ts"
import { makeItems } from "./items.ts"
import type { Listener } from "./listening.ts"
import type { Wire } from "./outbox.ts"
import { makeRequests } from "./requests.ts"
import { makeResponding, type ResponseReport } from "./responding.ts"
import type { SessionSettings } from "./settings.ts"
import { makeTimer } from "./timer.ts"
import type { HeardText, HearError } from "./utterance.ts"
import type { Writes } from "./writes.ts"

/** All that happens to a session, in the order in which it takes it. */
export type Message =
  | { readonly _tag: "Client"; readonly text: string }
  | Heard
  | Transcribed
  | ResponseReport
  /** The client has played the last reply. */
  | { readonly _tag: "Played"; readonly ring: number }
  /** The user has said nothing for `idle_timeout_ms` since then. */
  | { readonly _tag: "Silent"; readonly ring: number }
  | { readonly _tag: "Drain"; readonly done: Deferred.Deferred<void> }

export interface ActorOptions {
  readonly userId: UserId
  readonly session: TurnSession
  readonly restored: ReadonlyArray<ConversationItem>
  readonly settings: SessionSettings
  readonly hearing: Agent["hearing"]
  readonly wire: Wire
  readonly listener: Listener
  readonly writes: Writes
  readonly services: {
    readonly stored: SessionItems["Type"]
    readonly turns: Turns["Type"]
    readonly limits: RateLimits["Type"]
    readonly admission: Admission["Type"]
  }
  /** Transcribes speech that came in one piece. */
  readonly transcribe: (speech: Pcm16k) => Effect.Effect<HeardText, HearError>
  /** ISO 639-1. None: the recognizer detects the language. */
  readonly language: () => Option.Option<string>
  /** ms since 1970. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  readonly offer: (message: Message) => void
}

/** The state of one session, and what it does with each message. It takes one message after the other. */
export interface Actor {
  readonly handle: (message: Message) => void
  /** Keeps what was heard of the reply that runs or plays. For the end of the connection. */
  readonly keepHeard: Effect.Effect<void>
}

export const makeActor = (options: ActorOptions): Actor => {
  const { userId, session, settings, wire, listener, writes, services, now, fork, offer } = options
  const { config, facts } = settings
  const { send } = wire
  const draining: Array<Deferred.Deferred<void>> = []

  const played = makeTimer(fork, (ring) => offer({ _tag: "Played", ring }))
  const silence = makeTimer(fork, (ring) => offer({ _tag: "Silent", ring }))

  const items = makeItems({
    userId,
    sessionId: session.id,
    isStored: !session.isNew,
    restored: options.restored,
    stored: services.stored,
    writes,
    send,
  })
  const responding = makeResponding({
    ...services,
    userId,
    conversationId: session.id,
    writes,
    items,
    wire,
    now,
    fork,
    report: offer,
    onPlaying: (isPlaying) => {
      if (isPlaying) {
        settings.noteAudio()
        played.clear()
        silence.clear()
      }
      listener.replying({ isPlaying })
    },
  })
  const answers = makeAnswers({ responding, items, config, facts })
  const hearing = makeHearing({
    items,
    answers,
    listener,
    config,
    language: options.language,
    send,
    now,
    fork,
    report: offer,
    count: (counted) => services.limits.take(counted, userId),
  })
  const handleClient = makeRequests({
    settings,
    items,
    responding,
    answers,
    hearing,
    send,
    transcribe: options.transcribe,
    maxSeconds: options.hearing.maxSeconds,
  })

  /** The pause after a reply that the client asked to be notified of, in ms. */
  const idleTimeout = () => {
    const detection = config().audio.input.turn_detection
    return detection?.type === "server_vad" ? detection.idle_timeout_ms : null
  }

  /** A response of the conversation is done: the client still plays it. */
  const afterResponse = () => played.set(responding.leftMs())

  const onPlayed = () => {
    responding.played()
    const timeout = idleTimeout()
    if (timeout !== null && answers.isIdle()) silence.set(timeout)
  }

  const onSilent = () => {
    const timeout = idleTimeout()
    if (timeout !== null && answers.isIdle()) hearing.timeOut(timeout)
  }

  const take = (message: Message) => {
    switch (message._tag) {
      case "Client":
        return handleClient(message.text)
      case "Heard":
        silence.clear()
        return hearing.take(message)
      case "Transcribed":
        return hearing.takeTranscript(message)
      case "Played":
        return played.isDue(message.ring) ? onPlayed() : undefined
      case "Silent":
        return silence.isDue(message.ring) ? onSilent() : undefined
      case "Drain":
        answers.close()
        return void draining.push(message.done)
      default: {
        const before = responding.current()
        answers.take(message)
        if (before !== undefined && message._tag === "TurnEnded" && message.id === before) afterResponse()
      }
    }
  }

  return {
    handle: (message) => {
      take(message)
      if (draining.length === 0 || !answers.isDone()) return
      for (const done of draining.splice(0)) Deferred.unsafeDone(done, Exit.void)
    },
    keepHeard: responding.keepHeard,
  }
}

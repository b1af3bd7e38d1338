import { Cause, Deferred, Duration, Effect, Exit, type Fiber, Option } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import type { Agent } from "../agent/agent.ts"
import type { Pcm16k } from "../audio/pcm.ts"
import type { Item } from "../conversation/item.ts"
import type { SessionItems } from "../conversation/session-items.ts"
import type { Admission } from "../limits/admission.ts"
import type { RateLimits } from "../limits/rate-limits.ts"
import type { Turns } from "../turn/turns.ts"
import type { Meter } from "../usage/bill.ts"
import { makeAnswers } from "./answers.ts"
import { type Heard, type MoreAudio, makeHearing, type Transcribed } from "./hearing.ts"
import { makeItems } from "./items.ts"
import type { Listener } from "./listener.ts"
import type { Wire } from "./outbox.ts"
import type { AgentFacts } from "./protocol/session-config.ts"
import { makeRequests } from "./requests.ts"
import { makeResponding } from "./responding.ts"
import type { ResponseReport } from "./response-turn.ts"
import type { SessionSettings } from "./settings.ts"
import type { StoredSession } from "./stored-session.ts"
import { makeTimer } from "./timer.ts"
import type { HeardText, HearError, Refusal } from "./utterance.ts"
import type { Writes } from "./writes.ts"

/** All that happens to a session, in the order in which it takes it. */
export type Message =
  | { readonly _tag: "Client"; readonly text: string }
  | MoreAudio
  | Heard
  | Transcribed
  | ResponseReport
  /** The client has played the last reply. */
  | { readonly _tag: "Played"; readonly ring: number }
  /** The client had time to set up its session. */
  | { readonly _tag: "Greet"; readonly ring: number }
  /** The user has said nothing for `idle_timeout_ms` since then. */
  | { readonly _tag: "Silent"; readonly ring: number }
  /** `waitsFor`: what runs until `done`. No other response begins. */
  | {
      readonly _tag: "Close"
      readonly waitsFor: "responses" | "transcripts"
      readonly done: Deferred.Deferred<void>
    }

/** What the session has to work on for a message, in about characters or bytes. */
export const costOf = (message: Message): number => {
  if (message._tag === "Client") return message.text.length
  return message._tag === "MoreAudio" ? pieceCost : 0
}

/** A second of audio. */
const pieceCost = 64_000

type Close = Extract<Message, { readonly _tag: "Close" }>

/** How long the end of a connection waits for the transcripts of what the user said. */
const lastWordsTimeout = Duration.seconds(10)

/** For the first `session.update` of a client, in ms. Clients send it as soon as they have `session.created`. */
const setUpMs = 500

/** Prompts in a row that the user's silence causes. */
const maxUnanswered = 3

export interface ActorOptions {
  readonly user: Pick<SignedIn, "id" | "keyId">
  readonly session: StoredSession
  /** The items of earlier connections. */
  readonly restored: ReadonlyArray<Item>
  readonly settings: SessionSettings
  /** What the client was shown of the session's agent. */
  readonly agentFacts: AgentFacts
  readonly hearing: Agent["hearing"]
  /** The agent speaks first, unless something else happens before. */
  readonly greets: boolean
  /** Answers begin during the last silence. */
  readonly speculates: boolean
  readonly wire: Wire
  readonly listener: Listener
  readonly writes: Writes
  /** A turn found that the session was deleted. */
  readonly onSessionGone: () => void
  readonly services: {
    readonly stored: SessionItems["Type"]
    readonly turns: Turns["Type"]
    readonly limits: RateLimits["Type"]
    readonly admission: Admission["Type"]
  }
  /** Transcribes speech that came in one piece. */
  readonly transcribe: (speech: Pcm16k) => Effect.Effect<HeardText, HearError>
  /** Counts speech that is to be transcribed in the user's rate limits. */
  readonly count: Effect.Effect<unknown, Refusal>
  /** What transcriptions consume. */
  readonly meter: Meter
  /** Counts what the meter has. */
  readonly charge: Effect.Effect<void>
  /** ISO 639-1. None: the recognizer detects the language. */
  readonly language: () => Option.Option<string>
  /** ms since 1970. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => Fiber.RuntimeFiber<void>
  readonly offer: (message: Message) => void
  /** The same for a message that comes directly after the one that is being handled. */
  readonly offerNext: (message: Message) => void
}

/** The state of one session, and what it does with each message. It takes one message after the other. */
export interface Actor {
  readonly handle: (message: Message) => void
  /** For an end by the service: ends the running responses with their closing events. Not while a message is handled. */
  readonly stop: () => void
  /** For a shutdown: resolves when the running responses have ended. */
  readonly drain: Effect.Effect<void>
  /**
   * For the end of the connection: keeps what was heard of the reply that runs or plays, and the user's words that are being
   * transcribed, for which it waits up to 10 s.
   */
  readonly leave: Effect.Effect<void>
}

const isSessionGone = ({ exit }: Extract<ResponseReport, { readonly _tag: "TurnEnded" }>) =>
  Exit.isFailure(exit) &&
  Option.exists(Cause.failureOption(exit.cause), ({ _tag }) => _tag === "SessionNotFound")

export const makeActor = (options: ActorOptions): Actor => {
  const { user, session, settings, wire, listener, writes, services, now, fork, offer } = options
  const { config, facts } = settings
  const { send } = wire
  let closing: ReadonlyArray<Close> = []

  const played = makeTimer(fork, (ring) => offer({ _tag: "Played", ring }))
  const greeting = makeTimer(fork, (ring) => offer({ _tag: "Greet", ring }))
  const silence = makeTimer(fork, (ring) => offer({ _tag: "Silent", ring }))

  const items = makeItems({
    userId: user.id,
    meter: options.meter,
    session,
    restored: options.restored,
    stored: services.stored,
    writes,
    send,
  })
  const responding = makeResponding({
    ...services,
    user,
    conversationId: session.target().id,
    session,
    writes,
    items,
    agentFacts: options.agentFacts,
    wire,
    now,
    fork,
    report: offer,
    onPlaying: (isPlaying) => {
      if (isPlaying) {
        settings.noteAudio()
        played.clear()
        endSilence()
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
    speculates: options.speculates,
    language: options.language,
    send,
    now,
    fork,
    report: offer,
    postpone: options.offerNext,
    count: options.count,
    charge: () => fork(options.charge),
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

  /** Prompts since the user last made a sound. */
  let unanswered = 0

  /** Nothing was said since a reply was played, or since a noise. */
  let isSilent = false

  const endSilence = () => {
    isSilent = false
    silence.clear()
  }

  const awaitSilence = () => {
    isSilent = true
    const timeout = idleTimeout()
    if (timeout === null) silence.clear()
    else if (answers.isIdle() && unanswered < maxUnanswered) silence.set(timeout)
  }

  const onClient = (text: string) => {
    const before = idleTimeout()
    handleClient(text)
    if (isSilent && idleTimeout() !== before) awaitSilence()
  }

  if (options.greets) greeting.set(setUpMs)

  const onGreet = () => {
    if (items.isEmpty() && answers.isIdle()) answers.greet()
  }

  const onPlayed = () => {
    responding.played()
    awaitSilence()
  }

  const onSilent = () => {
    const timeout = idleTimeout()
    if (timeout === null || !answers.isIdle()) return
    unanswered += 1
    hearing.timeOut(timeout)
  }

  const take = (message: Message) => {
    switch (message._tag) {
      case "Client":
        return onClient(message.text)
      case "MoreAudio":
        return hearing.takeAudio(message)
      case "Heard":
        endSilence()
        unanswered = 0
        return hearing.take(message)
      case "Transcribed":
        return hearing.takeTranscript(message)
      case "Played":
        return played.isDue(message.ring) ? onPlayed() : undefined
      case "Greet":
        return greeting.isDue(message.ring) ? onGreet() : undefined
      case "Silent":
        return silence.isDue(message.ring) ? onSilent() : undefined
      case "Close":
        answers.close({ dropsOrders: message.waitsFor === "transcripts" })
        closing = [...closing, message]
        return
      default: {
        const before = responding.current()
        answers.take(message)
        if (message._tag !== "TurnEnded") return
        if (message.id === before) afterResponse()
        if (isSessionGone(message)) options.onSessionGone()
      }
    }
  }

  const isOver = ({ waitsFor }: Close) => (waitsFor === "responses" ? answers.isDone() : !answers.isHearing())

  const close = (waitsFor: Close["waitsFor"]) =>
    Effect.gen(function* () {
      const done = yield* Deferred.make<void>()
      offer({ _tag: "Close", waitsFor, done })
      yield* Deferred.await(done)
    })

  return {
    handle: (message) => {
      const wasIdle = answers.isIdle()
      take(message)
      // What was said had no words, or was dropped: no response sets the timer.
      if (!wasIdle && message._tag !== "TurnEnded" && responding.leftMs() === 0) awaitSilence()
      for (const { done } of closing.filter(isOver)) Deferred.unsafeDone(done, Exit.void)
      closing = closing.filter((each) => !isOver(each))
    },
    stop: answers.stop,
    drain: close("responses"),
    leave: close("transcripts").pipe(
      Effect.timeoutOption(lastWordsTimeout),
      Effect.interruptible,
      Effect.zip(responding.keepHeard, { concurrent: true }),
    ),
  }
}

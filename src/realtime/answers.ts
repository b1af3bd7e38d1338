import { Either, Option } from "effect"
import type { NewItem } from "../conversation/item.ts"
import { newId, TurnId } from "../schema.ts"
import {
  type Answering,
  type AnsweringEvent,
  forget,
  initialAnswering,
  nextAnswer,
  step,
} from "./answering.ts"
import type { Items } from "./items.ts"
import type { ClientEvent } from "./protocol/client-events.ts"
import { type ProtocolError, protocolErrors } from "./protocol/errors.ts"
import { type ResponseConfig, responseConfig } from "./protocol/response.ts"
import type { RealtimeConfig, SessionConfig } from "./protocol/session-config.ts"
import type { UpdateFacts } from "./protocol/update-config.ts"
import type { Responding } from "./responding.ts"
import type { ResponseOrder, ResponseReport } from "./response-turn.ts"

/** Responses outside the conversation that may run or wait at a time. */
const maxOutOfBand = 8

/** For the model, after noise has cut its reply. */
const resumeNote =
  "A noise interrupted your last reply, and the user heard only the part of it that is in the conversation. The user said nothing. Continue the reply from there, without repeating what was heard and without a word about the interruption."

const silenceNote = (ms: number) =>
  `The user has been silent for ${Math.round(ms / 1000)} seconds. Say something short that fits the conversation, such as a question whether the user is still there.`

export interface AnswersOptions {
  readonly responding: Responding
  readonly items: Items
  readonly config: () => SessionConfig
  readonly facts: () => UpdateFacts
}

/** Which responses are made, and when. Plain functions, called by the session alone. */
export interface Answers {
  /** Something happened that an answer may follow. */
  readonly note: (event: AnsweringEvent) => void
  /** Handles response.create. Waits for the transcripts of what was said before. */
  readonly ask: (
    event: Extract<ClientEvent, { readonly type: "response.create" }>,
  ) => Either.Either<void, ProtocolError>
  /** Handles response.cancel. */
  readonly cancel: (responseId: string | undefined) => Either.Either<void, ProtocolError>
  /** The user interrupts: cancels the reply, or ends its play-back. */
  readonly interrupt: () => void
  /** Answers the user's silence of `ms`. */
  readonly breakSilence: (ms: number) => void
  /** Says the greeting of the agent. */
  readonly greet: () => void
  /** The speech so far may be all: if a response would follow it, begins to work on that. */
  readonly expect: (said: NewItem, text: string) => void
  /** What was expected is not so: drops the work on the response to it, unless the transcript is that `text`. */
  readonly unexpect: (text?: string) => void
  readonly take: (report: ResponseReport) => void
  /** Nothing is said, transcribed or answered. */
  readonly isIdle: () => boolean
  /** No response runs or waits. */
  readonly isDone: () => boolean
  /** Something that was said is being transcribed. */
  readonly isHearing: () => boolean
  /** Ends the running responses, and makes no others. */
  readonly stop: () => void
  /** Makes no further responses: except for those that were ordered, or not even those. */
  readonly close: (options: { readonly dropsOrders: boolean }) => void
}

export const makeAnswers = ({ responding, items, config, facts }: AnswersOptions): Answers => {
  let answering: Answering = initialAnswering
  /** Ordered by the client while speech was being transcribed. */
  let waiting: ReadonlyArray<ResponseOrder> = []
  let isClosed = false
  /** The response to what the user may have said, before that is certain. */
  let expected: { readonly text: string; readonly order: ResponseOrder } | undefined

  const unexpect = () => {
    if (expected !== undefined) responding.drop()
    expected = undefined
  }

  const begin = (order: ResponseOrder) => {
    responding.begin(order)
    if (!order.config.inConversation) return
    expected = undefined
    answering = step(answering, { _tag: "ResponseStarted" })
  }

  const ownOrder = (
    session: RealtimeConfig,
    note: Option.Option<string>,
    reply: ResponseOrder["reply"] = "model",
  ) =>
    Either.map(
      responseConfig(session, {}, facts()),
      (own): ResponseOrder => ({ id: newId(TurnId), config: own, context: Option.none(), note, reply }),
    )

  /** Makes a response of our own. */
  const answer = (note: Option.Option<string>) => {
    const session = config()
    if (isClosed || session.type === "transcription") return
    if (expected !== undefined && Option.isNone(note)) return begin(expected.order)
    const order = ownOrder(session, note)
    if (Either.isRight(order)) begin(order.right)
  }

  const settle = () => {
    if (answering.pending === 0) {
      const orders = waiting
      waiting = []
      for (const order of orders) begin(order)
    }
    const next = nextAnswer(answering, responding.current() !== undefined)
    if (next === undefined) return
    answering = next === "none" ? forget(answering) : { ...answering, isWanted: false }
    if (next !== "none") answer(next === "resume" ? Option.some(resumeNote) : Option.none())
  }

  const note = (event: AnsweringEvent) => {
    answering = step(answering, event)
    settle()
    // It was not wanted after all.
    if (event._tag === "Transcribed") unexpect()
  }

  /** The response of the conversation that runs or waits. */
  const active = () => responding.current() ?? waiting.find((order) => order.config.inConversation)?.id

  const refusal = ({ inConversation }: ResponseConfig): ProtocolError | undefined => {
    const running = active()
    if (isClosed)
      return protocolErrors.server("server_shutdown", "The server is shutting down. Connect again.")
    if (inConversation) return running === undefined ? undefined : protocolErrors.activeResponse(running)
    const outOfBand = waiting.filter((order) => !order.config.inConversation).length + responding.outOfBand()
    return outOfBand < maxOutOfBand ? undefined : protocolErrors.tooManyOutOfBand(maxOutOfBand)
  }

  const close: Answers["close"] = ({ dropsOrders }) => {
    isClosed = true
    unexpect()
    if (dropsOrders) waiting = []
  }

  return {
    note,
    ask: (event) =>
      Either.gen(function* () {
        const session = config()
        if (session.type === "transcription") {
          return yield* Either.left(protocolErrors.notInTranscription(event.type))
        }
        const wanted = yield* responseConfig(session, event.response, facts())
        const refused = refusal(wanted)
        if (refused !== undefined) return yield* Either.left(refused)
        const context =
          wanted.input === undefined ? Option.none() : Option.some(yield* items.contextOf(wanted.input))
        waiting = [
          ...waiting,
          { id: newId(TurnId), config: wanted, context, note: Option.none(), reply: "model" },
        ]
        return settle()
      }),
    cancel: (responseId) => {
      const id = responseId ?? active()
      const ordered = waiting.find((order) => order.id === id)
      if (ordered !== undefined) {
        waiting = waiting.filter((order) => order !== ordered)
        // Its client waits for the beginning and the end of it.
        begin(ordered)
      }
      if (id === undefined || !responding.isRunning(id)) return Either.left(protocolErrors.cancelNotActive())
      responding.cancel(id, "client_cancelled")
      settle()
      return Either.void
    },
    interrupt: () => {
      const id = responding.current()
      const hadOutput = id !== undefined && responding.cancel(id, "turn_detected")
      const hasOutput = responding.stopPlaying() || hadOutput
      if (id !== undefined || hasOutput) answering = step(answering, { _tag: "ResponseCut", hasOutput })
    },
    expect: (said, text) => {
      const session = config()
      const isFree = answering.pending === 0 && waiting.length === 0 && responding.current() === undefined
      if (isClosed || !isFree || expected !== undefined || session.type === "transcription") return
      const order = ownOrder(session, Option.none())
      if (Either.isLeft(order)) return
      expected = { text, order: order.right }
      responding.speculate(order.right, said)
    },
    unexpect: (text) => {
      if (text === undefined || text !== expected?.text) unexpect()
    },
    greet: () => {
      const session = config()
      if (isClosed || session.type === "transcription") return
      const order = ownOrder(session, Option.none(), "greeting")
      if (Either.isRight(order)) begin(order.right)
    },
    breakSilence: (ms) => answer(Option.some(silenceNote(ms))),
    take: (report) => {
      if (responding.take(report)) settle()
    },
    isIdle: () => !answering.isSpeaking && answering.pending === 0 && active() === undefined,
    isDone: () => waiting.length === 0 && responding.current() === undefined && responding.outOfBand() === 0,
    isHearing: () => answering.pending > 0,
    close,
    stop: () => {
      close({ dropsOrders: true })
      responding.cancelAll()
    },
  }
}

import { Chunk, Option, Struct } from "effect"
import type { BroughtResult, RecordedCall } from "../conversation/rounds.ts"
import type { EndReason } from "../providers/language-model.ts"
import { type ItemId, noUsage, type SessionId, type Timings, type TurnId } from "../schema.ts"
import { addConsumed, type Consumed, freeBill } from "../usage/bill.ts"
import type { OutputOptions, Source, TurnEvent, TurnStage } from "./events.ts"

interface StageTimes {
  readonly startedAt: number
  readonly endedAt: Option.Option<number>
}

/** A position in the text of all rounds (UTF-16 units, thinking that was sent included), and the playing time up to it. */
export interface Position {
  readonly text: number
  readonly ms: number
}

/** After the event `seq`, all audio up to the position was sent. */
interface SpokenMark extends Position {
  readonly seq: number
}

/** One round of the model: what it wrote and called, and what became of the calls. */
export interface Round {
  /** None before the round has begun, and in a replay. */
  readonly messageId: Option.Option<ItemId>
  /** Where its text and its audio begin. */
  readonly start: Position
  readonly startedAt: number
  /** The round's part of the reply as the model has written it so far. */
  readonly text: string
  /** UTF-16 units before the text that were sent, or written after it, and turned out to be thinking. */
  readonly thinkingSent: number
  readonly calls: ReadonlyArray<RecordedCall>
  /** Why the model ended. None while it writes. */
  readonly endReason: Option.Option<EndReason>
  /** The first text or, in a round without text, the first tool call. */
  readonly firstTokenAt: Option.Option<number>
  readonly firstSpeechAt: Option.Option<number>
  /** True once a streaming client was sent a part of the round: it cannot be retried. */
  readonly isSent: boolean
}

/** What the rounds add to, so what is set back when a try of a round is dropped. */
interface Progress {
  /** From the first request for text to the first text, in ms. */
  readonly llmTtft: Option.Option<number>
  /** From the first request for speech to the first audio, in ms. */
  readonly ttsTtfb: Option.Option<number>
  readonly firstTokenAt: Option.Option<number>
  /** The first audio of the turn that was not dropped. */
  readonly firstAudioAt: Option.Option<number>
  /**
   * The `seq` of the first audio or tool call of the client or, if the reply is not spoken, of the first text. None while all
   * of it was dropped.
   */
  readonly firstOutput: Option.Option<number>
  /** Empty unless `keepsAudio`. */
  readonly audio: Chunk.Chunk<Uint8Array>
  /** The playing time of all audio so far. */
  readonly audioMs: number
  /** When a client that plays the audio as it arrives has played all of it, in ms since 1970. 0: there was none. */
  readonly playsUntil: number
  readonly spoken: ReadonlyArray<SpokenMark>
  readonly lastSpokenAt: Option.Option<number>
}

/** The fold of a turn's events. Everything that the service knows about the turn is here. */
export interface TurnState extends Progress {
  readonly output: OutputOptions
  /** True if all audio is kept: for a response that is not streamed, or for a retry with the same Idempotency-Key. */
  readonly keepsAudio: boolean
  /** The end of the upload, in ms since 1970. */
  readonly beganAt: number
  readonly uploadMs: number
  readonly ids: Option.Option<{ readonly sessionId: SessionId; readonly turnId: TurnId }>
  readonly replayOf: Option.Option<Partial<Timings>>
  readonly stages: Readonly<Partial<Record<TurnStage, StageTimes>>>
  readonly heard: Option.Option<{ readonly transcript: string; readonly source: Source }>
  /** What the turn began with, apart from words. */
  readonly brought: ReadonlyArray<BroughtResult>
  /** The rounds before the current one, oldest first. */
  readonly earlier: ReadonlyArray<Round>
  readonly round: Round
  /** The progress at the start of the current round. */
  readonly before: Progress
  /** How long the turn waited for tools that it runs, in ms. Without a wait that goes on. */
  readonly toolsMs: number
  readonly consumed: Consumed
  readonly isSaved: boolean
}

const noProgress: Progress = {
  llmTtft: Option.none(),
  ttsTtfb: Option.none(),
  firstTokenAt: Option.none(),
  firstAudioAt: Option.none(),
  firstOutput: Option.none(),
  audio: Chunk.empty(),
  audioMs: 0,
  playsUntil: 0,
  spoken: [],
  lastSpokenAt: Option.none(),
}

const newRound = (
  { start, startedAt }: Pick<Round, "start" | "startedAt">,
  messageId: Round["messageId"],
): Round => ({
  messageId,
  start,
  startedAt,
  text: "",
  thinkingSent: 0,
  calls: [],
  endReason: Option.none(),
  firstTokenAt: Option.none(),
  firstSpeechAt: Option.none(),
  isSent: false,
})

export const initialState = (begin: {
  readonly output: OutputOptions
  readonly keepsAudio: boolean
  readonly beganAt: number
  readonly uploadMs: number
  readonly currency: string
}): TurnState => ({
  ...Struct.omit(begin, "currency"),
  ...noProgress,
  ids: Option.none(),
  replayOf: Option.none(),
  stages: {},
  heard: Option.none(),
  brought: [],
  earlier: [],
  round: newRound({ start: { text: 0, ms: 0 }, startedAt: begin.beganAt }, Option.none()),
  before: noProgress,
  toolsMs: 0,
  consumed: { usage: noUsage, bill: freeBill(begin) },
  isSaved: false,
})

const orFirst = <A>(known: Option.Option<A>, now: A): Option.Option<A> =>
  Option.isSome(known) ? known : Option.some(now)

const since = (known: Option.Option<number>, times: StageTimes | undefined, at: number) =>
  Option.isSome(known) || times === undefined ? known : Option.some(Math.max(0, at - times.startedAt))

const progressOf = ({
  llmTtft,
  ttsTtfb,
  firstTokenAt,
  firstAudioAt,
  firstOutput,
  ...state
}: TurnState): Progress => ({
  llmTtft,
  ttsTtfb,
  firstTokenAt,
  firstAudioAt,
  firstOutput,
  audio: state.audio,
  audioMs: state.audioMs,
  playsUntil: state.playsUntil,
  spoken: state.spoken,
  lastSpokenAt: state.lastSpokenAt,
})

/** The state without the text, the calls and the speech of the current try. */
const withoutTry = ({ stages: { tts: _, ...stages }, ...state }: TurnState): TurnState => ({
  ...state,
  ...state.before,
  // What was sent stays sent.
  ...(state.round.isSent ? { firstAudioAt: state.firstAudioAt, firstOutput: state.firstOutput } : {}),
  stages,
  round: { ...newRound(state.round, state.round.messageId), isSent: state.round.isSent },
})

/** The position of the end of the reply in what was sent, in UTF-16 units. */
export const writtenLength = ({ round: { start, thinkingSent, text } }: Pick<TurnState, "round">): number =>
  start.text + thinkingSent + text.length

const nextRound = (state: TurnState, messageId: ItemId, at: number): TurnState => ({
  ...state,
  earlier: [...state.earlier, state.round],
  before: progressOf(state),
  round: newRound(
    { start: { text: writtenLength(state), ms: state.audioMs }, startedAt: at },
    Option.some(messageId),
  ),
})

/** The first token of a round. */
const withToken = (state: TurnState, at: number): TurnState => ({
  ...state,
  llmTtft: since(state.llmTtft, state.stages.llm, at),
  firstTokenAt: orFirst(state.firstTokenAt, at),
  round: { ...state.round, firstTokenAt: orFirst(state.round.firstTokenAt, at) },
})

/** The state after one more event. Pure: the same events give the same state. */
export const step = (state: TurnState, event: TurnEvent): TurnState => {
  const { at, seq } = event
  const { round } = state
  switch (event._tag) {
    case "Started": {
      const { sessionId, turnId, replayOf } = event
      return { ...state, ids: Option.some({ sessionId, turnId }), replayOf }
    }
    case "StageStarted":
      return {
        ...state,
        stages: { ...state.stages, [event.stage]: { startedAt: at, endedAt: Option.none() } },
      }
    case "StageEnded": {
      const startedAt = state.stages[event.stage]?.startedAt ?? at
      return {
        ...state,
        stages: { ...state.stages, [event.stage]: { startedAt, endedAt: Option.some(at) } },
        toolsMs: state.toolsMs + (event.stage === "tools" ? at - startedAt : 0),
      }
    }
    case "Heard":
      return { ...state, heard: Option.some({ transcript: event.text, source: event.source }) }
    case "ResultsBrought":
      return { ...state, brought: event.results }
    case "RoundStarted": {
      if (event.round > state.earlier.length) return nextRound(state, event.messageId, at)
      const { llm: _, ...stages } = state.stages
      const dropped = withoutTry({ ...state, stages })
      return {
        ...dropped,
        round: { ...dropped.round, messageId: Option.some(event.messageId), startedAt: at },
      }
    }
    case "Retracted":
      // What was sent stays sent, and its audio goes on. It is no part of the reply that is saved.
      return round.isSent
        ? { ...state, round: { ...round, thinkingSent: writtenLength(state) - round.start.text, text: "" } }
        : withoutTry(state)
    case "TextDelta": {
      const isOutput = state.output.format === "none"
      const written = withToken(state, at)
      return {
        ...written,
        firstOutput: isOutput ? orFirst(state.firstOutput, seq) : state.firstOutput,
        round: {
          ...written.round,
          text: round.text + event.text,
          isSent: round.isSent || (state.output.streaming && state.output.streamsText),
        },
      }
    }
    case "ToolCalled": {
      const { itemId, by, callId, name, arguments: args } = event
      const call = { itemId, by, callId, name, arguments: args, result: Option.none() }
      const called = withToken(state, at)
      const calls = [...round.calls, call]
      if (by === "service") return { ...called, round: { ...called.round, calls } }
      return {
        ...called,
        firstOutput: orFirst(state.firstOutput, seq),
        round: { ...called.round, calls, isSent: round.isSent || state.output.streaming },
      }
    }
    case "ToolReturned": {
      const { callId, itemId, output, isError } = event
      const result = Option.some({ itemId, output, isError })
      const calls = round.calls.map((call) => (call.callId === callId ? { ...call, result } : call))
      return { ...state, round: { ...round, calls } }
    }
    case "RoundEnded": {
      const ended = withToken(state, at)
      return { ...ended, round: { ...ended.round, endReason: Option.some(event.reason) } }
    }
    case "Audio":
      return {
        ...state,
        ttsTtfb: since(state.ttsTtfb, state.stages.tts, at),
        firstAudioAt: orFirst(state.firstAudioAt, at),
        firstOutput: orFirst(state.firstOutput, seq),
        round: {
          ...round,
          firstSpeechAt: orFirst(round.firstSpeechAt, at),
          isSent: round.isSent || state.output.streaming,
        },
        audio: state.keepsAudio ? Chunk.append(state.audio, event.bytes) : state.audio,
        audioMs: state.audioMs + event.ms,
        playsUntil: Math.max(state.playsUntil, at) + event.ms,
      }
    case "SpokenTo":
      return {
        ...state,
        spoken: [...state.spoken, { seq, text: event.text, ms: event.ms }],
        lastSpokenAt: Option.some(at),
      }
    case "Used":
      return { ...state, consumed: addConsumed(state.consumed, event.consumed) }
    case "Completed":
    case "Interrupted":
      return { ...state, isSaved: true }
  }
}

export const roundsOf = ({ earlier, round }: TurnState): ReadonlyArray<Round> => [...earlier, round]

/** The calls that a turn leaves to its client. */
export const clientCalls = (state: TurnState): ReadonlyArray<RecordedCall> =>
  roundsOf(state).flatMap(({ calls }) => calls.filter(({ by }) => by === "client"))

/**
 * The calls of a round of a turn that is cut short: those that the service began, and those of the client if it streams,
 * because it may have begun to run each of them, whatever it heard of the reply.
 */
export const callsMade = ({ output }: TurnState, { calls }: Round): ReadonlyArray<RecordedCall> =>
  calls.filter(({ by }) => by === "service" || output.streaming)

/** What stands in a reply between the texts of two rounds. */
export const betweenRounds = (before: string, next: string): string =>
  before === "" || next === "" || /\s$/.test(before) || /^\s/.test(next) ? "" : " "

/** The reply as the model has written it so far, of all rounds. */
export const replyOf = (state: TurnState): string =>
  roundsOf(state).reduce((reply, { text }) => reply + betweenRounds(reply, text) + text, "")

export const transcriptOf = ({ heard }: TurnState): string =>
  Option.match(heard, { onNone: () => "", onSome: ({ transcript }) => transcript })

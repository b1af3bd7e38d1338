import { Chunk, Option } from "effect"
import type { EndReason } from "../providers/language-model.ts"
import type { ToolCall } from "../providers/tools.ts"
import { type ItemId, noUsage, type SessionId, type Timings, type TurnId, type Usage } from "../schema.ts"
import type { OutputOptions, Source, TurnEvent, TurnStage } from "./events.ts"

interface StageTimes {
  readonly startedAt: number
  readonly endedAt: Option.Option<number>
}

/**
 * After the event `seq`, all audio of the first `text` UTF-16 units was sent: of the thinking that was sent, then of the
 * reply. `ms` of playing time.
 */
interface SpokenMark {
  readonly seq: number
  readonly text: number
  readonly ms: number
}

/** A tool call of the turn, and the id of its item. */
export interface CalledTool extends ToolCall {
  readonly itemId: ItemId
}

/** The fold of a turn's events. Everything that the service knows about the turn is here. */
export interface TurnState {
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
  /** The reply as the model has written it so far. */
  readonly reply: string
  /** UTF-16 units before the reply that were sent, or written after it, and turned out to be thinking. */
  readonly thinkingSent: number
  /** The tool calls of the current round, in order. */
  readonly calls: ReadonlyArray<CalledTool>
  /** Why the model ended. None while it writes. */
  readonly endReason: Option.Option<EndReason>
  /** The first text or, in a reply without text, the first tool call. */
  readonly firstTokenAt: Option.Option<number>
  /** The first audio of the current round. */
  readonly firstSpeechAt: Option.Option<number>
  /** The first audio of the turn that was not dropped. */
  readonly firstAudioAt: Option.Option<number>
  /** The `seq` of the first audio or tool call or, if the reply is not spoken, of the first text. None while all of it was dropped. */
  readonly firstOutput: Option.Option<number>
  /** True once a streaming client was sent a part of the reply: the round cannot be retried. */
  readonly isSent: boolean
  /** Empty unless `keepsAudio`. */
  readonly audio: Chunk.Chunk<Uint8Array>
  /** The playing time of all audio so far. */
  readonly audioMs: number
  readonly spoken: ReadonlyArray<SpokenMark>
  readonly lastSpokenAt: Option.Option<number>
  readonly usage: Usage
  readonly isSaved: boolean
}

export const initialState = (begin: {
  readonly output: OutputOptions
  readonly keepsAudio: boolean
  readonly beganAt: number
  readonly uploadMs: number
}): TurnState => ({
  ...begin,
  ids: Option.none(),
  replayOf: Option.none(),
  stages: {},
  heard: Option.none(),
  reply: "",
  thinkingSent: 0,
  calls: [],
  endReason: Option.none(),
  firstTokenAt: Option.none(),
  firstSpeechAt: Option.none(),
  firstAudioAt: Option.none(),
  firstOutput: Option.none(),
  isSent: false,
  audio: Chunk.empty(),
  audioMs: 0,
  spoken: [],
  lastSpokenAt: Option.none(),
  usage: noUsage,
  isSaved: false,
})

const addUsage = (usage: Usage, more: Partial<Usage>): Usage => ({
  audioSeconds: usage.audioSeconds + (more.audioSeconds ?? 0),
  inputTokens: usage.inputTokens + (more.inputTokens ?? 0),
  outputTokens: usage.outputTokens + (more.outputTokens ?? 0),
  charactersSpoken: usage.charactersSpoken + (more.charactersSpoken ?? 0),
})

const orFirst = <A>(known: Option.Option<A>, now: A): Option.Option<A> =>
  Option.isSome(known) ? known : Option.some(now)

/** The state without the text and the speech of the current try. */
const withoutReply = ({ stages: { tts: _, ...stages }, ...state }: TurnState): TurnState => ({
  ...state,
  // What was sent stays sent.
  ...(state.isSent ? {} : { firstAudioAt: Option.none(), firstOutput: Option.none() }),
  stages,
  reply: "",
  thinkingSent: 0,
  calls: [],
  endReason: Option.none(),
  firstTokenAt: Option.none(),
  firstSpeechAt: Option.none(),
  audio: Chunk.empty(),
  audioMs: 0,
  spoken: [],
  lastSpokenAt: Option.none(),
})

/** The position of the end of the reply in what was sent, in UTF-16 units. */
export const writtenLength = ({ thinkingSent, reply }: TurnState): number => thinkingSent + reply.length

/** The state after one more event. Pure: the same events give the same state. */
export const step = (state: TurnState, event: TurnEvent): TurnState => {
  const { at, seq } = event
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
      return { ...state, stages: { ...state.stages, [event.stage]: { startedAt, endedAt: Option.some(at) } } }
    }
    case "Heard":
      return { ...state, heard: Option.some({ transcript: event.text, source: event.source }) }
    case "RoundStarted": {
      const { llm: _, ...stages } = state.stages
      return withoutReply({ ...state, stages })
    }
    case "Retracted":
      // What was sent stays sent, and its audio goes on. It is no part of the reply that is saved.
      return state.isSent ? { ...state, thinkingSent: writtenLength(state), reply: "" } : withoutReply(state)
    case "TextDelta": {
      const isOutput = state.output.format === "none"
      return {
        ...state,
        reply: state.reply + event.text,
        firstTokenAt: orFirst(state.firstTokenAt, at),
        firstOutput: isOutput ? orFirst(state.firstOutput, seq) : state.firstOutput,
        isSent: state.isSent || (state.output.streaming && state.output.streamsText),
      }
    }
    case "ToolCalled": {
      const { itemId, callId, name, arguments: args } = event
      return {
        ...state,
        calls: [...state.calls, { itemId, callId, name, arguments: args }],
        firstTokenAt: orFirst(state.firstTokenAt, at),
        firstOutput: orFirst(state.firstOutput, seq),
        isSent: state.isSent || state.output.streaming,
      }
    }
    case "RoundEnded":
      return { ...state, endReason: Option.some(event.reason) }
    case "Audio":
      return {
        ...state,
        firstSpeechAt: orFirst(state.firstSpeechAt, at),
        firstAudioAt: orFirst(state.firstAudioAt, at),
        firstOutput: orFirst(state.firstOutput, seq),
        isSent: state.isSent || state.output.streaming,
        audio: state.keepsAudio ? Chunk.append(state.audio, event.bytes) : state.audio,
        audioMs: state.audioMs + event.ms,
      }
    case "SpokenTo":
      return {
        ...state,
        spoken: [...state.spoken, { seq, text: event.text, ms: event.ms }],
        lastSpokenAt: Option.some(at),
      }
    case "Used":
      return { ...state, usage: addUsage(state.usage, event.usage) }
    case "Completed":
    case "Interrupted":
      return { ...state, isSaved: true }
  }
}

/**
 * The calls that a turn which is cut short has made. A client that streams may have begun to run each of them, whatever it
 * heard of the reply.
 */
export const callsMade = ({ output, calls }: TurnState): ReadonlyArray<CalledTool> =>
  output.streaming ? calls : []

export const transcriptOf = ({ heard }: TurnState): string =>
  Option.match(heard, { onNone: () => "", onSome: ({ transcript }) => transcript })

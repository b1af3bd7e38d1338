import { frameMs } from "../vad/frame.ts"
import type { Completeness } from "./completeness.ts"
import type { Eagerness, TurnDetection } from "./turn-detection.ts"

/** Times are milliseconds of audio since the socket opened. */
export type SpeechEvent =
  /** Speech began; `startMs` includes the prefix padding. */
  | { readonly _tag: "SpeechStarted"; readonly startMs: number }
  /** A short silence: a chance to transcribe before the speech is known to be over. */
  | { readonly _tag: "Paused"; readonly atMs: number }
  /** The speech goes on after `Paused`, from `atMs` on. */
  | { readonly _tag: "Resumed"; readonly atMs: number }
  /** The speech is over; `endMs` includes the silence. */
  | { readonly _tag: "SpeechStopped"; readonly endMs: number }

/** What is known besides the sound. */
export interface EndpointFacts {
  /** Of the transcript so far. Undefined while it is not known. */
  readonly completeness: Completeness | undefined
}

export interface EndpointState {
  /** The end of the newest frame. */
  readonly atMs: number
  readonly isSpeaking: boolean
  /** Where the voiced frames began that may become speech, or the speech itself. */
  readonly voiceMs: number | undefined
  /** Voiced time of the speech, or of what may become it. */
  readonly voicedMs: number
  /** Where the silence within speech began. Undefined while there is voice. */
  readonly silenceMs: number | undefined
  readonly isPaused: boolean
  /** Where the voice within a pause began. */
  readonly resumeMs: number | undefined
}

/** The state of a stream without speech. */
export const silentAt = (atMs: number): EndpointState => ({
  atMs,
  isSpeaking: false,
  voiceMs: undefined,
  voicedMs: 0,
  silenceMs: undefined,
  isPaused: false,
  resumeMs: undefined,
})

/** Voiced time before speech counts as begun: clicks are shorter. It is found within the longer time. */
const startAfterMs = 96
const startWithinMs = 256

/** Voiced time that ends a pause: one frame by chance is shorter. */
const resumeAfterMs = 64

/** Speech goes on until the probability is below the threshold by this, as Silero's own code has it. */
const hysteresis = 0.15
const lowestThreshold = 0.01

/** The early pause, as a share of the silence that ends the speech, and its limits. */
const pauseShare = 0.4
const [shortestPauseMs, longestPauseMs] = [64, 192]

/** OpenAI's defaults, which semantic_vad has no fields for. */
const semanticThreshold = 0.5
const semanticPaddingMs = 300

/** The silence that ends speech. The longest waits are OpenAI's: 8, 4 and 2 s. */
const semanticWaitsMs: Readonly<Record<Eagerness, Readonly<Record<Completeness, number>>>> = {
  low: { complete: 1000, unclear: 4000, incomplete: 8000 },
  medium: { complete: 500, unclear: 2000, incomplete: 4000 },
  auto: { complete: 500, unclear: 2000, incomplete: 4000 },
  high: { complete: 250, unclear: 1000, incomplete: 2000 },
}

/** How much audio before the voice belongs to the speech. */
export const paddingMs = (config: TurnDetection): number =>
  config.type === "server_vad" ? config.prefix_padding_ms : semanticPaddingMs

const thresholdOf = (config: TurnDetection) =>
  config.type === "server_vad" ? config.threshold : semanticThreshold

const stopAfterMs = (config: TurnDetection, { completeness }: EndpointFacts): number =>
  config.type === "server_vad"
    ? config.silence_duration_ms
    : semanticWaitsMs[config.eagerness][completeness ?? "incomplete"]

const pauseAfterMs = (config: TurnDetection): number =>
  config.type === "server_vad"
    ? Math.min(Math.max(config.silence_duration_ms * pauseShare, shortestPauseMs), longestPauseMs)
    : longestPauseMs

type Step = readonly [EndpointState, ReadonlyArray<SpeechEvent>]

const stepSilent = (state: EndpointState, probability: number, config: TurnDetection): Step => {
  const threshold = thresholdOf(config)
  if (probability < Math.max(threshold - hysteresis, lowestThreshold)) return [silentAt(state.atMs), []]
  if (probability < threshold) {
    const isOld = state.voiceMs !== undefined && state.atMs - state.voiceMs >= startWithinMs
    return [isOld ? silentAt(state.atMs) : state, []]
  }
  const voiceMs = state.voiceMs ?? state.atMs - frameMs
  const voicedMs = state.voicedMs + frameMs
  if (voicedMs < startAfterMs) return [{ ...state, voiceMs, voicedMs }, []]
  return [
    { ...state, isSpeaking: true, voiceMs, voicedMs },
    [{ _tag: "SpeechStarted", startMs: Math.max(0, voiceMs - paddingMs(config)) }],
  ]
}

const stepVoiced = (state: EndpointState): Step => {
  const voiced = { ...state, voicedMs: state.voicedMs + frameMs }
  if (!state.isPaused) return [{ ...voiced, silenceMs: undefined }, []]
  const resumeMs = state.resumeMs ?? state.atMs - frameMs
  if (state.atMs - resumeMs < resumeAfterMs) return [{ ...voiced, resumeMs }, []]
  return [
    { ...voiced, silenceMs: undefined, isPaused: false, resumeMs: undefined },
    [{ _tag: "Resumed", atMs: resumeMs }],
  ]
}

const stepUnvoiced = (
  state: EndpointState,
  probability: number,
  config: TurnDetection,
  facts: EndpointFacts,
): Step => {
  const isQuiet = probability < Math.max(thresholdOf(config) - hysteresis, lowestThreshold)
  const silenceMs = state.silenceMs ?? (isQuiet ? state.atMs - frameMs : undefined)
  if (silenceMs === undefined) return [state, []]
  const events: Array<SpeechEvent> = []
  const silence = state.atMs - silenceMs
  const isPaused = state.isPaused || silence >= pauseAfterMs(config)
  if (isPaused && !state.isPaused) events.push({ _tag: "Paused", atMs: state.atMs })
  if (silence >= stopAfterMs(config, facts)) {
    events.push({ _tag: "SpeechStopped", endMs: state.atMs })
    return [silentAt(state.atMs), events]
  }
  return [{ ...state, silenceMs, isPaused, resumeMs: isQuiet ? undefined : state.resumeMs }, events]
}

/** The state after one more frame, and what happened in it. The settings may change between two frames. */
export const step = (
  before: EndpointState,
  probability: number,
  config: TurnDetection,
  facts: EndpointFacts,
): Step => {
  const state = { ...before, atMs: before.atMs + frameMs }
  if (!state.isSpeaking) return stepSilent(state, probability, config)
  return probability >= thresholdOf(config)
    ? stepVoiced(state)
    : stepUnvoiced(state, probability, config, facts)
}

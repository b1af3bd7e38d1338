import { Effect, Fiber, FiberSet, type Scope } from "effect"
import type { Agent } from "../agent/agent.ts"
import { sampleRate } from "../audio/pcm.ts"
import type { Transcriber } from "../providers/transcriber.ts"
import { newId, TurnId } from "../schema.ts"
import type { VoiceActivity } from "../vad/voice-activity.ts"
import { type Completeness, completenessOf } from "./completeness.ts"
import { paddingMs, type SpeechEvent, silentAt, step } from "./endpointing.ts"
import { type InterruptionSettings, interrupts, isMeant } from "./interruption.ts"
import { makeKeptAudio } from "./kept-audio.ts"
import type { TurnDetection } from "./turn-detection.ts"
import { type HeardText, type HearError, makeUtterance, type Utterance } from "./utterance.ts"

/** What a listener hears. Times are milliseconds of audio since the socket opened. */
export type HeardEvent =
  /** Speech began. During a reply it is held back until the speech counts as an interruption. */
  | { readonly _tag: "SpeechStarted"; readonly startMs: number }
  /** Directly after `SpeechStarted`: the speech interrupts the reply. */
  | { readonly _tag: "Interruption"; readonly startMs: number }
  | { readonly _tag: "SpeechStopped"; readonly endMs: number }
  /** An utterance is over. `transcript` can be run any number of times; the transcription goes on without it. */
  | {
      readonly _tag: "Committed"
      readonly startMs: number
      readonly endMs: number
      readonly transcript: Effect.Effect<HeardText, HearError>
    }
  /** After `Committed`, once its transcript is there: the interruption was no more than a cough or an "mhm". */
  | { readonly _tag: "FalseInterruption" }

/** Detects utterances in the audio of one connection. Every method returns at once. */
export interface Listener {
  /** Takes 16 kHz mono samples. */
  readonly append: (samples: Int16Array) => void
  /** Ends the utterance here. `empty`: there are less than 100 ms of audio, and nothing happens. */
  readonly commit: () => "committed" | "empty"
  /** Forgets all audio that is not committed. */
  readonly clear: () => void
  /** Null: utterances end by `commit` alone. */
  readonly configure: (turnDetection: TurnDetection | null) => void
  /** Whether the client plays a reply now: until it ends, speech is held back until it counts as an interruption. */
  readonly replying: (state: { readonly isPlaying: boolean }) => void
}

export interface ListenerOptions {
  readonly on: (event: HeardEvent) => void
  readonly voiceActivity: VoiceActivity["Type"]
  readonly transcriber: Transcriber["Type"]
  readonly hearing: Agent["hearing"]
  readonly interruption: InterruptionSettings
  readonly turnDetection: TurnDetection | null
}

/** OpenAI's rule for a commit. */
const shortestCommit = 0.1 * sampleRate

/** Segments of one socket that are transcribed at a time. */
const parallelSegments = 2

/** A longer append is taken in pieces, so that an utterance ends where it is too long. */
const longestPiece = sampleRate

const samplesPerMs = sampleRate / 1000
const toSamples = (ms: number) => Math.round(ms * samplesPerMs)

/** Detects pauses in an utterance that only a commit ends. */
const manualDetection: TurnDetection = {
  type: "server_vad",
  threshold: 0.5,
  prefix_padding_ms: 300,
  silence_duration_ms: Number.POSITIVE_INFINITY,
}

/** The utterance that is being heard. */
interface Current {
  readonly utterance: Utterance
  /** False: the speech is held back, because a reply is being played. */
  isAnnounced: boolean
  isInterruption: boolean
  voicedMs: number
  /** The end of speech that is held back: its transcript decides. */
  endedMs: number | undefined
  completeness: Completeness | undefined
}

/** Listens to the audio of one socket until the scope closes, which ends all transcriptions. */
export const makeListener = Effect.fn("Listener.make")(function* ({
  on,
  voiceActivity,
  transcriber,
  hearing,
  interruption,
  turnDetection,
}: ListenerOptions): Effect.fn.Return<Listener, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const permits = yield* Effect.makeSemaphore(parallelSegments)
  const kept = makeKeptAudio()
  let detection = turnDetection
  let state = silentAt(0)
  let current: Current | undefined
  let isPlaying = false

  const open = (start: number, isAnnounced: boolean): Current => {
    // The circuit breaker counts the failures of an utterance together.
    const options = { turnId: newId(TurnId), model: hearing.model, language: hearing.language }
    const opened: Current = {
      utterance: makeUtterance(start, {
        audio: kept.slice,
        transcribe: (speech) =>
          Effect.map(permits.withPermits(1)(transcriber.transcribe(speech, options)), ({ text }) => text),
        fork,
        silenceDbfs: hearing.silenceDbfs,
        onSettled: () => onSettled(opened),
      }),
      isAnnounced,
      isInterruption: false,
      voicedMs: 0,
      endedMs: undefined,
      completeness: undefined,
    }
    current = opened
    return opened
  }

  const announce = (speech: Current) => {
    const startMs = speech.utterance.start / samplesPerMs
    speech.isAnnounced = true
    on({ _tag: "SpeechStarted", startMs })
    if (!isPlaying) return
    speech.isInterruption = true
    on({ _tag: "Interruption", startMs })
  }

  /** `end`: in samples. */
  const commitAs = ({ utterance, isInterruption }: Current, end: number, hasMore: boolean) => {
    current = undefined
    const result = fork(utterance.finish(end, hasMore))
    kept.dropBefore(end)
    on({
      _tag: "Committed",
      startMs: utterance.start / samplesPerMs,
      endMs: end / samplesPerMs,
      transcript: Fiber.join(result),
    })
    if (!isInterruption) return
    const tellIfFalse = Effect.map(Fiber.join(result), ({ text }) => {
      if (!isMeant(text, hearing.language)) on({ _tag: "FalseInterruption" })
    })
    fork(Effect.ignore(tellIfFalse))
  }

  const stop = (speech: Current, end: number, hasMore: boolean) => {
    on({ _tag: "SpeechStopped", endMs: end / samplesPerMs })
    commitAs(speech, end, hasMore)
  }

  const abandon = () => {
    current?.utterance.abandon()
    current = undefined
  }

  /** Decides about speech that is held back, with what is known now. */
  const judge = (speech: Current) => {
    const { utterance, voicedMs, endedMs } = speech
    const isOver = endedMs !== undefined
    const { language } = hearing
    const transcript = utterance.soFar()
    const isSpeech = (!isPlaying && !isOver) || interrupts(interruption, { voicedMs, transcript, language })
    if (isSpeech) announce(speech)
    if (isSpeech && isOver) stop(speech, toSamples(endedMs), false)
    if (!isSpeech && isOver && !utterance.isPending()) abandon()
  }

  const onSettled = (speech: Current) => {
    if (speech !== current) return
    const transcript = speech.utterance.soFar()
    speech.completeness = transcript === undefined ? undefined : completenessOf(transcript)
    if (!speech.isAnnounced) judge(speech)
  }

  const onStarted = (startMs: number) => {
    if (detection === null) return
    if (current === undefined) {
      open(Math.max(toSamples(startMs), kept.start()), false)
      return
    }
    // The speech before was held back, and it is not known yet whether it was meant: this is more of it.
    current.utterance.resume(toSamples(state.voiceMs ?? startMs))
    current.endedMs = undefined
  }

  const onStopped = (speech: Current, endMs: number) => {
    if (speech.isAnnounced) return stop(speech, toSamples(endMs), false)
    speech.endedMs = endMs
    if (speech.voicedMs >= interruption.minMs) speech.utterance.pause(toSamples(endMs), true)
  }

  const onSpeech = (event: SpeechEvent) => {
    if (event._tag === "SpeechStarted") onStarted(event.startMs)
    if (current === undefined) return
    if (event._tag === "Paused") {
      const isPaidFor = current.isAnnounced || current.voicedMs >= interruption.minMs
      current.utterance.pause(toSamples(event.atMs), detection !== null && isPaidFor)
    }
    if (event._tag === "Resumed") {
      current.completeness = undefined
      current.utterance.resume(toSamples(event.atMs))
    }
    if (event._tag === "SpeechStopped") onStopped(current, event.endMs)
  }

  const voice = yield* voiceActivity.open((probability) => {
    const facts = { completeness: current?.completeness }
    const [next, events] = step(state, probability, detection ?? manualDetection, facts)
    state = next
    for (const event of events) onSpeech(event)
    if (current !== undefined) {
      current.voicedMs = Math.max(current.voicedMs, state.voicedMs)
      if (!current.isAnnounced) judge(current)
    }
    if (current !== undefined) kept.dropBefore(current.utterance.untranscribed())
    else if (detection !== null) {
      kept.dropBefore(toSamples((state.voiceMs ?? state.atMs) - paddingMs(detection)))
    }
  })

  /** Listens anew from here on. */
  const restart = () => {
    voice.reset()
    state = silentAt(kept.end() / samplesPerMs)
    kept.dropBefore(kept.end())
  }

  /** Whether there may be speech after the last pause. */
  const hasMore = () => !state.isPaused || state.resumeMs !== undefined

  const appendPiece = (samples: Int16Array) => {
    kept.append(samples)
    if (detection === null && current === undefined) open(kept.start(), true)
    voice.push(samples)
    if (current === undefined || kept.end() - current.utterance.start < hearing.maxSeconds * sampleRate)
      return
    if (!current.isAnnounced) announce(current)
    if (detection === null) commitAs(current, kept.end(), hasMore())
    else stop(current, kept.end(), hasMore())
    restart()
  }

  return {
    append: (samples) => {
      for (let at = 0; at < samples.length; at += longestPiece) {
        appendPiece(samples.subarray(at, at + longestPiece))
      }
    },
    commit: () => {
      if (kept.end() - (current?.utterance.start ?? kept.start()) < shortestCommit) return "empty"
      commitAs(current ?? open(kept.start(), true), kept.end(), hasMore())
      restart()
      return "committed"
    },
    clear: () => {
      abandon()
      restart()
    },
    configure: (next) => {
      const isManual = detection === null
      detection = next
      if (current === undefined || isManual === (next === null)) return
      // Only a commit ends it now.
      if (next === null) current.isAnnounced = true
      else if (state.isSpeaking) current.isAnnounced = false
      else abandon()
    },
    replying: (reply) => {
      isPlaying = reply.isPlaying
      if (current !== undefined && !current.isAnnounced) judge(current)
    },
  }
})

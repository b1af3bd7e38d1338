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
import type { HeardEvent, Listener } from "./listener.ts"
import type { TurnDetection } from "./turn-detection.ts"
import { makeUtterance, type Refusal, type Utterance } from "./utterance.ts"

export interface ListenerOptions {
  readonly on: (event: HeardEvent) => void
  readonly voiceActivity: VoiceActivity["Type"]
  readonly transcriber: Transcriber["Type"]
  readonly hearing: Agent["hearing"]
  readonly interruption: InterruptionSettings
  readonly turnDetection: TurnDetection | null
  /** Counts an utterance, once, before a recognizer gets any of it. */
  readonly count: Effect.Effect<unknown, Refusal>
}

/** OpenAI's rule for a commit. */
const shortestCommit = 0.1 * sampleRate

/** Segments of one socket that are transcribed at a time. */
const parallelSegments = 2

/** A longer append is taken in pieces, so that an utterance ends where it is too long. */
const longestPiece = sampleRate

/** About two words. */
const firstCountMs = 600

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
  /** True: a reply is being played, so the speech has no event before it is judged. */
  isHeld: boolean
  /** `SpeechStarted` has told of it. */
  isAnnounced: boolean
  /** The words that `Words` has told of. */
  told: string
  voicedMs: number
  /** The voiced time after which its words are counted without a pause. */
  nextCountMs: number
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
  count,
}: ListenerOptions): Effect.fn.Return<Listener, never, Scope.Scope> {
  const fork = yield* FiberSet.makeRuntime<never>()
  const permits = yield* Effect.makeSemaphore(parallelSegments)
  const kept = makeKeptAudio()
  let detection = turnDetection
  let state = silentAt(0)
  let current: Current | undefined
  let isPlaying = false

  const open = (start: number, isHeld: boolean): Current => {
    let counting: Fiber.RuntimeFiber<unknown, Refusal> | undefined
    const counted = Effect.suspend(() => {
      counting ??= fork(count)
      return Fiber.join(counting)
    })
    // The circuit breaker counts the failures of an utterance together.
    const { model, language, keyTerms } = hearing
    const options = { turnId: newId(TurnId), model, language, keyTerms }
    const opened: Current = {
      utterance: makeUtterance(start, {
        audio: kept.slice,
        transcribe: (speech) =>
          counted.pipe(
            Effect.zipRight(permits.withPermits(1)(transcriber.transcribe(speech, options))),
            Effect.map(({ text }) => text),
          ),
        fork,
        silenceDbfs: hearing.silenceDbfs,
        onSettled: () => onSettled(opened),
      }),
      isHeld,
      isAnnounced: false,
      told: "",
      voicedMs: 0,
      nextCountMs: firstCountMs,
      endedMs: undefined,
      completeness: undefined,
    }
    current = opened
    return opened
  }

  const announce = (speech: Current) => {
    speech.isHeld = false
    speech.isAnnounced = true
    const startMs = speech.utterance.start / samplesPerMs
    on({ _tag: "SpeechStarted", startMs, isInterruption: isPlaying })
    tellWords(speech)
  }

  const tellWords = (speech: Current) => {
    const text = speech.utterance.certain()
    if (!speech.isAnnounced || text === speech.told) return
    speech.told = text
    on({ _tag: "Words", text })
  }

  /** `end`: in samples. */
  const commitAs = (
    { utterance }: Current,
    end: number,
    hasMore: boolean,
    by: Extract<HeardEvent, { readonly _tag: "Committed" }>["by"],
  ) => {
    current = undefined
    const result = fork(utterance.finish(end, hasMore))
    kept.dropBefore(end)
    on({
      _tag: "Committed",
      startMs: utterance.start / samplesPerMs,
      endMs: end / samplesPerMs,
      by,
      transcript: Fiber.join(result),
    })
  }

  const stop = (speech: Current, end: number, hasMore: boolean, by: "turn_detection" | "limit") => {
    on({ _tag: "SpeechStopped", endMs: end / samplesPerMs })
    commitAs(speech, end, hasMore, by)
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
    if (isSpeech && isOver) stop(speech, toSamples(endedMs), false, "turn_detection")
    if (!isSpeech && isOver && !utterance.isPending()) abandon()
  }

  /**
   * Unbroken speech has no pause at which its words are known. The times double, so that no more than twice its audio is heard.
   */
  const countWords = (speech: Current) => {
    if (!isPlaying || interruption.minWords === 0 || speech.voicedMs < speech.nextCountMs) return
    speech.nextCountMs = 2 * speech.voicedMs
    speech.utterance.peek(kept.end())
  }

  const onSettled = (speech: Current) => {
    if (speech !== current) return
    tellWords(speech)
    const transcript = speech.utterance.soFar()
    speech.completeness = transcript === undefined ? undefined : completenessOf(transcript)
    if (speech.isHeld) return judge(speech)
    const isPaused = state.isPaused && state.resumeMs === undefined
    if (transcript === undefined || !isPaused || detection === null) return
    if (speech.completeness === "incomplete" || !isMeant(transcript, hearing.language)) return
    on({ _tag: "MaybeOver", text: transcript })
  }

  const onStarted = (startMs: number) => {
    if (current === undefined) {
      open(Math.max(toSamples(startMs), kept.start()), true)
      return
    }
    // The speech before was held back, and it is not known yet whether it was meant: this is more of it.
    current.utterance.resume(toSamples(state.voiceMs ?? startMs))
    current.endedMs = undefined
  }

  const onStopped = (speech: Current, endMs: number) => {
    if (!speech.isHeld) return stop(speech, toSamples(endMs), false, "turn_detection")
    speech.endedMs = endMs
    if (speech.voicedMs >= interruption.minMs) speech.utterance.pause(toSamples(endMs), true)
  }

  const onSpeech = (event: SpeechEvent) => {
    if (event._tag === "SpeechStarted") onStarted(event.startMs)
    if (current === undefined) return
    if (event._tag === "Paused") {
      const isPaidFor = !current.isHeld || current.voicedMs >= interruption.minMs
      current.utterance.pause(toSamples(event.atMs), detection !== null && isPaidFor)
    }
    if (event._tag === "Resumed") {
      current.completeness = undefined
      if (!current.isHeld && detection !== null) on({ _tag: "Resumed" })
      current.utterance.resume(toSamples(event.atMs))
      tellWords(current)
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
      if (current.isHeld) judge(current)
      if (current?.isHeld === true) countWords(current)
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

  /** Turn detection goes on with an utterance: a pause in it may be its end, and was not transcribed. */
  const listenOn = ({ utterance }: Current) => {
    if (state.isPaused && state.resumeMs === undefined) utterance.pause(toSamples(state.atMs), true)
  }

  /** Whether there may be speech after the last pause. */
  const hasMore = () => !state.isPaused || state.resumeMs !== undefined

  const appendPiece = (samples: Int16Array) => {
    kept.append(samples)
    if (detection === null && current === undefined) open(kept.start(), false)
    voice.push(samples)
    if (current === undefined || kept.end() - current.utterance.start < hearing.maxSeconds * sampleRate)
      return
    if (current.isHeld) announce(current)
    if (detection === null) commitAs(current, kept.end(), hasMore(), "limit")
    else stop(current, kept.end(), hasMore(), "limit")
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
      commitAs(current ?? open(kept.start(), false), kept.end(), hasMore(), "client")
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
      if (next === null) {
        // Only a commit ends it now.
        current.isHeld = false
        return
      }
      if (current.isAnnounced) return listenOn(current)
      // Without speech there is nothing that turn detection would commit.
      if (!state.isSpeaking && current.endedMs === undefined) return abandon()
      current.isHeld = true
      judge(current)
      if (current !== undefined) listenOn(current)
    },
    replying: (reply) => {
      isPlaying = reply.isPlaying
      if (current?.isHeld === true) judge(current)
    },
  }
})

import { Array as Arr, Effect, Exit, Fiber, FiberId, Predicate } from "effect"
import { type Pcm16k, pcm16k, sampleRate } from "../audio/pcm.ts"
import { rejectSilence } from "../audio/silence.ts"
import type { RateLimited } from "../limits/rate-limits.ts"
import type { ProviderError } from "../providers/errors.ts"
import { isUnspaced } from "../text/characters.ts"
import { hasWords } from "../text/remarks.ts"
import type { QuotaExceeded } from "../usage/spending.ts"

/** The utterance could not be transcribed, or the user may have no more transcribed now. */
export type HearError = ProviderError | Refusal

/** Why nothing of the user's is transcribed now. */
export type Refusal = RateLimited | QuotaExceeded

export interface HeardText {
  /** Empty if there was no speech. */
  readonly text: string
  /** The audio that a recognizer got, which silence is not; each second counts once, and once more for a peek. */
  readonly seconds: number
}

/** What an utterance needs of its listener. Positions count samples since the socket opened. */
export interface UtteranceContext {
  /** A copy of the audio between two positions. */
  readonly audio: (from: number, to: number) => Int16Array<ArrayBuffer>
  readonly transcribe: (speech: Pcm16k) => Effect.Effect<string, HearError>
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  readonly silenceDbfs: number
  /** Called when a segment is transcribed, or has failed. */
  readonly onSettled: () => void
}

/** What a person says without being answered in between. It is transcribed in segments, at pauses. */
export interface Utterance {
  readonly start: number
  /** Audio before it is not needed any more. */
  readonly untranscribed: () => number
  /** Begins to transcribe what was said so far, if it can stand alone or `isLikelyEnd`. */
  readonly pause: (at: number, isLikelyEnd: boolean) => void
  /** The speech goes on. A segment that is too short to stand alone is transcribed again with what follows. */
  readonly resume: (at: number) => void
  /** Transcribes unbroken speech up to here, for `soFar` alone: it is transcribed again as a whole. Nothing while one runs. */
  readonly peek: (at: number) => void
  /** The transcript so far. Undefined before the first segment, while one is being transcribed, and after a failure. */
  readonly soFar: () => string | undefined
  /** The transcript so far that later audio does not change. It only grows. */
  readonly certain: () => string
  /** Whether a segment is being transcribed. */
  readonly isPending: () => boolean
  /** The whole transcript. `hasMore`: there may be speech after the last pause. */
  readonly finish: (end: number, hasMore: boolean) => Effect.Effect<HeardText, HearError>
  readonly abandon: () => void
}

interface Segment {
  readonly from: number
  readonly to: number
  readonly speech: Pcm16k
  readonly fiber: Fiber.RuntimeFiber<HeardText, HearError>
  /** Undefined while it is being transcribed. */
  readonly result: () => Exit.Exit<HeardText, HearError> | undefined
}

/** A shorter segment is heard better with what follows; measured on read speech, see docs/decisions/voice-activity.md. */
const shortestSegment = 3 * sampleRate

/** Audio before the voice that goes on, so that its first sound is whole. */
const lead = 0.2 * sampleRate

/** Joins the texts of segments as their script does. */
const joinTexts = (texts: ReadonlyArray<string>): string =>
  texts
    .map((text) => text.trim())
    .filter(hasWords)
    .reduce((joined, text) => {
      const seam = joined.slice(-1) + text.slice(0, 1)
      return joined === "" || isUnspaced(seam) ? joined + text : `${joined} ${text}`
    }, "")

const textOf = ({ result }: Segment): string | undefined => {
  const exit = result()
  return exit !== undefined && Exit.isSuccess(exit) ? exit.value.text : undefined
}

const isWorthAnother = ({ _tag }: HearError) =>
  _tag !== "ProviderRefusedRequest" && _tag !== "RateLimited" && _tag !== "QuotaExceeded"

export const makeUtterance = (
  start: number,
  { audio, transcribe, fork, silenceDbfs, onSettled }: UtteranceContext,
): Utterance => {
  const kept: Array<Segment> = []
  /** Up to the last pause. It is kept or dropped when the speech goes on. */
  let open: Segment | undefined
  let cut = start
  /** The newest look into speech without a pause. */
  let peeked: Segment | undefined
  let peekedSeconds = 0

  const hear = (speech: Pcm16k): Effect.Effect<HeardText, HearError> =>
    rejectSilence(speech, silenceDbfs).pipe(
      Effect.zipRight(transcribe(speech)),
      Effect.map((text) => ({ text, seconds: speech.seconds })),
      Effect.catchTag("NoSpeechDetected", () => Effect.succeed({ text: "", seconds: 0 })),
    )

  const begin = (from: number, to: number): Segment => {
    const samples = audio(from, to)
    const speech = pcm16k(new Uint8Array(samples.buffer))
    let result: Exit.Exit<HeardText, HearError> | undefined
    const settle = (exit: Exit.Exit<HeardText, HearError>) =>
      Effect.sync(() => {
        result = exit
        if (!Exit.isInterrupted(exit)) onSettled()
      })
    // A result at once would settle a segment that is not yet known.
    const fiber = fork(Effect.onExit(Effect.zipRight(Effect.yieldNow(), hear(speech)), settle))
    return { from, to, speech, fiber, result: () => result }
  }

  const all = () => (open === undefined ? kept : [...kept, open])

  const dropOpen = () => {
    open?.fiber.unsafeInterruptAsFork(FiberId.none)
    open = undefined
  }

  const keepOpen = () => {
    if (open === undefined) return
    kept.push(open)
    cut = open.to
    open = undefined
  }

  return {
    start,
    untranscribed: () => cut,
    pause: (at, isLikelyEnd) => {
      if (open !== undefined || at <= cut) return
      if (isLikelyEnd || at - cut >= shortestSegment) open = begin(cut, at)
    },
    resume: (at) => {
      if (open === undefined) return
      if (open.to - open.from >= shortestSegment) {
        keepOpen()
        cut = Math.max(cut, at - lead)
      } else dropOpen()
    },
    peek: (at) => {
      if (open !== undefined || at <= cut || (peeked !== undefined && peeked.result() === undefined)) return
      peeked = begin(cut, at)
      peekedSeconds += peeked.speech.seconds
    },
    soFar: () => {
      const isPeek = open === undefined && peeked?.from === cut && peeked.result() !== undefined
      const segments = isPeek && peeked !== undefined ? [...kept, peeked] : all()
      const texts = segments.map(textOf)
      const known = texts.filter((text) => text !== undefined)
      return texts.length > 0 && known.length === texts.length ? joinTexts(known) : undefined
    },
    certain: () => joinTexts(Arr.takeWhile(kept.map(textOf), Predicate.isNotUndefined)),
    isPending: () => all().some(({ result }) => result() === undefined),
    finish: (end, hasMore) => {
      peeked?.fiber.unsafeInterruptAsFork(FiberId.none)
      const hasRest = open === undefined || hasMore
      if (hasRest) dropOpen()
      else keepOpen()
      const segments = hasRest && end > cut ? [...kept, begin(cut, end)] : kept
      const early = new Set(segments.filter(({ result }) => result() !== undefined))
      return Effect.forEach(segments, (segment) =>
        Fiber.join(segment.fiber).pipe(
          // It failed while the person still spoke: time has passed since.
          Effect.catchIf(
            (error) => early.has(segment) && isWorthAnother(error),
            () => hear(segment.speech),
          ),
        ),
      ).pipe(
        Effect.map((heard) => ({
          text: joinTexts(heard.map(({ text }) => text)),
          seconds: heard.reduce((sum, { seconds }) => sum + seconds, peekedSeconds),
        })),
      )
    },
    abandon: () => {
      for (const { fiber } of peeked === undefined ? all() : [...all(), peeked])
        fiber.unsafeInterruptAsFork(FiberId.none)
    },
  }
}

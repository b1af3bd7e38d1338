import { Chunk, Duration, Effect, Exit, Mailbox, Option, type Scope, Stream } from "effect"
import { watchWhile } from "../watch.ts"
import { spokenLength } from "./break-points.ts"
import {
  finish,
  flush,
  hasPendingText,
  initialState,
  push,
  type Segment,
  type SegmenterState,
} from "./segmenter.ts"

export type { Segment } from "./segmenter.ts"

/** The wait between two flushes that release nothing, in ms. People notice a pause from 300 ms. */
const RETRY_MS = 100
/**
 * How long text waits for the end of its sentence once the speech before it has run out, in ms. People notice a pause
 * from 500 ms and repeat themselves from 800 ms. A hosted model writes a sentence in 150 to 400 ms, so this rarely ends.
 */
const FLUSH_AFTER_MS = 700
/** The least time to say one Latin character, in ms: 65 at 150 words a minute, 50 with a fast voice. */
const SPEECH_MS = 50
/** How long before the released speech runs out the next segment is needed, in ms: the first byte of a slow voice. */
const LEAD_MS = 1000

type Event =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Tick" }
  | { readonly _tag: "End" }

/** All times are in ms of the clock. */
interface Pace {
  readonly segmenter: SegmenterState
  /** When the pending text started to wait, or the last segment was released. */
  readonly waitingSince: number
  /** When the speech released so far runs out, if each segment was spoken at once. */
  readonly spokenUntil: number
}

/** When pending text is flushed. */
const dueAt = (pace: Pace): number => Math.max(pace.waitingSince + FLUSH_AFTER_MS, pace.spokenUntil - LEAD_MS)

const react = (pace: Pace, event: Event, now: number) => {
  const { segmenter } = pace
  if (event._tag === "Text") return push(segmenter, event.text)
  if (event._tag === "End") return finish(segmenter)
  const isDue = now >= dueAt(pace) && hasPendingText(segmenter)
  return isDue ? flush(segmenter) : ([segmenter, []] as const)
}

const advance = (pace: Pace, event: Event, now: number): readonly [Pace, ReadonlyArray<Segment>] => {
  const [segmenter, segments] = react(pace, event, now)
  const speechMs = segments.reduce((ms, { spoken }) => ms + spokenLength(spoken) * SPEECH_MS, 0)
  const wasIdle = !hasPendingText(pace.segmenter)
  return [
    {
      segmenter,
      waitingSince: segments.length > 0 || wasIdle ? now : pace.waitingSince,
      spokenUntil: speechMs === 0 ? pace.spokenUntil : Math.max(now, pace.spokenUntil) + speechMs,
    },
    segments,
  ]
}

/** Cuts a text that comes in tokens. The functions are plain, since `push` runs once per token. */
export interface SegmentQueue<E> {
  /** Takes the next token. */
  readonly push: (text: string) => void
  /** Releases all text after a success. A failure follows the segments that were complete before it. */
  readonly end: (exit: Exit.Exit<unknown, E>) => void
  /** Can be read once. */
  readonly segments: Stream.Stream<Segment, E>
}

/**
 * Cuts tokens into segments to speak. The first segment is the first sentence; later ones are whole sentences
 * of about 200 characters. A segment is emitted with the token that completes it. A sentence that does not end is cut at
 * a word once the released speech is about to run out. Order and text are unchanged. No segment speaks more than
 * `maxCharacters` UTF-16 units.
 */
export const makeSegmentQueue = <E>(
  maxCharacters: Option.Option<number> = Option.none(),
): Effect.Effect<SegmentQueue<E>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    // No wall clock: a correction that sets it back by an hour would hold the sentence for so long.
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const released = yield* Mailbox.make<Segment, E>()
    const limit = Option.getOrElse(maxCharacters, () => initialState.limit)
    let pace: Pace = { segmenter: { ...initialState, limit }, waitingSince: 0, spokenUntil: 0 }
    const isPending = () => hasPendingText(pace.segmenter)
    const on = (event: Event) => {
      const [next, segments] = advance(pace, event, now())
      pace = next
      if (segments.length > 0) released.unsafeOfferAll(segments)
      if (isPending()) startTimer()
    }
    const startTimer = yield* watchWhile(
      isPending,
      () => Duration.millis(Math.max(RETRY_MS, dueAt(pace) - now())),
      Effect.sync(() => on({ _tag: "Tick" })),
    )
    return {
      push: (text) => on({ _tag: "Text", text }),
      end: (exit) => {
        if (Exit.isSuccess(exit)) on({ _tag: "End" })
        released.unsafeDone(Exit.asVoid(exit))
      },
      segments: Mailbox.toStream(released),
    } satisfies SegmentQueue<E>
  })

/**
 * Cuts a stream of tokens as `makeSegmentQueue` does. The tokens are read as they arrive, even if the segments are consumed
 * slowly.
 */
export const toSegments = <E, R>(
  tokens: Stream.Stream<string, E, R>,
  maxCharacters?: Option.Option<number>,
): Stream.Stream<Segment, E, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const { push, end, segments } = yield* makeSegmentQueue<E>(maxCharacters)
      const reading = Stream.runForEachChunk(tokens, (chunk) =>
        Effect.sync(() => push(Chunk.join(chunk, ""))),
      )
      yield* Effect.forkScoped(Effect.onExit(reading, (exit) => Effect.sync(() => end(exit))))
      return segments
    }),
  )

import { Chunk, Clock, Effect, Option, Stream } from "effect"
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

/**
 * Cuts a stream of tokens into segments to speak. The first segment is the first sentence; later ones are whole sentences
 * of about 200 characters. A segment is emitted with the token that completes it. A sentence that does not end is cut at
 * a word once the released speech is about to run out. Order and text are unchanged, and a failure of the tokens follows
 * the segments that were complete before it. No segment speaks more than `maxCharacters` UTF-16 units.
 *
 * The tokens are read as they arrive, even if the segments are consumed slowly: the model never waits for the voice.
 */
export const toSegments = <E, R>(
  tokens: Stream.Stream<string, E, R>,
  maxCharacters: Option.Option<number> = Option.none(),
): Stream.Stream<Segment, E, R> =>
  Stream.asyncPush<Segment, E, R>(
    Effect.fnUntraced(function* (emit) {
      const scope = yield* Effect.scope
      const limit = Option.getOrElse(maxCharacters, () => initialState.limit)
      let pace: Pace = { segmenter: { ...initialState, limit }, waitingSince: 0, spokenUntil: 0 }
      let isTimed = false
      const on = (event: Event): Effect.Effect<unknown> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const [next, segments] = advance(pace, event, now)
          pace = next
          if (segments.length > 0) emit.array(segments)
          if (isTimed || !hasPendingText(pace.segmenter)) return Effect.void
          isTimed = true
          return Effect.forkIn(timer, scope)
        })
      const timer = Effect.gen(function* () {
        while (hasPendingText(pace.segmenter)) {
          const now = yield* Clock.currentTimeMillis
          yield* Effect.sleep(Math.max(RETRY_MS, dueAt(pace) - now))
          yield* on({ _tag: "Tick" })
        }
        isTimed = false
      })
      yield* tokens.pipe(
        Stream.runForEachChunk((chunk) => on({ _tag: "Text", text: Chunk.join(chunk, "") })),
        Effect.zipRight(on({ _tag: "End" })),
        Effect.matchCause({ onFailure: emit.halt, onSuccess: emit.end }),
        Effect.forkScoped,
      )
    }),
    { bufferSize: "unbounded" },
  )

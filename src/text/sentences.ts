import { Chunk, Clock, Effect, Stream } from "effect"
import { measure } from "./break-points.ts"
import { type Cutting, finish, isWaiting, nothingYet, nudge, type Piece, write } from "./segmenter.ts"

export type { Piece } from "./segmenter.ts"

/** How often to look again when time is up but there is only a scrap to say, in ms: people notice a pause from 300 ms. */
const LOOK_AGAIN_MS = 100
/**
 * How long words wait for the end of their sentence while nothing is left to be heard, in ms. People notice a pause
 * from 500 ms and repeat themselves from 800; a hosted model writes a sentence in 150 to 400 ms, so this rarely fires.
 */
const PATIENCE_MS = 700
/** The least time that one Latin character takes to say, in ms: 150 words a minute are 65, a fast voice has 50. */
const SPEECH_MS = 50
/** How long before the speech handed on runs out the next piece must go, in ms: a voice's slow first byte. */
const LEAD_MS = 1000

type Event =
  | { readonly _tag: "Text"; readonly text: string }
  | { readonly _tag: "Tick" }
  | { readonly _tag: "End" }

interface Pace {
  readonly cutting: Cutting
  /** Since when text has been waiting with no piece let go, in ms of the clock. */
  readonly waitingSince: number
  /** Until when the pieces let go so far will be heard, if each was spoken at once, in ms of the clock. */
  readonly heardUntil: number
}

/** When text that waits is to be let go, in ms of the clock. */
const dueAt = (pace: Pace): number => Math.max(pace.waitingSince + PATIENCE_MS, pace.heardUntil - LEAD_MS)

const follow = (pace: Pace, event: Event, now: number): readonly [Pace, ReadonlyArray<Piece>] => {
  const [cutting, pieces] =
    event._tag === "Text"
      ? write(pace.cutting, event.text)
      : event._tag === "End"
        ? finish(pace.cutting)
        : now >= dueAt(pace) && isWaiting(pace.cutting)
          ? nudge(pace.cutting)
          : ([pace.cutting, []] as const)
  const speech = pieces.reduce((ms, piece) => ms + measure(piece.spoken) * SPEECH_MS, 0)
  return [
    {
      cutting,
      waitingSince: pieces.length > 0 || !isWaiting(pace.cutting) ? now : pace.waitingSince,
      heardUntil: speech === 0 ? pace.heardUntil : Math.max(now, pace.heardUntil) + speech,
    },
    pieces,
  ]
}

/**
 * Cuts a stream of tokens into pieces to speak: the first is the first sentence, later ones grow to about 200
 * characters of whole sentences. A piece leaves with the token that completes it. Text whose sentence does not
 * end is let go, at a word, once the speech handed on is about to run out. Order and text are kept exactly; a
 * failure of the tokens comes after the pieces that were complete before it.
 *
 * The tokens are read as they come, however slowly the pieces are taken: the model never waits for the voice.
 */
export const toPieces = <E, R>(tokens: Stream.Stream<string, E, R>): Stream.Stream<Piece, E, R> =>
  Stream.asyncPush<Piece, E, R>(
    Effect.fnUntraced(function* (emit) {
      const scope = yield* Effect.scope
      let pace: Pace = { cutting: nothingYet, waitingSince: 0, heardUntil: 0 }
      let isTimed = false
      const on = (event: Event): Effect.Effect<unknown> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const [next, pieces] = follow(pace, event, now)
          pace = next
          if (pieces.length > 0) emit.array(pieces)
          if (isTimed || !isWaiting(pace.cutting)) return Effect.void
          isTimed = true
          return Effect.forkIn(timer, scope)
        })
      const timer = Effect.gen(function* () {
        while (isWaiting(pace.cutting)) {
          const now = yield* Clock.currentTimeMillis
          yield* Effect.sleep(Math.max(LOOK_AGAIN_MS, dueAt(pace) - now))
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

import { Effect, Option, type Scope } from "effect"
import type { Demuxer } from "../audio/container.ts"
import type { Decoder } from "./decoder.ts"

/**
 * Decoders that wait for a recording, so that no turn has to wait for their start: one for each of the demuxers used
 * last.
 */
export interface WarmDecoders {
  /** The one that waits for such a recording, if it still lives. From now on it is the caller's. */
  readonly take: (demuxer: Demuxer) => Option.Option<Decoder>
  /** Has one wait for the next such recording, in the place of the demuxer not used for longest. Waits for nothing. */
  readonly keep: (demuxer: Demuxer) => Effect.Effect<void>
}

/** At most so many wait. They end with the scope, as does what `keep` has begun. */
export const makeWarmDecoders = Effect.fnUntraced(function* (
  most: number,
  start: (demuxer: Demuxer) => Decoder,
): Effect.fn.Return<WarmDecoders, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const oneAtATime = yield* Effect.makeSemaphore(1)
  /** From the one not used for longest to the one used last. */
  const waiting = new Map<Demuxer, Decoder>()
  let closed = false

  const take: WarmDecoders["take"] = (demuxer) => {
    const decoder = Option.fromNullable(waiting.get(demuxer))
    waiting.delete(demuxer)
    return Option.filter(decoder, ({ isAlive }) => isAlive())
  }

  /** From the one not used for longest, until no more than so many are left. */
  const killDownTo = Effect.fnUntraced(function* (left: number) {
    for (const [demuxer, decoder] of waiting) {
      if (waiting.size <= left) return
      waiting.delete(demuxer)
      yield* Effect.promise(decoder.kill)
    }
  })

  const keep: WarmDecoders["keep"] = (demuxer) =>
    Effect.gen(function* () {
      if (closed || most === 0) return
      const there = take(demuxer)
      // Before another starts, for there are never more.
      yield* killDownTo(most - 1)
      waiting.set(
        demuxer,
        Option.getOrElse(there, () => start(demuxer)),
      )
    }).pipe(
      oneAtATime.withPermits(1),
      Effect.catchAllCause((cause) => Effect.logWarning("ffmpeg.warm_start_failed", cause)),
      Effect.uninterruptible,
      Effect.forkIn(scope),
      Effect.asVoid,
    )

  yield* Effect.addFinalizer(() => {
    closed = true
    return oneAtATime.withPermits(1)(killDownTo(0))
  })
  return { take, keep }
})

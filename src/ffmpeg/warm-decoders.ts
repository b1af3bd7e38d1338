import { Effect, Option, type Scope } from "effect"
import type { Demuxer } from "../audio/sniff.ts"
import type { Decoder } from "./decoder.ts"

/** Decoders that were started ahead of their recording: one for each of the last used demuxers. */
export interface WarmDecoders {
  /** Takes the decoder for this demuxer, if it is alive. The caller then owns it. */
  readonly take: (demuxer: Demuxer) => Option.Option<Decoder>
  /** Starts a decoder for this demuxer in the background. It replaces the least recently used one. */
  readonly keep: (demuxer: Demuxer) => Effect.Effect<void>
}

/** Keeps at most `max` decoders. The end of the scope kills them. */
export const makeWarmDecoders = Effect.fnUntraced(function* (
  max: number,
  start: (demuxer: Demuxer) => Decoder,
): Effect.fn.Return<WarmDecoders, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const mutex = yield* Effect.makeSemaphore(1)
  /** From the least to the most recently used. */
  const waiting = new Map<Demuxer, Decoder>()
  let closed = false

  const take: WarmDecoders["take"] = (demuxer) => {
    const decoder = Option.fromNullable(waiting.get(demuxer))
    waiting.delete(demuxer)
    return Option.filter(decoder, ({ isAlive }) => isAlive())
  }

  /** Kills the least recently used until `left` remain. */
  const killDownTo = Effect.fnUntraced(function* (left: number) {
    for (const [demuxer, decoder] of waiting) {
      if (waiting.size <= left) return
      waiting.delete(demuxer)
      yield* Effect.promise(decoder.kill)
    }
  })

  const keep: WarmDecoders["keep"] = (demuxer) =>
    Effect.gen(function* () {
      if (closed || max === 0) return
      const existing = take(demuxer)
      // Before the start, so that there are never more than `max`.
      yield* killDownTo(max - 1)
      waiting.set(
        demuxer,
        Option.getOrElse(existing, () => start(demuxer)),
      )
    }).pipe(
      mutex.withPermits(1),
      Effect.catchAllCause((cause) => Effect.logWarning("ffmpeg.warm_start_failed", cause)),
      Effect.uninterruptible,
      Effect.forkIn(scope),
      Effect.asVoid,
    )

  yield* Effect.addFinalizer(() => {
    closed = true
    return mutex.withPermits(1)(killDownTo(0))
  })
  return { take, keep }
})

import { type Chunk, Effect, Fiber, Mailbox, Stream } from "effect"
import { type JoinedAudio, makeSpeechJoiner } from "../audio/speech-joiner.ts"
import { type ProviderError, wrongAnswer } from "../providers/errors.ts"
import { retryPolicy } from "../providers/retry.ts"
import type { SpeakOptions, Synthesizer } from "../providers/synthesizer.ts"
import type { Segment } from "../text/segmenter.ts"
import { drain, type Take } from "./take.ts"

/** Segments whose speech is requested ahead of the one that is being sent. */
const segmentsAhead = 2

/** The longest time for which audio is gathered, in ms. */
const longestGatheringMs = 100
/** The least time that is worth a timer, in ms. */
const leastGatheringMs = 20

/**
 * How long to gather audio that arrives, in ms: a tenth of what the client has still to play. To pass on each chunk by itself
 * costs more CPU than all else in a turn, and a client that has enough to play notices no difference.
 */
const gatheringMs = (aheadMs: number) => {
  const ms = Math.min(longestGatheringMs, aheadMs / 10)
  return ms < leastGatheringMs ? 0 : ms
}

interface SpeechHandlers<S> {
  /** `ms`: the playing time of the bytes. */
  readonly onAudio: (bytes: Uint8Array, ms: number) => Effect.Effect<unknown>
  /** How much of the audio so far the client has still to play, in ms. */
  readonly aheadMs: () => number
  /** Runs after all audio of the segment was passed to `onAudio`. */
  readonly onSegmentDone: (segment: S) => Effect.Effect<unknown>
}

export interface SpeechOptions extends SpeakOptions {
  /**
   * True: audio is passed on as it arrives, in larger pieces once the client is ahead. False: a segment is passed on once all
   * of it has arrived, so that a segment that fails can be requested again.
   */
  readonly streaming: boolean
}

/**
 * Speaks the segments in order, as one continuous stream of audio. While the audio of one segment is passed on, the next
 * two are requested; of those, one after the other is converted. Ends once all audio was passed on.
 */
export const speak = Effect.fn("speak")(function* <S extends Segment, E, R>(
  segments: Stream.Stream<S, E, R>,
  synthesizer: Synthesizer["Type"],
  options: SpeechOptions,
  { onAudio, aheadMs, onSegmentDone }: SpeechHandlers<S>,
) {
  // The mailbox holds one requested segment; one more waits to enter it.
  const ahead = yield* Mailbox.make<RequestedSegment<S>, E>({ capacity: segmentsAhead - 1 })
  const gathering = yield* makeGathering
  // In order: a later segment never holds a slot that an earlier one waits for.
  let earlier: Effect.Effect<unknown> = Effect.void
  const requestAll = segments.pipe(
    Stream.filter(({ spoken }) => spoken !== ""),
    Stream.runForEach((segment) => {
      const conversionSlot = Effect.zipRight(earlier, options.conversionSlot ?? Effect.void)
      return Effect.flatMap(
        request(synthesizer, segment, { ...options, conversionSlot }, gathering.end),
        (requested) => {
          earlier = requested.whole
          return ahead.offer(requested)
        },
      )
    }),
  )
  yield* Effect.forkScoped(Mailbox.into(requestAll, ahead))
  const passOn = Effect.fnUntraced(function* ({ segment, whole, take, hasEnded }: RequestedSegment<S>) {
    if (!options.streaming) yield* whole
    for (let isDone = false; !isDone; ) {
      const [pieces, done] = yield* take()
      for (const { bytes, ms } of joined(pieces)) yield* onAudio(bytes, ms)
      isDone = done
      const ms = isDone || hasEnded() || !options.streaming ? 0 : gatheringMs(aheadMs())
      if (ms > 0) yield* gathering.wait(ms)
    }
    yield* onSegmentDone(segment)
  })
  yield* drain(ahead.takeN(1), (requested) => Effect.forEach(requested, passOn, { discard: true }))
}, Effect.scoped)

/** Waits while audio gathers. One fiber for all waits of a reply: a race would start two for each. */
const makeGathering = Effect.gen(function* () {
  const begun = Effect.unsafeMakeLatch(false)
  const ended = Effect.unsafeMakeLatch(false)
  let length = 0
  const timer = Effect.flatMap(begun.await, () => {
    begun.unsafeClose()
    return Effect.zipRight(Effect.sleep(length), ended.open)
  })
  yield* Effect.forkScoped(Effect.forever(timer))
  return {
    /** Waits so many ms, or until `end` is called. The timer of a wait that was ended may end a later one early. */
    wait: (ms: number) =>
      Effect.suspend(() => {
        length = ms
        ended.unsafeClose()
        begun.unsafeOpen()
        return ended.await
      }),
    end: () => ended.unsafeOpen(),
  }
})

/** A segment whose speech was requested. */
interface RequestedSegment<S> {
  readonly segment: S
  /** Resolves once all audio has arrived, or the last try has failed. */
  readonly whole: Effect.Effect<unknown>
  /** Whether that is so. */
  readonly hasEnded: () => boolean
  /** Starts to take the audio. Audio that was taken is not requested again. */
  readonly take: () => Take<JoinedAudio, ProviderError>
}

/** Requests a segment's speech now. A failed try is repeated unless some of its audio may have been taken. */
const request = Effect.fnUntraced(function* <S extends Segment>(
  synthesizer: Synthesizer["Type"],
  segment: S,
  options: SpeechOptions,
  /** Called once all audio has arrived, or the last try has failed. */
  onEnd: () => void,
) {
  const { output } = options
  const arrived = yield* Mailbox.make<JoinedAudio, ProviderError>()
  let isTaken = false
  let hasAudio = false
  const fetch = Effect.suspend(() => {
    // The audio of a fallback server does not continue that of the first, so each server gets its own joiner.
    const makeJoiner = () => makeSpeechJoiner(output.format, output.format === "mp3" ? output.mp3 : undefined)
    let joiner = makeJoiner()
    const keep = (audio: JoinedAudio) => {
      if (audio.bytes.length === 0) return false
      hasAudio = true
      return arrived.unsafeOffer(audio)
    }
    const open = () => {
      joiner = makeJoiner()
      return (chunk: Uint8Array) => keep(joiner.push(chunk))
    }
    return Effect.flatMap(synthesizer.speak(segment.spoken, options, open), () => {
      keep(joiner.endSegment())
      return hasAudio ? Effect.void : wrongAnswer("tts", "no audio in it")
    })
  }).pipe(
    Effect.tapError(() => {
      if (isTaken) return Effect.void
      hasAudio = false
      return arrived.clear
    }),
    Effect.retry(retryPolicy(() => !(isTaken && hasAudio))),
  )
  let hasEnded = false
  const fetching = yield* Mailbox.into(fetch, arrived).pipe(
    Effect.ensuring(
      Effect.sync(() => {
        hasEnded = true
        onEnd()
      }),
    ),
    Effect.forkScoped,
  )
  const take = () => {
    isTaken = true
    return arrived.takeAll
  }
  return {
    segment,
    whole: Fiber.await(fetching),
    hasEnded: () => hasEnded,
    take,
  } satisfies RequestedSegment<S>
})

/** The most that is joined into one piece, in bytes. A slow client has only so many pieces waiting for it. */
const mostJoinedBytes = 16 * 1024

/** The audio in few pieces. */
const joined = (audio: Chunk.Chunk<JoinedAudio>): ReadonlyArray<JoinedAudio> => {
  const pieces: Array<JoinedAudio> = []
  let parts: Array<Uint8Array> = []
  let [length, ms] = [0, 0]
  const close = () => {
    const [first] = parts
    if (first !== undefined) pieces.push({ bytes: parts.length === 1 ? first : Buffer.concat(parts), ms })
    parts = []
    ;[length, ms] = [0, 0]
  }
  for (const next of audio) {
    if (length + next.bytes.length > mostJoinedBytes) close()
    parts.push(next.bytes)
    length += next.bytes.length
    ms += next.ms
  }
  close()
  return pieces
}

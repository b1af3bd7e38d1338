import { type Chunk, Effect, Fiber, Mailbox, Stream } from "effect"
import { makeSpeechJoiner } from "../audio/speech-joiner.ts"
import { type ProviderError, wrongAnswer } from "../providers/errors.ts"
import { retryPolicy } from "../providers/retry.ts"
import type { SpeakOptions, Synthesizer } from "../providers/synthesizer.ts"
import type { Segment } from "../text/segmenter.ts"

/** Segments whose speech is requested ahead of the one that is being sent. */
const segmentsAhead = 2

interface SpeechHandlers<S> {
  /** `ms`: the playing time of the bytes. */
  readonly onAudio: (bytes: Uint8Array, ms: number) => Effect.Effect<unknown>
  /** Runs after all audio of the segment was passed to `onAudio`. */
  readonly onSegmentDone: (segment: S) => Effect.Effect<unknown>
}

export interface SpeechOptions extends SpeakOptions {
  /**
   * True: audio is passed on as it arrives. False: a segment is passed on once all of it has arrived, so that a segment
   * that fails can be requested again.
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
  { onAudio, onSegmentDone }: SpeechHandlers<S>,
) {
  // The mailbox holds one requested segment; one more waits to enter it.
  const ahead = yield* Mailbox.make<RequestedSegment<S>, E>({ capacity: segmentsAhead - 1 })
  // In order: a later segment never holds a slot that an earlier one waits for.
  let earlier: Effect.Effect<unknown> = Effect.void
  const requestAll = segments.pipe(
    Stream.filter(({ spoken }) => spoken !== ""),
    Stream.runForEach((segment) => {
      const conversionSlot = Effect.zipRight(earlier, options.conversionSlot ?? Effect.void)
      return Effect.flatMap(request(synthesizer, segment, { ...options, conversionSlot }), (requested) => {
        earlier = requested.whole
        return ahead.offer(requested)
      })
    }),
  )
  yield* Effect.forkScoped(Mailbox.into(requestAll, ahead))
  const joiner = makeSpeechJoiner(options.output.format)
  yield* drain(ahead.takeN(1), ({ segment, whole, take }) =>
    Effect.gen(function* () {
      if (!options.streaming) yield* whole
      const send = ({ bytes, ms }: ReturnType<typeof joiner.push>) =>
        bytes.length === 0 ? Effect.void : onAudio(bytes, ms)
      yield* drain(take(), (bytes) => send(joiner.push(bytes)))
      yield* send(joiner.endSegment())
      yield* onSegmentDone(segment)
    }),
  )
}, Effect.scoped)

/** A segment whose speech was requested. */
interface RequestedSegment<S> {
  readonly segment: S
  /** Resolves once all audio has arrived, or the last try has failed. */
  readonly whole: Effect.Effect<unknown>
  /** Starts to take the audio. Audio that was taken is not requested again. */
  readonly take: () => Take<Uint8Array, ProviderError>
}

/** Requests a segment's speech now. A failed try is repeated unless some of its audio may have been taken. */
const request = Effect.fnUntraced(function* <S extends Segment>(
  synthesizer: Synthesizer["Type"],
  segment: S,
  options: SpeechOptions,
) {
  const arrived = yield* Mailbox.make<Uint8Array, ProviderError>()
  let isTaken = false
  let hasAudio = false
  const fetch = Effect.suspend(() => {
    // The audio of a fallback server does not continue that of the first, so each server gets its own joiner.
    let joiner = makeSpeechJoiner(options.output.format)
    const keep = ({ bytes }: ReturnType<typeof joiner.push>) => {
      if (bytes.length === 0) return false
      hasAudio = true
      return arrived.unsafeOffer(bytes)
    }
    const open = () => {
      joiner = makeSpeechJoiner(options.output.format)
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
  const fetching = yield* Effect.forkScoped(Mailbox.into(fetch, arrived))
  const take = () => {
    isTaken = true
    return arrived.takeAll
  }
  return { segment, whole: Fiber.await(fetching), take } satisfies RequestedSegment<S>
})

type Take<A, E> = Effect.Effect<readonly [batch: Chunk.Chunk<A>, done: boolean], E>

/** Passes every element of a mailbox to `use`, in order, until the mailbox is done. */
const drain = <A, E, E2, R>(take: Take<A, E>, use: (element: A) => Effect.Effect<unknown, E2, R>) =>
  Effect.gen(function* () {
    for (let isDone = false; !isDone; ) {
      const [batch, done] = yield* take
      for (const element of batch) yield* use(element)
      isDone = done
    }
  })

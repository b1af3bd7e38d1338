import { type Chunk, Effect, Fiber, Mailbox, Stream } from "effect"
import { makeSpeechJoiner, type SpokenFormat } from "../audio/speech-joiner.ts"
import { type ProviderError, wrongAnswer } from "../providers/errors.ts"
import type { Provider } from "../providers/openai/client.ts"
import { retryPolicy } from "../providers/retry.ts"
import type { Segment } from "../text/segments.ts"

/** Pieces asked for ahead of the one that is being sent. */
const piecesAhead = 2

interface SpeakOptions {
  readonly voice: string
  readonly format: SpokenFormat
  /** Whether each piece is handed on as it arrives; else whole, so that one that broke can be asked for again. */
  readonly isLive: boolean
}

interface Listener<P> {
  readonly hear: (bytes: Uint8Array) => Effect.Effect<unknown>
  /** All of the audio of a piece was heard. */
  readonly heard: (piece: P) => Effect.Effect<unknown>
}

/**
 * Speaks the pieces in their order: the audio of the first is handed on as it arrives while the next two are already
 * asked for. MP3 pieces become one continuous MP3. Ends when the last was handed on.
 */
export const speak = Effect.fn("speak")(function* <P extends Segment, E, R>(
  pieces: Stream.Stream<P, E, R>,
  tts: Provider,
  options: SpeakOptions,
  { hear, heard }: Listener<P>,
) {
  // One piece waits in here and one to get in, which makes the two.
  const ahead = yield* Mailbox.make<PieceInTheMaking<P>, E>({ capacity: piecesAhead - 1 })
  const prepareAll = pieces.pipe(
    Stream.filter(({ spoken }) => spoken !== ""),
    Stream.runForEach((piece) =>
      Effect.flatMap(prepare(tts, piece, options), (prepared) => ahead.offer(prepared)),
    ),
  )
  yield* Effect.forkScoped(Mailbox.into(prepareAll, ahead))
  const stream = makeSpeechJoiner(options.format)
  const send = (bytes: Uint8Array) => (bytes.length === 0 ? Effect.void : hear(bytes))
  yield* drain(ahead.takeN(1), ({ piece, whole, take }) =>
    Effect.gen(function* () {
      if (!options.isLive) yield* whole
      let sent = 0
      yield* drain(take(), (chunk) => {
        const { bytes } = stream.push(chunk)
        sent += bytes.length
        return send(bytes)
      })
      const last = stream.endSegment().bytes
      if (sent + last.length === 0)
        return yield* wrongAnswer("tts", "MP3 of another format than the pieces before")
      yield* send(last)
      yield* heard(piece)
    }),
  )
}, Effect.scoped)

/** A piece whose speech is on its way. `take` begins to hand it on: from then on what arrived is not asked for again. */
interface PieceInTheMaking<P> {
  readonly piece: P
  /** Resolves when all of it has arrived, or no further try is allowed. */
  readonly whole: Effect.Effect<unknown>
  readonly take: () => Take<Uint8Array, ProviderError>
}

/** Asks for a piece at once. A try that fails is repeated unless the listener may have got a part of it. */
const prepare = Effect.fnUntraced(function* <P extends Segment>(
  tts: Provider,
  piece: P,
  { voice, format }: SpeakOptions,
) {
  const arrived = yield* Mailbox.make<Uint8Array, ProviderError>()
  let itsTurn = false
  let started = false
  const keep = (bytes: Uint8Array) => {
    if (bytes.length === 0) return false
    started = true
    return arrived.unsafeOffer(bytes)
  }
  const fetch = Effect.suspend(() => {
    let playable = makeSpeechJoiner(format)
    const audio = tts.each(
      async ({ sdk, model, signal }) => {
        // What another server has begun is none of this one's.
        playable = makeSpeechJoiner(format)
        const answer = await sdk.audio.speech.create(
          { model, voice, input: piece.spoken, response_format: format },
          { signal },
        )
        const type = answer.headers.get("content-type") ?? ""
        if (/^(text|application\/(json|xml))/.test(type) || answer.body === null) {
          throw wrongAnswer("tts", "text where the audio should be")
        }
        return answer.body
      },
      (chunk) => keep(playable.push(chunk).bytes),
    )
    return Effect.flatMap(audio, () => {
      keep(playable.endSegment().bytes)
      return started ? Effect.void : wrongAnswer("tts", "no audio in it")
    })
  }).pipe(
    Effect.tapError(() => {
      if (itsTurn) return Effect.void
      started = false
      return arrived.clear
    }),
    Effect.retry(retryPolicy(() => !(itsTurn && started))),
  )
  const fetching = yield* Effect.forkScoped(Mailbox.into(fetch, arrived))
  const take = () => {
    itsTurn = true
    return arrived.takeAll
  }
  return { piece, whole: Fiber.await(fetching), take } satisfies PieceInTheMaking<P>
})

type Take<A, E> = Effect.Effect<readonly [batch: Chunk.Chunk<A>, done: boolean], E>

/** Uses all that a mailbox gives, in order, until it is done. */
const drain = <A, E, E2, R>(take: Take<A, E>, use: (element: A) => Effect.Effect<unknown, E2, R>) =>
  Effect.gen(function* () {
    for (let isDone = false; !isDone; ) {
      const [batch, done] = yield* take
      for (const element of batch) yield* use(element)
      isDone = done
    }
  })

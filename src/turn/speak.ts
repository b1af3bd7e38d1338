import { Effect, identity, Mailbox, type Scope, Stream } from "effect"
import type { Provider } from "../openai/client.ts"
import { type ProviderError, wrongAnswer } from "../openai/errors.ts"
import { retryPolicy } from "../openai/retry.ts"
import type { SpeechFormat } from "./model.ts"
import { makeMp3Joiner } from "./mp3.ts"
import type { Piece } from "./sentences.ts"

/** Pieces asked for ahead of the one that is being sent. */
const piecesAhead = 2

interface SpeakOptions {
  readonly voice: string
  readonly format: SpeechFormat
}

/**
 * The pieces' speech in their order, as one stream: the audio of the first goes out as it arrives while the next two
 * are already asked for. MP3 pieces become one continuous MP3.
 */
export const speak = <E, R>(
  pieces: Stream.Stream<Piece, E, R>,
  tts: Provider,
  options: SpeakOptions,
): Stream.Stream<Uint8Array, E | ProviderError, R> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const join = options.format === "mp3" ? joinMp3() : identity
      return pieces.pipe(
        Stream.filter(({ spoken }) => spoken !== ""),
        Stream.mapEffect((piece) => prepare(scope, askFor(tts, piece, options))),
        // One piece waits in the buffer and one to get into it, which makes the two.
        Stream.buffer({ capacity: piecesAhead - 1 }),
        Stream.flatMap(join),
        Stream.filter((bytes) => bytes.length > 0),
      )
    }),
  ).pipe(Stream.withSpan("speak"))

/** One try at one piece: what can be played of it, as it arrives. An answer without any of that is a wrong one. */
const askFor = (tts: Provider, piece: Piece, { voice, format }: SpeakOptions) =>
  Stream.suspend(() => {
    const playable = format === "mp3" ? wholeFrames() : wholeSamples()
    return tts
      .stream(async ({ sdk, model, signal }) => {
        const answer = await sdk.audio.speech.create(
          { model, voice, input: piece.spoken, response_format: format },
          { signal },
        )
        const type = answer.headers.get("content-type") ?? ""
        if (/^(text|application\/(json|xml))/.test(type) || answer.body === null) {
          throw wrongAnswer("tts", "text where the audio should be")
        }
        return answer.body
      })
      .pipe(
        Stream.map(playable.push),
        Stream.concat(Stream.sync(playable.end)),
        Stream.filter((bytes) => bytes.length > 0),
        Stream.orElseIfEmptyStream(() => Stream.fail(wrongAnswer("tts", "no audio in it"))),
      )
  })

/** Keeps back what can't be played before more has come; at a piece's end that is left out. */
interface Playable {
  readonly push: (chunk: Uint8Array) => Uint8Array
  readonly end: () => Uint8Array
}

const wholeFrames = (): Playable => {
  const { push, endPiece } = makeMp3Joiner()
  return { push, end: endPiece }
}

/** Half a sample would turn all that follows into noise. */
const wholeSamples = (): Playable => {
  let half: Uint8Array = new Uint8Array(0)
  const push = (chunk: Uint8Array) => {
    const bytes = half.length === 0 ? chunk : Buffer.concat([half, chunk])
    half = bytes.slice(bytes.length - (bytes.length % 2))
    return bytes.subarray(0, bytes.length - half.length)
  }
  return { push, end: () => new Uint8Array(0) }
}

/**
 * Starts to fetch a piece at once, and gives what arrives. A try that fails is repeated unless the listener may have
 * got a part of it: once this piece's turn has come, its bytes go out as they arrive.
 */
const prepare = Effect.fnUntraced(function* (
  scope: Scope.Scope,
  audio: Stream.Stream<Uint8Array, ProviderError>,
) {
  const arrived = yield* Mailbox.make<Uint8Array, ProviderError>()
  let itsTurn = false
  let started = false
  const fetch = audio.pipe(
    Stream.runForEach((bytes) => {
      started = true
      return arrived.offer(bytes)
    }),
    Effect.tapError(() => {
      if (itsTurn) return Effect.void
      started = false
      return arrived.clear
    }),
    Effect.retry({ schedule: retryPolicy, while: () => !(itsTurn && started) }),
  )
  yield* Mailbox.into(fetch, arrived).pipe(Effect.forkIn(scope))
  return Stream.suspend(() => {
    itsTurn = true
    return Mailbox.toStream(arrived)
  })
})

type Join = (piece: Stream.Stream<Uint8Array, ProviderError>) => Stream.Stream<Uint8Array, ProviderError>

/** The pieces' frames as one stream of the first one's format: a decoder would stumble over a change of it. */
const joinMp3 = (): Join => {
  const joiner = makeMp3Joiner()
  return (piece) =>
    Stream.concat(
      Stream.map(piece, joiner.push),
      Stream.suspend(() => {
        const last = joiner.endPiece()
        return joiner.piece().frames === 0
          ? Stream.fail(wrongAnswer("tts", "MP3 of another format than the pieces before"))
          : Stream.make(last)
      }),
    )
}

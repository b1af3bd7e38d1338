import { Effect, Mailbox, type Scope, Stream } from "effect"
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
      const join = options.format === "mp3" ? joinMp3() : joinSamples()
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

/** One try at one piece: its bytes as they arrive, once they look like audio at all. */
const askFor = (tts: Provider, piece: Piece, { voice, format }: SpeakOptions) =>
  Stream.suspend(() => {
    let bytes = 0
    const audio = tts.stream(async ({ sdk, model, signal }) => {
      const answer = await sdk.audio.speech.create(
        { model, voice, input: piece.spoken, response_format: format },
        { signal },
      )
      const type = answer.headers.get("content-type") ?? ""
      if (/^(text|application\/(json|xml))/.test(type) || answer.body === null) {
        throw new TypeError(`not audio but ${type}`)
      }
      return answer.body
    })
    const checked = Stream.mapEffect(audio, (chunk) => {
      const isFirst = bytes === 0
      bytes += chunk.length
      return isFirst && format === "mp3" && isText(chunk)
        ? wrongAnswer("tts", "text where the audio should be")
        : Effect.succeed(chunk)
    })
    const end = Stream.suspend(() =>
      bytes === 0 ? Stream.fail(wrongAnswer("tts", "no audio in it")) : Stream.empty,
    )
    return Stream.concat(checked, end)
  })

/** HTML or JSON, whatever its declared type; no MP3 begins so. */
const isText = (chunk: Uint8Array) => chunk[0] === "<".charCodeAt(0) || chunk[0] === "{".charCodeAt(0)

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

const joinMp3 = (): Join => {
  const joiner = makeMp3Joiner()
  return (piece) =>
    Stream.concat(
      Stream.map(piece, joiner.push),
      Stream.suspend(() => {
        const last = joiner.endPiece()
        return joiner.piece().frames === 0
          ? Stream.fail(wrongAnswer("tts", "no MP3 in it"))
          : Stream.make(last)
      }),
    )
}

/** A piece cut within a sample would turn all that follows into noise, so half a sample is left out. */
const joinSamples = (): Join => (piece) =>
  Stream.suspend(() => {
    let half: Uint8Array = new Uint8Array(0)
    return Stream.map(piece, (chunk) => {
      const bytes = half.length === 0 ? chunk : Buffer.concat([half, chunk])
      half = bytes.slice(bytes.length - (bytes.length % 2))
      return bytes.subarray(0, bytes.length - half.length)
    })
  })

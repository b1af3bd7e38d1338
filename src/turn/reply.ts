import { Deferred, Effect, Mailbox, Option, Stream } from "effect"
import type { Message } from "../conversation/model.ts"
import { type ProviderError, wrongAnswer } from "../providers/errors.ts"
import type { Provider } from "../providers/openai/client.ts"
import { retryPolicy } from "../providers/retry.ts"
import { type Segment, toSegments } from "../text/segments.ts"
import { type Listening, TurnEvent } from "./model.ts"
import { type ResponseSettings, respond } from "./respond.ts"
import { speak } from "./speak.ts"
import type { Stopwatch } from "./stopwatch.ts"
import type { Tally } from "./tally.ts"

interface Speakers {
  readonly llm: Provider
  readonly tts: Provider
  readonly settings: ResponseSettings & { readonly ttsVoice: string }
}

/** A reply that is read only: what was handed on was read. */
const read = <E, R>(
  pieces: Stream.Stream<{ readonly end: number }, E, R>,
  wasRead: (to: number) => Effect.Effect<unknown>,
) => Stream.runForEach(pieces, ({ end }) => wasRead(end))

/** What the reply answers, how it is listened to, and where its progress is noted. */
interface Question {
  readonly history: ReadonlyArray<Message>
  readonly transcript: string
  readonly listening: Listening
  readonly watch: Stopwatch
  readonly tally: Tally
}

interface Listener {
  readonly emit: (event: TurnEvent) => Effect.Effect<unknown>
  /** The reply was handed on as speech up to here, in UTF-16 units. */
  readonly spoken: (to: number) => Effect.Effect<unknown>
}

/**
 * The model's reply, spoken while it is being written. The model is asked again only as long as the listener got
 * nothing: no audio, and no text where text is wanted; who is not live gets all at the end. If it breaks before that,
 * speech already there is dropped.
 */
export const reply = Effect.fn("reply")(function* (
  { llm, tts, settings }: Speakers,
  { history, transcript, listening, watch, tally }: Question,
  { emit, spoken }: Listener,
) {
  const { format, wantsText, isLive } = listening
  let heard = false
  const send = (event: TurnEvent) =>
    Effect.suspend(() => {
      heard = isLive
      return emit(event)
    })

  const once = Effect.gen(function* () {
    tally.response = ""
    tally.speech = []
    const { inputTokens, outputTokens } = tally.usage
    const broken = yield* Deferred.make<never, ProviderError>()
    const firstToken = yield* watch.begin("llmTtft")

    const texts = yield* Mailbox.make<string, ProviderError>()
    const thinking = respond(llm, settings, history, transcript, {
      // To be paid as well as what was spent in vain before.
      spent: (tokens) => {
        tally.usage.inputTokens = inputTokens + tokens.inputTokens
        tally.usage.outputTokens = outputTokens + tokens.outputTokens
      },
      wrote: (text) => {
        tally.response += text
        texts.unsafeOffer(text)
      },
    }).pipe(
      Effect.tapError((error) => (heard ? Effect.void : Deferred.fail(broken, error))),
      Effect.onExit((exit) => watch.ended("llm", exit)),
    )
    yield* Effect.forkScoped(Mailbox.into(thinking, texts))

    let firstSpeech = Option.none<Effect.Effect<void>>()
    const pieces = Mailbox.toStream(texts).pipe(
      Stream.tap((text) => {
        const sent = wantsText ? send(TurnEvent.ReplyDelta({ text })) : Effect.void
        return Effect.zipRight(firstToken, sent)
      }),
      toSegments,
      Stream.tap((piece) =>
        Effect.gen(function* () {
          if (format === "none") return
          if (Option.isNone(firstSpeech)) firstSpeech = Option.some(yield* watch.begin("ttsTtfb"))
          tally.usage.charactersSpoken += piece.spoken.length
        }),
      ),
      Stream.mapAccum(0, (start, piece): readonly [number, Segment & { readonly end: number }] => {
        const end = start + piece.text.length
        return [end, { ...piece, end }]
      }),
    )

    if (format === "none") return yield* read(pieces, spoken)

    let audible = false
    const speech = speak(
      pieces,
      tts,
      { format, isLive, voice: settings.ttsVoice },
      {
        hear: (bytes) => {
          audible = true
          return Effect.zipRight(
            Option.getOrElse(firstSpeech, () => Effect.void),
            send(TurnEvent.Audio({ bytes })),
          )
        },
        heard: ({ end }) => spoken(end),
      },
    ).pipe(
      Effect.onExit((exit) => {
        const { charactersSpoken } = tally.usage
        return watch.ended("tts", exit, { charactersSpoken })
      }),
    )
    yield* Effect.raceFirst(speech, Deferred.await(broken))
    if (!audible) return yield* wrongAnswer("llm", "nothing in the reply can be spoken")
  }).pipe(Effect.scoped)

  yield* Effect.retry(
    once,
    retryPolicy(({ stage }) => stage === "llm" && !heard),
  )
})

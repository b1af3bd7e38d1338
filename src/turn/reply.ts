import { Deferred, Effect, Mailbox, Stream } from "effect"
import type { Provider } from "../openai/client.ts"
import { type ProviderError, wrongAnswer } from "../openai/errors.ts"
import { retryPolicy } from "../openai/retry.ts"
import type { Message } from "../sessions/model.ts"
import { TurnEvent, type TurnInput } from "./model.ts"
import { type ResponseSettings, respond } from "./respond.ts"
import { toPieces } from "./sentences.ts"
import { speak } from "./speak.ts"
import type { Stopwatch } from "./stopwatch.ts"

export interface Reply {
  /** As the model wrote it. */
  readonly text: string
  readonly inputTokens: number
  readonly outputTokens: number
  readonly charactersSpoken: number
}

interface Speakers {
  readonly llm: Provider
  readonly tts: Provider
  readonly settings: ResponseSettings & { readonly ttsVoice: string }
}

interface Question {
  readonly history: ReadonlyArray<Message>
  readonly transcript: string
}

/**
 * The model's reply, spoken while it is being written. The model is asked again only as long as the listener got
 * nothing: no audio, and no text where text is wanted. If it breaks before that, speech already asked for is dropped.
 */
export const reply = Effect.fn("reply")(function* (
  { llm, tts, settings }: Speakers,
  { history, transcript }: Question,
  { format, wantsText }: TurnInput,
  watch: Stopwatch,
  emit: (event: TurnEvent) => Effect.Effect<unknown>,
) {
  let heard = false
  const send = (event: TurnEvent) =>
    Effect.suspend(() => {
      heard = true
      return emit(event)
    })

  const once = Effect.gen(function* () {
    const written = { text: "", inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }
    const broken = yield* Deferred.make<never, ProviderError>()
    const firstToken = yield* watch.begin("llmTtft")

    const texts = yield* Mailbox.make<string, ProviderError>()
    const thinking = respond(llm, settings, history, transcript, (text) => {
      written.text += text
      texts.unsafeOffer(text)
    }).pipe(
      Effect.tap((tokens) => Effect.sync(() => Object.assign(written, tokens))),
      Effect.asVoid,
      Effect.tapError((error) => (heard ? Effect.void : Deferred.fail(broken, error))),
      Effect.onExit((exit) => watch.ended("llm", exit)),
    )
    yield* Effect.forkScoped(Mailbox.into(thinking, texts))

    let firstSpeech = Effect.void
    const pieces = Mailbox.toStream(texts).pipe(
      Stream.tap((text) => {
        const sent = wantsText ? send(TurnEvent.ReplyDelta({ text })) : Effect.void
        return Effect.zipRight(firstToken, sent)
      }),
      toPieces,
      Stream.tap(({ spoken }) =>
        Effect.gen(function* () {
          if (written.charactersSpoken === 0) firstSpeech = yield* watch.begin("ttsTtfb")
          written.charactersSpoken += spoken.length
        }),
      ),
    )

    let audible = false
    const speech = speak(pieces, tts, { format, voice: settings.ttsVoice }, (bytes) => {
      audible = true
      return Effect.zipRight(firstSpeech, send(TurnEvent.Audio({ bytes })))
    }).pipe(
      Effect.onExit((exit) => {
        const { charactersSpoken } = written
        return watch.ended("tts", exit, { charactersSpoken })
      }),
    )
    yield* Effect.raceFirst(speech, Deferred.await(broken))
    if (!audible) return yield* wrongAnswer("llm", "nothing in the reply can be spoken")
    return written satisfies Reply
  }).pipe(Effect.scoped)

  return yield* Effect.retry(once, {
    schedule: retryPolicy,
    while: (error) => error.stage === "llm" && !heard,
  })
})

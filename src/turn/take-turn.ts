import { Context, Effect, Layer, Mailbox, Option, Stream } from "effect"
import { Settings } from "../config.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import { Providers } from "../openai/client.ts"
import { timedOut } from "../openai/errors.ts"
import { Conversation } from "../sessions/conversation.ts"
import type { TurnError } from "./errors.ts"
import { TurnEvent, type TurnInput } from "./model.ts"
import { persist } from "./persist.ts"
import { reply } from "./reply.ts"
import { makeStopwatch } from "./stopwatch.ts"
import { transcode } from "./transcode.ts"
import { transcribe } from "./transcribe.ts"
import { validate } from "./validate.ts"

/** Events that wait for a slow listener; past these the turn waits too. */
const eventsAhead = 16

/** Turns: audio in, its transcript, the reply, the reply's speech, both messages saved. */
export class Turns extends Context.Tag("Turns")<
  Turns,
  {
    /**
     * One turn as a stream of events. It begins when the stream is run, and all of it (fibres, ffmpeg, requests to
     * providers) ends with the stream. `Completed` comes last, once the turn is saved; one that fails saves nothing.
     */
    readonly take: (input: TurnInput) => Stream.Stream<TurnEvent, TurnError>
  }
>() {
  static readonly layer = Layer.effect(
    Turns,
    Effect.gen(function* () {
      const settings = yield* Settings
      const { stt, llm, tts } = yield* Providers
      const conversation = yield* Conversation

      const run = Effect.fn("turn")(function* (
        input: TurnInput,
        emit: (event: TurnEvent) => Effect.Effect<unknown>,
      ) {
        const { turnId, userId, upload } = input
        const watch = makeStopwatch(upload.uploadMs)
        const firstAudio = yield* watch.begin("firstAudio")
        const total = yield* watch.begin("total")
        let heard = false

        const turn = Effect.gen(function* () {
          const session = yield* conversation.join(userId, input.sessionId)
          yield* Effect.annotateLogsScoped({ sessionId: session.id })
          yield* emit(TurnEvent.Started({ sessionId: session.id, turnId }))
          const recording = yield* watch.stage("validate", validate(upload))
          const speech = yield* watch.stage("transcode", transcode(recording, settings))
          const transcript = yield* watch.stage("stt", transcribe(stt, speech, settings.sttLanguage))
          yield* emit(TurnEvent.Transcript({ text: transcript }))
          const history = session.isNew ? [] : yield* conversation.context(session.id)
          const answer = yield* reply(
            { llm, tts, settings },
            { history, transcript },
            input,
            watch,
            (event) => {
              if (event._tag !== "Audio") return emit(event)
              heard = true
              return Effect.zipRight(firstAudio, emit(event))
            },
          )
          const { text: response, ...usage } = answer
          yield* watch.stage(
            "persist",
            persist(conversation, { turnId, userId, session, transcript, response }),
          )
          yield* total
          const timings = yield* watch.read
          yield* Effect.logInfo("turn").pipe(
            Effect.annotateLogs({
              bytes: upload.bytes,
              type: recording.demuxer,
              transcriptLength: transcript.length,
              responseLength: response.length,
              ...timings,
            }),
          )
          yield* emit(
            TurnEvent.Completed({
              transcript,
              response,
              timings,
              usage: { audioSeconds: speech.seconds, ...usage },
            }),
          )
        }).pipe(Effect.scoped)

        const overdue = Effect.gen(function* () {
          yield* Effect.sleep(settings.turnTimeout)
          if (heard) return yield* Effect.never
          return yield* Option.match(yield* watch.atWork, {
            onNone: () =>
              new DatabaseUnavailable({ cause: "the turn's time ran out before a provider was asked" }),
            onSome: (stage) => timedOut(stage, settings.turnTimeout),
          })
        })
        yield* Effect.raceFirst(turn, overdue).pipe(Effect.annotateLogs({ turnId }))
      })

      const take = (input: TurnInput) =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const events = yield* Mailbox.make<TurnEvent, TurnError>({ capacity: eventsAhead })
            yield* Mailbox.into(
              run(input, (event) => events.offer(event)),
              events,
            ).pipe(Effect.forkScoped)
            return Mailbox.toStream(events)
          }),
        )

      return { take }
    }),
  )
}

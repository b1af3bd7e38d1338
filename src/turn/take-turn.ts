import { Cause, Context, Effect, Exit, Fiber, Layer, Mailbox, Option, Stream } from "effect"
import { Settings } from "../config.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import { Providers } from "../openai/client.ts"
import { timedOut } from "../openai/errors.ts"
import { Conversation } from "../sessions/conversation.ts"
import { type Place, RunningTurns } from "../sessions/running-turns.ts"
import { SessionBusy, type Timings, type TurnSession } from "../sessions/stored-turn.ts"
import { TurnRecords } from "../sessions/turn-records.ts"
import type { TurnError } from "./errors.ts"
import { Ffmpeg } from "./ffmpeg.ts"
import { requireSound } from "./loudness.ts"
import { Saying, TurnEvent, type TurnInput, Whereto } from "./model.ts"
import { persist, settle } from "./persist.ts"
import { replay } from "./replay.ts"
import { reply } from "./reply.ts"
import { makeStopwatch, type Stopwatch } from "./stopwatch.ts"
import { makeTally, type Tally } from "./tally.ts"
import { transcode } from "./transcode.ts"
import { transcribe } from "./transcribe.ts"
import { validate } from "./validate.ts"

/** Events that wait for a slow listener; past these the turn waits too. */
const eventsAhead = 16

/** On its way to the listener: what happens, and how much of the reply was spoken with what went before. */
type Passing = TurnEvent | { readonly _tag: "Spoken"; readonly to: number }

const noTimes: Timings = {
  upload: 0,
  validate: 0,
  transcode: 0,
  stt: 0,
  llmTtft: 0,
  ttsTtfb: 0,
  firstAudio: 0,
  total: 0,
}

/** In a fibre of its own: where one of `Effect.all` fails, the others are not interrupted within a time-out of theirs. */
const apart = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(Effect.forkScoped(effect), Fiber.join))

/** Of what was said: a text that is answered aloud is another request than one that is not. */
const hashOf = ({ saying, listening }: TurnInput) =>
  Saying.$match(saying, {
    Recording: ({ upload }) => upload.sha256,
    Text: ({ text }) =>
      new Bun.CryptoHasher("sha256").update(`${listening.format === "none"}:${text}`).digest("hex"),
  })

/** A turn under way. */
interface Begun {
  readonly input: TurnInput
  readonly session: TurnSession
  readonly place: Place
  readonly watch: Stopwatch
  readonly tally: Tally
}

/** Turns: audio in, its transcript, the reply, the reply's speech, both messages saved. */
export class Turns extends Context.Tag("Turns")<
  Turns,
  {
    /**
     * One turn as a stream of events. It begins when the stream is run, and all of it (fibres, ffmpeg, requests to
     * providers) ends with the stream. `Completed` comes last, once the turn is saved; of one that ends before, what
     * was heard is saved as interrupted.
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
      const running = yield* RunningTurns
      const records = yield* TurnRecords
      const ffmpeg = yield* Ffmpeg

      /** The pipeline, top to bottom. */
      const run = Effect.fn("turn")(function* (
        { input, session, place, watch, tally }: Begun,
        emit: (event: Passing) => Effect.Effect<unknown>,
      ) {
        const { turnId, userId, saying, listening } = input
        const firstAudio = yield* watch.begin("firstAudio")
        const total = yield* watch.begin("total")
        const emitTimes = Effect.flatMap(watch.soFar, (timings) => emit(TurnEvent.Timed({ timings })))
        const speech: Array<Uint8Array> = []
        let isSounding = false

        const turn = Effect.gen(function* () {
          yield* emit(TurnEvent.Started({ sessionId: session.id, turnId, isReplay: false }))
          const hear = Effect.gen(function* () {
            if (saying._tag === "Text") {
              tally.transcript = saying.text
              return { bytes: Buffer.byteLength(saying.text), type: "text" }
            }
            const { upload } = saying
            const recording = yield* watch.stage("validate", validate(upload))
            const speech = yield* watch.stage(
              "transcode",
              transcode(ffmpeg, recording, settings.maxAudioSeconds),
            )
            yield* requireSound(speech, settings.silenceDbfs)
            tally.usage.audioSeconds = speech.seconds
            tally.transcript = yield* watch.stage("stt", transcribe(stt, speech, settings.sttLanguage))
            return { bytes: upload.bytes, type: recording.demuxer }
          })
          // While the turns ahead in the session come to their end, since it has to know what they said.
          const remember = Effect.zipRight(place.reached, conversation.context(session.id))
          const [said, history] = yield* Effect.all([apart(hear), apart(remember)], { concurrency: 2 })
          yield* emitTimes
          yield* emit(TurnEvent.Transcript({ text: tally.transcript }))
          yield* reply(
            { llm, tts, settings },
            { history, transcript: tally.transcript, listening, watch, tally },
            {
              emit: (event) => {
                if (event._tag === "ReplyDelta" && listening.format === "none") isSounding = true
                if (event._tag !== "Audio") return emit(event)
                if (Option.isSome(input.idempotencyKey)) speech.push(event.bytes)
                if (isSounding) return emit(event)
                isSounding = true
                return Effect.all([firstAudio, emitTimes, emit(event)])
              },
              spoken: (to) => emit({ _tag: "Spoken", to }),
            },
          )
          yield* total
          const timings: Timings = { ...noTimes, ...(yield* watch.soFar) }
          const ending = { turnId, userId, session, tally, timings, speechFormat: listening.format }
          const kept = Option.as(input.idempotencyKey, Buffer.concat(speech))
          yield* watch.stage("persist", persist(records, ending, kept))
          const { transcript, response, usage } = tally
          yield* Effect.logInfo("turn").pipe(
            Effect.annotateLogs({
              ...said,
              transcriptLength: transcript.length,
              responseLength: response.length,
              ...timings,
            }),
          )
          yield* emit(TurnEvent.Completed({ transcript, response, timings, usage }))
        })

        const overdue = Effect.gen(function* () {
          yield* Effect.sleep(settings.turnTimeout)
          if (isSounding) return yield* Effect.never
          const stage = Option.getOrUndefined(yield* watch.atWork)
          if (stage === undefined) {
            return yield* new DatabaseUnavailable({
              cause: "the turn's time ran out before a provider was asked",
            })
          }
          if (stage === "stt" && tally.transcript !== "") return yield* new SessionBusy()
          return yield* timedOut(stage, settings.turnTimeout)
        })
        yield* Effect.raceFirst(turn, overdue)
      })

      /** What is to be done where a turn ends before its end. */
      const settleUnlessWhole =
        ({ input, session, place, watch, tally }: Begun) =>
        (exit: Exit.Exit<void, TurnError>) =>
          Effect.gen(function* () {
            if (Exit.isSuccess(exit)) return
            yield* place.settled
            const timings = yield* watch.soFar
            const { turnId, userId, listening } = input
            const isCancelled = Option.exists(
              Cause.failureOption(exit.cause),
              ({ _tag }) => _tag === "TurnCancelled",
            )
            yield* settle(
              records,
              { turnId, userId, session, tally, timings, speechFormat: listening.format },
              isCancelled ? "cancelled" : "interrupted",
            )
          }).pipe(Effect.catchAllCause((cause) => Effect.logWarning("turn not settled", cause)))

      const take: Turns["Type"]["take"] = (input) =>
        Stream.unwrapScoped(
          Effect.gen(function* () {
            const { turnId, userId, listening, whereto } = input
            yield* Effect.annotateLogsScoped({ turnId })
            const watch = makeStopwatch(input.uploadMs)
            const tally = makeTally()
            const cancelled = yield* running.register(turnId)
            const session = yield* Whereto.$match(whereto, {
              Asked: ({ sessionId }) => conversation.join(userId, sessionId),
              Given: ({ sessionId }) => conversation.rejoin(userId, sessionId),
            })
            yield* Effect.annotateLogsScoped({ sessionId: session.id })
            const idempotency = Option.map(input.idempotencyKey, (key) => ({
              key,
              contentHash: hashOf(input),
            }))
            const claim = yield* running.claim({ id: turnId, userId, session, idempotency })
            if (claim._tag === "Answered") {
              yield* Effect.annotateLogs(Effect.logInfo("turn replayed"), { turnId: claim.turn.id })
              return yield* replay(claim.turn, listening, settings.ffmpegPath)
            }
            const begun = { input, session, place: claim.place, watch, tally }
            const events = yield* Mailbox.make<Passing, TurnError>({ capacity: eventsAhead })
            yield* Effect.uninterruptibleMask((restore) =>
              restore(
                Effect.raceFirst(
                  run(begun, (event) => events.offer(event)),
                  cancelled,
                ),
              ).pipe(Effect.onExit(settleUnlessWhole(begun)), Mailbox.into(events), Effect.forkScoped),
            )
            const heardAs = listening.format === "none" ? "ReplyDelta" : "Audio"
            return Mailbox.toStream(events).pipe(
              Stream.filterMap((event) => {
                if (event._tag === "Spoken") tally.heardTo = event.to
                if (event._tag === heardAs) tally.isHeard = listening.isLive
                return event._tag === "Spoken" ? Option.none() : Option.some(event)
              }),
            )
          }),
        )

      return { take }
    }),
  )
}

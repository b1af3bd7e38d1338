import { Array as Arr, Clock, Effect, Fiber, Option } from "effect"
import { identify } from "../audio/container.ts"
import { rejectSilence } from "../audio/silence.ts"
import { Settings } from "../config.ts"
import { History } from "../conversation/history.ts"
import type { Item } from "../conversation/item.ts"
import { Ledger } from "../conversation/ledger.ts"
import type { Message } from "../conversation/model.ts"
import type { QueueTicket } from "../conversation/running-turns.ts"
import type { TurnSession } from "../conversation/stored-turn.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { DecodingSlots } from "../limits/decoding-slots.ts"
import { noteTimes } from "../metrics.ts"
import { Providers } from "../providers/openai/client.ts"
import type { Timings } from "../schema.ts"
import { deadline } from "./deadline.ts"
import { TurnEvent, type TurnInput } from "./model.ts"
import { persist } from "./persist.ts"
import { reply } from "./reply.ts"
import type { Stopwatch } from "./stopwatch.ts"
import type { Tally } from "./tally.ts"
import { transcode } from "./transcode.ts"
import { transcribe } from "./transcribe.ts"

/** A turn that has its place in its session, or is about to. */
export interface Begun {
  readonly input: TurnInput
  readonly session: TurnSession
  readonly ticket: QueueTicket
  readonly watch: Stopwatch
  readonly tally: Tally
}

/** On its way to the listener: what happens, and how much of the reply was handed on with what went before. */
export type Passing = TurnEvent | { readonly _tag: "HandedOn"; readonly to: number }

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

const messagesOf = (items: ReadonlyArray<Item>): ReadonlyArray<Message> =>
  Arr.filterMap(items, ({ payload, ...item }) =>
    payload.type === "message"
      ? Option.some({ ...item, role: payload.role, content: payload.text })
      : Option.none(),
  )

/** The pipeline, top to bottom: all of a turn, from what was said to its being saved. */
export const makeTakeTurn = Effect.gen(function* () {
  const settings = yield* Settings
  const { stt, llm, tts } = yield* Providers
  const history = yield* History
  const ledger = yield* Ledger
  const ffmpeg = yield* Ffmpeg
  const slots = yield* DecodingSlots

  /** What was said, as text; and what it came as, for the log. */
  const hear = Effect.fnUntraced(function* ({ input: { saying, userId }, watch, tally }: Begun) {
    if (saying._tag === "Text") {
      tally.transcript = saying.text
      return { bytes: Buffer.byteLength(saying.text), type: "text" }
    }
    const { upload } = saying
    const recording = yield* watch.stage("validate", identify(upload))
    const begins = Effect.map(Clock.currentTimeMillis, (now) => {
      tally.decodingSince = now
    })
    const speech = yield* watch.stage(
      "transcode",
      transcode(ffmpeg, recording, settings.maxAudioSeconds, (effect) =>
        slots.withSlot(userId, Effect.zipRight(begins, effect)),
      ),
    )
    yield* rejectSilence(speech, settings.silenceDbfs)
    tally.usage.audioSeconds = speech.seconds
    tally.transcript = yield* watch.stage("stt", transcribe(stt, speech, settings.sttLanguage))
    return { bytes: upload.bytes, type: recording.demuxer }
  })

  /** What was said before, once the turns ahead in the session have come to their end. */
  const remember = ({ ticket, session, tally }: Begun) =>
    Effect.gen(function* () {
      yield* ticket.ready
      tally.isFirst = true
      return messagesOf(yield* history.newest(session.id, settings.contextMessages))
    })

  return Effect.fn("turn")(function* (begun: Begun, emit: (event: Passing) => Effect.Effect<unknown>) {
    const { input, session, watch, tally } = begun
    const { turnId, listening } = input
    yield* Effect.annotateCurrentSpan({ turnId, sessionId: session.id })
    const firstAudio = yield* watch.begin("firstAudio")
    const total = yield* watch.begin("total")
    const emitTimes = Effect.flatMap(watch.soFar, (timings) => emit(TurnEvent.Timed({ timings })))
    const isKept = Option.isSome(input.idempotencyKey) || !listening.isLive

    /** On to the listener, where that is live; the first sound with the times until then. */
    const pass = (event: TurnEvent) => {
      if (event._tag === "ReplyDelta" && listening.format === "none") tally.isSounding = true
      if (event._tag !== "Audio") return emit(event)
      if (isKept) tally.speech.push(event.bytes)
      const passed = listening.isLive ? emit(event) : Effect.void
      if (tally.isSounding) return passed
      tally.isSounding = true
      return Effect.all([firstAudio, emitTimes, passed])
    }

    const turn = Effect.gen(function* () {
      yield* emit(TurnEvent.Started({ sessionId: session.id, turnId, isReplay: false }))
      const [said, before] = yield* Effect.all([apart(hear(begun)), apart(remember(begun))], {
        concurrency: 2,
      })
      yield* emitTimes
      yield* emit(TurnEvent.Transcript({ text: tally.transcript }))
      yield* reply(
        { llm, tts, settings },
        { history: before, transcript: tally.transcript, listening, watch, tally },
        { emit: pass, spoken: (to) => emit({ _tag: "HandedOn", to }) },
      )
      const speech = Buffer.concat(tally.speech)
      if (!listening.isLive && speech.length > 0) yield* emit(TurnEvent.Audio({ bytes: speech }))
      yield* total
      const timings: Timings = { ...noTimes, ...(yield* watch.soFar) }
      const kept = Option.as(input.idempotencyKey, speech)
      yield* watch.stage("persist", persist(ledger, { input, session, tally, timings }, kept))
      const { transcript, response, usage } = tally
      yield* noteTimes({ ...timings })
      yield* Effect.logInfo("turn.completed").pipe(
        Effect.annotateLogs({
          ...said,
          transcriptLength: transcript.length,
          responseLength: response.length,
          ...timings,
        }),
      )
      yield* emit(TurnEvent.Completed({ transcript, response, timings, usage }))
    })

    yield* Effect.raceFirst(turn, deadline(begun, settings.turnTimeout))
  })
})

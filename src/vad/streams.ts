import { Cause, Clock, Duration, Effect, Queue, type Scope } from "effect"
import type { Engine } from "../providers/offline/engine/supervisor.ts"
import { levelOf, makeEnergyDetector } from "./energy.ts"
import { makeFramer } from "./frame.ts"
import { decodeProbabilities, encodeBatch } from "./silero/batch.ts"
import type { VoiceStream } from "./voice-activity.ts"

/** Of one stream and of all streams in one batch: a client that sends a long recording at once does not delay the others. */
const maxFramesOfStream = 16
const maxFrames = 1024

/** Frames of one stream that wait for Silero: a minute, 2 MB. Further ones are judged by their loudness. */
const maxBacklog = 2000

/** A frame that has waited for so long is judged by its loudness: the machine has no time for Silero. */
const maxWaitMs = 2000

/** A batch is collected for 32 ms, or for less where few streams are open: then it would not grow. */
const longestGather = 32
const gatherPerStream = 4

/** Silero takes 3 ms for 64 frames, and 0.5 s to start. */
const timeout = Duration.seconds(2)

/** After a batch without an answer in time, the loudness judges for so long. */
const pauseMs = 5000

/** Between two warnings that Silero is behind. */
const warnMs = 60_000

/** Frames below this level (dBFS), after as many such frames, are not speech: a muted microphone. */
const gateDbfs = -70
const gateFrames = 10

/** Above it, the frame before was no silence. */
const gateProbability = 0.1

interface Frame {
  readonly samples: Int16Array
  /** When it arrived, in ms. */
  readonly since: number
  /** By its loudness. */
  readonly energy: number
  /** False: `energy` is the answer. */
  readonly needsModel: boolean
  readonly isFirst: boolean
}

interface Stream {
  readonly number: number
  readonly on: (probability: number) => void
  /** Changes where the stream forgets its past: earlier answers are not its own any more. */
  epoch: number
  waiting: Array<Frame>
  lastProbability: number
}

interface BatchEntry {
  readonly stream: Stream
  readonly epoch: number
  readonly frame: Frame
  /** False: its loudness is the answer. */
  readonly needsModel: boolean
}

/** The lowest number that is not taken. */
const lowestFree = (streams: Iterable<Stream>): number => {
  const taken = new Set(Array.from(streams, ({ number }) => number))
  let number = 0
  while (taken.has(number)) number += 1
  return number
}

/**
 * All streams of one detector. Frames of all streams go to Silero together. While it does not answer, the loudness judges:
 * streams go on, in order.
 */
export const makeStreams = Effect.fn("VoiceStreams.make")(function* (
  engine: Engine,
): Effect.fn.Return<
  (on: (probability: number) => void) => Effect.Effect<VoiceStream, never, Scope.Scope>,
  never,
  Scope.Scope
> {
  const clock = yield* Effect.clock
  const streams = new Set<Stream>()
  const signal = yield* Queue.sliding<void>(1)
  let pausedUntil = 0
  let warnedAt = Number.NEGATIVE_INFINITY
  let isBehind = false

  /** The oldest frames of all streams, in order, as many of each. Those that need no model come on top. */
  const takeBatch = (): ReadonlyArray<BatchEntry> => {
    const batch: Array<BatchEntry> = []
    const oldest = clock.unsafeCurrentTimeMillis() - maxWaitMs
    const share = Math.max(1, Math.min(maxFramesOfStream, Math.floor(maxFrames / streams.size)))
    for (const stream of streams) {
      let taken = 0
      let asked = 0
      for (const frame of stream.waiting) {
        const isLate = frame.needsModel && frame.since < oldest
        const needsModel = frame.needsModel && !isLate
        if (needsModel && asked === share) break
        isBehind ||= isLate
        asked += needsModel ? 1 : 0
        taken += 1
        batch.push({ stream, epoch: stream.epoch, frame, needsModel })
      }
      stream.waiting.splice(0, taken)
    }
    return batch
  }

  /** A fault of one stream must not end the others. */
  const deliver = (stream: Stream, probability: number): unknown => {
    stream.lastProbability = probability
    try {
      stream.on(probability)
      return undefined
    } catch (fault) {
      return fault
    }
  }

  const ask = Effect.fnUntraced(function* (asked: ReadonlyArray<BatchEntry>) {
    const now = yield* Clock.currentTimeMillis
    if (asked.length === 0 || !engine.isUsable() || now < pausedUntil) return new Float32Array()
    const bytes = encodeBatch(asked.map(({ stream, frame }) => ({ ...frame, stream: stream.number })))
    return yield* engine.run(bytes).pipe(
      // The process ended. The next one takes the batch, without what came before.
      Effect.retry({ times: 1 }),
      Effect.map(decodeProbabilities),
      Effect.timeout(timeout),
      Effect.catchAll(() => {
        pausedUntil = now + Duration.toMillis(timeout) + pauseMs
        isBehind = true
        return Effect.succeed(new Float32Array())
      }),
    )
  })

  const warn = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (!isBehind || now - warnedAt < warnMs) return
    warnedAt = now
    isBehind = false
    yield* Effect.annotateLogs(Effect.logWarning("vad.behind"), { streams: streams.size })
  })

  const work = Effect.gen(function* () {
    yield* Queue.take(signal)
    yield* Effect.sleep(Math.min(longestGather, gatherPerStream * streams.size))
    for (let batch = takeBatch(); batch.length > 0; batch = takeBatch()) {
      const asked = batch.filter(({ needsModel }) => needsModel)
      const answers = yield* ask(asked)
      const faults: Array<unknown> = []
      let at = 0
      for (const { stream, epoch, frame, needsModel } of batch) {
        const probability = (needsModel ? answers[at++] : undefined) ?? frame.energy
        if (stream.epoch !== epoch) continue
        const fault = deliver(stream, probability)
        if (fault !== undefined) faults.push(fault)
      }
      for (const fault of faults) {
        yield* Effect.logError("vad.defect", Cause.die(fault))
      }
      yield* warn
    }
  })
  yield* Effect.forkScoped(Effect.forever(work))

  const open = (on: (probability: number) => void): VoiceStream & { readonly close: () => void } => {
    const stream: Stream = { number: lowestFree(streams), on, epoch: 0, waiting: [], lastProbability: 0 }
    streams.add(stream)
    const detect = makeEnergyDetector()
    let isFirst = true
    let quietFrames = 0
    const framer = makeFramer((samples) => {
      const level = levelOf(samples)
      const energy = detect(level)
      quietFrames = level < gateDbfs ? quietFrames + 1 : 0
      const isGated = quietFrames > gateFrames && stream.lastProbability < gateProbability
      const isFull = stream.waiting.length >= maxBacklog
      isBehind ||= isFull
      const since = clock.unsafeCurrentTimeMillis()
      stream.waiting.push({ samples, since, energy, isFirst, needsModel: !isGated && !isFull })
      isFirst = false
      signal.unsafeOffer()
    })
    const forget = () => {
      framer.reset()
      isFirst = true
      quietFrames = 0
      stream.waiting = []
      stream.epoch += 1
      stream.lastProbability = 0
    }
    return {
      push: framer.push,
      reset: forget,
      close: () => {
        forget()
        streams.delete(stream)
      },
    }
  }

  return (on) =>
    Effect.acquireRelease(
      Effect.sync(() => open(on)),
      ({ close }) => Effect.sync(close),
    )
})

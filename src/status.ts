import { Effect, Fiber, Layer, Option, Runtime, Schedule } from "effect"
import { Settings } from "./config.ts"
import { Admission } from "./limits/admission.ts"
import { Uploads } from "./limits/uploads.ts"
import { recordLoad } from "./metrics.ts"
import { LanguageModel } from "./providers/language-model.ts"
import { Synthesizer } from "./providers/synthesizer.ts"
import { Transcriber } from "./providers/transcriber.ts"

/** Not SIGUSR1, which starts the debugger. */
const signal = "SIGUSR2"

/** Counts the live fibers, without the counting one. */
const countFibers = Effect.gen(function* () {
  let count = -1
  let generation = yield* Fiber.roots
  while (generation.length > 0) {
    count += generation.length
    generation = (yield* Effect.forEach(generation, Fiber.children)).flat()
  }
  return count
})

const megabytes = (bytes: number) => Math.round((bytes / 1024 / 1024) * 10) / 10

/** How much this process is doing. */
const readLoad = Effect.gen(function* () {
  const { taken, waiting } = yield* Effect.flatMap(Admission, ({ size }) => size)
  const { arriving, bytes } = yield* Effect.flatMap(Uploads, ({ size }) => size)
  return { turns: taken, waiting, uploads: arriving, uploadBytes: bytes }
})

/** Runs no garbage collection first: it would pause all turns, and hide the amount of garbage. */
const readStatus = Effect.gen(function* () {
  const { rss, heapUsed, external } = process.memoryUsage()
  const { uploadBytes, ...load } = yield* readLoad
  return {
    uptimeSeconds: Math.round(process.uptime()),
    residentMb: megabytes(rss),
    heapMb: megabytes(heapUsed),
    externalMb: megabytes(external),
    fibers: yield* countFibers,
    ...load,
    uploadMb: megabytes(uploadBytes),
  }
})

/** How often the metrics of the load are renewed. Collectors read every 10 s or less often. */
const recordEvery = "5 seconds"

/** Records the load as metrics, if anyone reads them. */
const loadMetrics = Layer.scopedDiscard(
  Effect.gen(function* () {
    const { metrics, otlp } = yield* Settings
    if (Option.isNone(metrics.port) && Option.isNone(otlp.endpoint)) return
    const ports = { stt: yield* Transcriber, llm: yield* LanguageModel, tts: yield* Synthesizer }
    const readStages = Effect.all({ stt: ports.stt.status, llm: ports.llm.status, tts: ports.tts.status })
    let cpu = process.cpuUsage()
    const record = Effect.gen(function* () {
      const { user, system } = process.cpuUsage(cpu)
      cpu = process.cpuUsage()
      yield* recordLoad({
        ...(yield* readLoad),
        residentBytes: process.memoryUsage.rss(),
        cpuSeconds: (user + system) / 1_000_000,
        stages: yield* readStages,
      })
    })
    yield* Effect.forkScoped(Effect.repeat(record, Schedule.spaced(recordEvery)))
  }),
)

/**
 * Logs the load of this process on SIGUSR2. A signal needs no port, and only a user who may end the process can send it.
 */
const onSignal = Layer.scopedDiscard(
  Effect.gen(function* () {
    const runFork = Runtime.runFork(yield* Effect.runtime<Admission | Uploads>())
    const log = Effect.flatMap(readStatus, (status) =>
      Effect.annotateLogs(Effect.logInfo("server.status"), status),
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const listener = () => void runFork(log)
        process.on(signal, listener)
        return listener
      }),
      (listener) => Effect.sync(() => process.removeListener(signal, listener)),
    )
  }),
)

/** Shows what the process does: in the log on SIGUSR2, and in the metrics. */
export const layer = Layer.merge(onSignal, loadMetrics)

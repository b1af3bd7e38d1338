import { Effect, Fiber, Layer, Runtime } from "effect"
import { Admission } from "./limits/admission.ts"
import { Uploads } from "./limits/uploads.ts"

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

/** Runs no garbage collection first: it would pause all turns, and hide the amount of garbage. */
const readStatus = Effect.gen(function* () {
  const { rss, heapUsed, external } = process.memoryUsage()
  const { taken, waiting } = yield* Effect.flatMap(Admission, ({ size }) => size)
  const { arriving, bytes } = yield* Effect.flatMap(Uploads, ({ size }) => size)
  return {
    uptimeSeconds: Math.round(process.uptime()),
    residentMb: megabytes(rss),
    heapMb: megabytes(heapUsed),
    externalMb: megabytes(external),
    fibers: yield* countFibers,
    turns: taken,
    waiting,
    uploads: arriving,
    uploadMb: megabytes(bytes),
  }
})

/**
 * Logs the load of this process on SIGUSR2. A signal needs no port, and only a user who may end the process can send it.
 */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const runFork = Runtime.runFork(yield* Effect.runtime<Admission | Uploads>())
    const log = Effect.flatMap(readStatus, (status) =>
      Effect.annotateLogs(Effect.logInfo("server.status"), status),
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const onSignal = () => void runFork(log)
        process.on(signal, onSignal)
        return onSignal
      }),
      (onSignal) => Effect.sync(() => process.removeListener(signal, onSignal)),
    )
  }),
)

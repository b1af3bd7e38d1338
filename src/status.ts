import { Effect, Fiber, Layer, Runtime } from "effect"
import { Admission } from "./limits/admission.ts"
import { Uploads } from "./limits/uploads.ts"

/** The signal that asks for it. What listens to SIGUSR1 is the debugger. */
const signal = "SIGUSR2"

/**
 * How many fibres live, without the one that counts. Effect keeps the set of those without a parent, and each its
 * children, whether anybody counts or not.
 */
const countFibres = Effect.gen(function* () {
  let count = -1
  let generation = yield* Fiber.roots
  while (generation.length > 0) {
    count += generation.length
    generation = (yield* Effect.forEach(generation, Fiber.children)).flat()
  }
  return count
})

const megabytes = (bytes: number) => Math.round((bytes / 1024 / 1024) * 10) / 10

/** Collects no garbage first: that would stop all turns for as long as it takes, and hide how much there is. */
const readStatus = Effect.gen(function* () {
  const { rss, heapUsed, external } = process.memoryUsage()
  const { taken, waiting } = yield* Effect.flatMap(Admission, ({ size }) => size)
  const { arriving, bytes } = yield* Effect.flatMap(Uploads, ({ size }) => size)
  return {
    uptimeSeconds: Math.round(process.uptime()),
    residentMb: megabytes(rss),
    heapMb: megabytes(heapUsed),
    externalMb: megabytes(external),
    fibres: yield* countFibres,
    turns: taken,
    waiting,
    uploads: arriving,
    uploadMb: megabytes(bytes),
  }
})

/**
 * A line of the log with what the process has in hand, whenever it is sent SIGUSR2: only whoever may end the process
 * can ask, no port is opened for it, and it costs nothing until then.
 */
export const layer = Layer.scopedDiscard(
  Effect.gen(function* () {
    const runFork = Runtime.runFork(yield* Effect.runtime<Admission | Uploads>())
    const note = Effect.flatMap(readStatus, (status) =>
      Effect.annotateLogs(Effect.logInfo("server.status"), status),
    )
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const asked = () => void runFork(note)
        process.on(signal, asked)
        return asked
      }),
      (asked) => Effect.sync(() => process.removeListener(signal, asked)),
    )
  }),
)

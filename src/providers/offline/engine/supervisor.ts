import { Deferred, Duration, Effect, Exit, type Scope } from "effect"
import { readEach } from "../../read-each.ts"
import type { EngineProcess } from "./process.ts"
import { EngineFailed, makeRequests, type OnProgress, type Requests, type RunFailed } from "./requests.ts"
import { encodeOptions, type RunOptions } from "./run-options.ts"

/** Of the model. A slow machine takes 3 s for Moonshine tiny, of 28 MB; the largest model has 670 MB. */
const loadTimeout = Duration.minutes(1)

/** A process that has work and sends nothing for so long is stuck, however long its steps are. */
const stuckAfter = Duration.seconds(24)

/** How often that is checked. */
const checkEvery = Duration.seconds(1)

/** Failures in a row, without a result between them, after which no request waits for the engine. */
const maxFailures = 2

/** The pause before the restart after one failure. */
const firstPause = Duration.millis(200)

/** The pause after `maxFailures`; it doubles with each further one, up to the longest. */
const failedPause = Duration.minutes(1)
const longestPause = Duration.hours(1)

const pauseAfter = (failures: number): Duration.Duration =>
  failures < maxFailures
    ? firstPause
    : Duration.min(Duration.times(failedPause, 2 ** (failures - maxFailures)), longestPause)

/**
 * Bytes of a long request: 33 s of speech. Long ones are in the process one at a time, so that the first is done as soon as if
 * it were alone, and its memory is bounded. Short ones pass them.
 */
const longFrom = 1024 ** 2

/** Short requests that are in the process at a time. */
const maxShort = 32

type Files = Readonly<Record<string, string>>

export interface EngineOptions {
  /** For the log. */
  readonly name: string
  /** Runs before every start. Fails if the engine cannot run. May give the paths of good copies, to load instead of `files`. */
  readonly check: Effect.Effect<void, EngineFailed> | Effect.Effect<Files, EngineFailed>
  readonly start: () => EngineProcess
  readonly loader: string
  /** Of the model, by the loader's names; absolute paths. */
  readonly files: Files
  /**
   * How long the longest step of a run on these bytes may take, on a slow machine. The process sends a frame after each
   * step. Default and maximum: 24 s.
   */
  readonly longestStep?: (bytes: Uint8Array) => Duration.Duration
  /** Recordings of the voices that a model speaks with, if it needs them; absolute paths. */
  readonly recordings?: ReadonlyArray<string>
}

export interface Engine {
  /**
   * Runs the model on bytes. Waits for an engine that starts. A long request waits for earlier long ones, a short one only
   * for earlier short ones, if there are many: see `longFrom`. Fails with EngineFailed if the process ends before it
   * answers, is stuck, or the engine has failed, and with RunFailed if the model cannot do it. Interruption cancels the run.
   * The caller needs no time-out.
   */
  readonly run: (
    bytes: Uint8Array,
    options?: RunOptions,
    onProgress?: OnProgress,
  ) => Effect.Effect<Uint8Array, EngineFailed | RunFailed>
  /** False after repeated failures: `run` fails at once, until the engine runs again. */
  readonly isUsable: () => boolean
}

/** Runs one process to its end, and fails with the reason. */
const serve = (
  { check, start, loader, files: usual, recordings = [] }: EngineOptions,
  onReady: (process: EngineProcess, requests: Requests) => Effect.Effect<void>,
) =>
  Effect.gen(function* () {
    const files = (yield* check) ?? usual
    const process = yield* Effect.acquireRelease(Effect.sync(start), ({ kill }) => Effect.promise(kill))
    const requests = makeRequests(process.send)
    yield* Effect.addFinalizer(() => Effect.sync(() => requests.failAll("the engine was stopped")))
    let quietMs = 0
    const read = readEach(
      () => Promise.resolve(process.frames),
      (frame) => {
        quietMs = 0
        requests.receive(frame)
      },
      (cause) => new EngineFailed({ reason: `wrote something unexpected: ${cause}` }),
    )
    const end = Effect.flatMap(
      Effect.promise(() => process.ended),
      (reason) => new EngineFailed({ reason }),
    )
    const load = Effect.timeoutFail(
      requests.request(
        {
          kind: "load",
          note: loader,
          bytes: new TextEncoder().encode(JSON.stringify({ files, recordings })),
        },
        { patienceMs: Duration.toMillis(loadTimeout) },
      ),
      { duration: loadTimeout, onTimeout: () => new EngineFailed({ reason: "did not load in time" }) },
    ).pipe(Effect.catchTag("RunFailed", ({ reason }) => new EngineFailed({ reason })))
    const watch = Effect.gen(function* () {
      while (requests.patienceMs() === 0 || quietMs < requests.patienceMs()) {
        yield* Effect.sleep(checkEvery)
        quietMs = requests.patienceMs() === 0 ? 0 : quietMs + Duration.toMillis(checkEvery)
      }
      return yield* new EngineFailed({ reason: "did not answer" })
    })
    const work = load.pipe(Effect.zipRight(onReady(process, requests)), Effect.zipRight(watch))
    return yield* Effect.raceFirst(Effect.zipRight(read, end), work)
  }).pipe(
    // No process can be started: the machine has no memory left, say.
    Effect.catchAllDefect((defect) => new EngineFailed({ reason: `${defect}` })),
  )

/**
 * Keeps one process of an engine running until the scope closes. It starts in the background. When it ends, its requests
 * fail, and it is started again.
 */
export const makeEngine = Effect.fn("Engine.make")(function* (
  options: EngineOptions,
): Effect.fn.Return<Engine, never, Scope.Scope> {
  const { name, longestStep = () => stuckAfter } = options
  const long = yield* Effect.makeSemaphore(1)
  const short = yield* Effect.makeSemaphore(maxShort)
  const starting = Deferred.make<Requests, EngineFailed>()
  let current = yield* starting
  let failures = 0
  let isUsable = true
  let live: Requests | undefined

  /** Requests that wait for the start before go on waiting. */
  const restarting = Effect.gen(function* () {
    if (yield* Deferred.isDone(current)) current = yield* starting
  })
  const settle = Effect.fnUntraced(function* (exit: Exit.Exit<Requests, EngineFailed>) {
    yield* restarting
    yield* Deferred.done(current, exit)
    isUsable = Exit.isSuccess(exit)
  })

  const onReady = Effect.fnUntraced(function* ({ pid }: EngineProcess, requests: Requests) {
    live = requests
    yield* settle(Exit.succeed(requests))
    yield* Effect.annotateLogs(Effect.logInfo("engine.ready"), { engine: name, pid })
  })
  const onFailure = Effect.fnUntraced(function* (error: EngineFailed) {
    failures += 1
    const hasFailed = failures >= maxFailures
    yield* hasFailed ? settle(Exit.fail(error)) : restarting
    // Only now: a request that is sent again at once waits for the next process.
    live?.failAll(error.reason)
    const log = hasFailed ? Effect.logError("engine.failed") : Effect.logWarning("engine.failed")
    yield* Effect.annotateLogs(log, {
      engine: name,
      reason: error.reason,
      failures,
      retryMs: Duration.toMillis(pauseAfter(failures)),
    })
  })
  const supervise = Effect.forever(
    serve(options, onReady).pipe(
      Effect.tapError(onFailure),
      Effect.scoped,
      Effect.ignore,
      Effect.zipRight(Effect.suspend(() => Effect.sleep(pauseAfter(failures)))),
    ),
  )
  yield* Effect.addFinalizer(() => settle(Exit.fail(new EngineFailed({ reason: "the engine was stopped" }))))
  yield* Effect.forkScoped(supervise)

  const run = Effect.fn("Engine.run")(
    function* (bytes: Uint8Array, options: RunOptions = {}, onProgress?: OnProgress) {
      const { request } = yield* Deferred.await(current)
      const patienceMs = Math.min(Duration.toMillis(longestStep(bytes)), Duration.toMillis(stuckAfter))
      const frame = { kind: "run", note: encodeOptions(options), bytes } as const
      const result = yield* Effect.tapErrorTag(
        request(frame, { patienceMs, onProgress }),
        "RunFailed",
        ({ reason }) => Effect.annotateLogs(Effect.logWarning("engine.run_failed"), { engine: name, reason }),
      )
      failures = 0
      return result
    },
    (running, { length }) => (length >= longFrom ? long : short).withPermits(1)(running),
  )
  return { run, isUsable: () => isUsable }
})

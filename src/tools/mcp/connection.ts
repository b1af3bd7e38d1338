import { Deferred, Duration, Effect, Exit, type Scope } from "effect"
import type { Outbound } from "../../outbound/outbound.ts"
import type { ToolAnswer } from "../runnable.ts"
import { McpFailed, mcpReason, unavailable } from "./errors.ts"
import type { McpCall, McpSession, McpTarget, McpTool } from "./session.ts"

/** Failures in a row, without a call between them that succeeded, after which nobody waits for the server. */
const maxFailures = 2

/** A connection that lasts so long has not failed in a row with an earlier one. */
const stableAfter = Duration.minutes(1)

/** The pause before the first new try. It doubles with each further failure, up to the longest. */
const firstPause = Duration.millis(200)
const longestPause = Duration.minutes(1)

const pauseAfter = (failures: number): Duration.Duration =>
  Duration.min(Duration.times(firstPause, 2 ** Math.min(failures - 1, 20)), longestPause)

/** How long a turn waits for the tools of a server that is still connecting. Later turns have them. */
const listWait = Duration.seconds(2)

/** How long a call waits for a server that is connecting again. */
const callWait = Duration.seconds(5)

/** A server, by one connection that is opened again whenever it ends. */
export interface McpConnection {
  /** What the server offered last. Fails before the first connection. */
  readonly tools: Effect.Effect<ReadonlyArray<McpTool>, McpFailed>
  /** Interruption tells the server that the call is cancelled. */
  readonly call: (call: McpCall) => Effect.Effect<ToolAnswer, McpFailed>
}

const isFailure = (error: unknown): error is McpFailed => error instanceof McpFailed

/** The server does not know the session any more, so it did not carry out the call. */
const isSessionLost = ({ kind, words }: McpFailed) => kind === "status" && words === "404"

/** Nothing more can come over this connection. */
const hasEnded = (failure: McpFailed) => {
  const { kind, outbound } = failure
  return (
    kind === "closed" ||
    kind === "unavailable" ||
    isSessionLost(failure) ||
    outbound?._tag === "ConnectionFailed"
  )
}

const attempt = <A>(run: (signal: AbortSignal) => Promise<A>) =>
  Effect.tryPromise({
    try: run,
    catch: (error) => (isFailure(error) ? error : new McpFailed({ kind: "unexpected" })),
  })

/** An open connection. */
interface Live {
  readonly session: McpSession
  /** Ends this connection, so that another one is opened. */
  readonly abandon: () => void
}

/** What a connection needs of the service. */
export interface McpSurroundings {
  readonly fetch: typeof Outbound.Service.fetch
  /** An empty folder for a program, until the scope closes. */
  readonly emptyFolder: Effect.Effect<string, McpFailed, Scope.Scope>
}

/** Connects in the background, and keeps the connection until the scope closes. `name` is for the log. */
export const makeConnection = Effect.fn("McpConnection.make")(function* (
  { name, target }: { readonly name: string; readonly target: McpTarget },
  { fetch, emptyFolder }: McpSurroundings,
): Effect.fn.Return<McpConnection, never, Scope.Scope> {
  let current = yield* Deferred.make<Live, McpFailed>()
  let tools: ReadonlyArray<McpTool> = []
  let failures = 0
  let lastFailure: McpFailed | undefined
  let live: Live | undefined

  /** Calls that wait for the connection go on waiting. */
  const restarting = Effect.gen(function* () {
    if (yield* Deferred.isDone(current)) current = yield* Deferred.make<Live, McpFailed>()
  })
  const settle = Effect.fnUntraced(function* (exit: Exit.Exit<Live, McpFailed>) {
    yield* restarting
    yield* Deferred.done(current, exit)
  })

  const forgetFailures = Effect.sync(() => {
    failures = 0
  })

  /** Ends a connection, unless another one is there already: calls that run at the same time fail one after the other. */
  const drop = (dead: Live) =>
    Effect.suspend(() => {
      if (live !== dead) return Effect.void
      live = undefined
      dead.abandon()
      return restarting
    })

  /** One connection, to its end. */
  const serve = Effect.gen(function* () {
    const { makeSession } = yield* Effect.promise(() => import("./session.ts"))
    const { promise: ended, resolve: abandon } = Promise.withResolvers<void>()
    // Bun, for one, reads `.env` in the folder that it starts in. A new folder for each start: cleaners of TMPDIR remove old
    // ones.
    const placed =
      target.kind === "stdio" && target.cwd === undefined ? { ...target, cwd: yield* emptyFolder } : target
    const session = yield* Effect.acquireRelease(
      Effect.sync(() =>
        makeSession(placed, fetch, {
          tools: (changed) => {
            tools = changed
          },
          closed: abandon,
        }),
      ),
      ({ close }) => Effect.promise(close),
    )
    tools = yield* attempt(session.open)
    live = { session, abandon }
    yield* settle(Exit.succeed(live))
    yield* Effect.annotateLogs(Effect.logInfo("mcp.ready"), { server: name, tools: tools.length })
    yield* Effect.raceFirst(
      Effect.promise(() => ended),
      Effect.zipRight(Effect.sleep(stableAfter), forgetFailures).pipe(Effect.zipRight(Effect.never)),
    )
    return yield* new McpFailed({ kind: "closed" })
  }).pipe(Effect.scoped)

  const onFailure = Effect.fnUntraced(function* (failure: McpFailed) {
    failures += 1
    lastFailure = failure
    yield* failures < maxFailures ? restarting : settle(Exit.fail(unavailable(failure)))
    yield* Effect.annotateLogs(Effect.logWarning("mcp.failed"), {
      server: name,
      reason: mcpReason(failure),
      failures,
      retryMs: Duration.toMillis(pauseAfter(failures)),
    })
  })

  yield* Effect.forkScoped(
    Effect.forever(
      serve.pipe(
        Effect.catchAll(onFailure),
        Effect.zipRight(Effect.suspend(() => Effect.sleep(pauseAfter(failures)))),
      ),
      // Also where the caller cannot be interrupted while it opens the connection.
    ).pipe(Effect.interruptible),
  )
  yield* Effect.addFinalizer(() => settle(Exit.fail(unavailable(lastFailure))))

  const waitFor = (wait: Duration.Duration) =>
    Effect.suspend(() => Deferred.await(current)).pipe(
      Effect.timeoutFail({ duration: wait, onTimeout: () => unavailable(lastFailure) }),
    )

  const callOnce = Effect.fnUntraced(function* (call: McpCall) {
    const used = yield* waitFor(callWait)
    const result = yield* Effect.tapError(
      attempt((signal) => used.session.call(call, signal)),
      (failure) => Effect.when(drop(used), () => hasEnded(failure)),
    )
    yield* forgetFailures
    return result
  })

  const call = Effect.fn("McpConnection.call")((request: McpCall) =>
    Effect.catchIf(callOnce(request), isSessionLost, () => callOnce(request)),
  )

  return {
    call,
    tools: Effect.suspend(() =>
      tools.length > 0 ? Effect.succeed(tools) : Effect.map(waitFor(listWait), () => tools),
    ),
  }
})

import { Cause, Context, Duration, Effect, FiberSet, identity, Layer, Runtime, Schema } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { countRequest } from "../metrics.ts"
import { accountRoutes } from "./account.ts"
import { makeClientAddress } from "./client-address.ts"
import { conversationRoutes } from "./conversation.ts"
import { crossOrigin } from "./cross-origin.ts"
import { healthRoutes } from "./health.ts"
import { requireHost } from "./host.ts"
import { idleTimeout } from "./idle.ts"
import { problemOf, unknownRoute } from "./on-error.ts"
import { documentRoutes } from "./openapi/routes.ts"
import { pageRoutes } from "./page.ts"
import { clientLeft, defect } from "./problems.ts"
import { endSpan, pathOf, registerRequest, requestInfo } from "./run.ts"
import { securityHeaders } from "./security-headers.ts"
import { sessionsRoutes } from "./sessions.ts"
import type { Answers } from "./streaming.ts"
import { usersRoutes } from "./users.ts"

/** The port could not be opened. */
export class ServerNotStarted extends Schema.TaggedError<ServerNotStarted>()("ServerNotStarted", {
  message: Schema.String,
}) {}

/** What the stop tells the answers. */
interface Running {
  isStopping: boolean
}

/** The whole HTTP interface; it is not listening yet. */
const makeApp = Effect.fnUntraced(function* (answers: Answers, running: Readonly<Running>) {
  const { corsOrigins, environment, trustedProxies } = yield* Settings
  const clientAddress = makeClientAddress(trustedProxies)
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const log = (line: Effect.Effect<void>, fields: Record<string, unknown>) =>
    runFork(Effect.annotateLogs(line, fields))

  /** The line of a request, once its answer begins: also of one that no route sees, such as a preflight. */
  const noteAnswer = (request: Request, status: number) => {
    const { id, startedAt, ip } = requestInfo(request)
    const answered = request.signal.aborted ? clientLeft.status : status
    const noted = [
      Effect.logInfo("request.completed"),
      countRequest(request.method, answered),
      endSpan(request, answered),
    ]
    log(Effect.all(noted, { discard: true }), {
      requestId: id,
      method: request.method,
      path: pathOf(request.url),
      status: answered,
      ip,
      ms: Math.round(performance.now() - startedAt),
    })
  }

  const app = new Elysia({
    // Paths begin where they begin, however short the host's name.
    handler: { standardHostname: false },
    serve: {
      // Without Bun's own page for an error, which shows the source.
      development: false,
      // Two services on one port would each get a part of the requests, silently.
      reusePort: false,
      idleTimeout,
      // Bun's own answer to a larger body is empty: the routes count for themselves, and say what is wrong.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    },
  })
    .onRequest(({ request, set, server }) => {
      const ip = clientAddress(server?.requestIP(request)?.address, request.headers)
      set.headers["x-request-id"] = registerRequest(request, ip).id
    })
    .onError(({ request, code, error, set, path }) => {
      const { id } = requestInfo(request)
      const known = code === "NOT_FOUND" ? unknownRoute(app.routes, path) : problemOf(error)
      if (known === undefined) log(Effect.logError("request.defect", Cause.die(error)), { requestId: id })
      const problem = known ?? defect(error, environment)
      const { retryAfter } = problem
      set.status = problem.status
      Object.assign(
        set.headers,
        problem.headers,
        retryAfter === undefined ? {} : { "retry-after": `${retryAfter}` },
      )
      return {
        error: problem.code,
        message: problem.message,
        requestId: id,
        ...(retryAfter === undefined ? {} : { retryAfter }),
      }
    })
    .wrap((answer) => async (request: Request) => {
      const response: unknown = await answer(request)
      if (!(response instanceof Response)) return response
      // Its connection is ended after it, and whoever keeps connections should not take another request to it.
      if (running.isStopping) response.headers.set("connection", "close")
      noteAnswer(request, response.status)
      return response
    })
    .use(securityHeaders)
    .use(requireHost)
    .use(crossOrigin(corsOrigins))
    .use(yield* pageRoutes)
    .use(
      new Elysia({ prefix: "/api/v1" })
        .use(yield* healthRoutes)
        .use(yield* usersRoutes)
        .use(yield* accountRoutes(answers))
        .use(yield* sessionsRoutes)
        .use(yield* conversationRoutes(answers)),
    )
  return app.use(yield* documentRoutes(() => app.routes))
})

/** For a person to open. */
const addressOf = (host: string, port: number | undefined) => {
  const everywhere = host === "0.0.0.0" || host === "::"
  return `http://${everywhere ? "localhost" : host.includes(":") ? `[${host}]` : host}:${port}`
}

/**
 * Settles with a signal that comes a second after the first, or later: the operator does not want to wait for what is
 * in flight. One that comes at once is the same one again: a terminal sends it to the whole group, and what started
 * the service (bun run, npx) passes it on as well.
 */
const askedAgain = Effect.sleep("1 second").pipe(
  Effect.zipRight(
    Effect.async<void>((resume) => {
      const asked = () => resume(Effect.void)
      process.once("SIGINT", asked).once("SIGTERM", asked)
      return Effect.sync(() => process.removeListener("SIGINT", asked).removeListener("SIGTERM", asked))
    }),
  ),
)

/** At its end a turn asks the database, which has 10 s, and then waits up to 2 s for what follows. */
const releasePatience = Duration.seconds(15)

/** Takes no new connections, lets what is in flight finish for as long as it may, and breaks off the rest. */
const stop = Effect.fnUntraced(function* (
  server: Bun.Server<unknown>,
  { open, unattended }: Answers,
  running: Running,
  patience: Duration.Duration,
) {
  running.isStopping = true
  yield* Effect.logInfo("server.stopping")
  const finished = yield* Effect.promise(() => server.stop(false)).pipe(
    Effect.zipRight(FiberSet.awaitEmpty(unattended)),
    Effect.as(true),
    Effect.raceFirst(Effect.as(askedAgain, false)),
    Effect.timeoutTo({ duration: patience, onTimeout: () => false, onSuccess: identity }),
    Effect.interruptible,
  )
  if (!finished) {
    yield* Effect.logWarning("shutdown.requests_aborted").pipe(
      Effect.annotateLogs({ requests: server.pendingRequests }),
    )
    yield* FiberSet.clear(unattended)
  }
  yield* Effect.promise(() => server.stop(true))
  // What was broken off has ended when what it held is released; the parts that it stands on go after this.
  yield* FiberSet.awaitEmpty(open).pipe(Effect.timeoutOption(releasePatience), Effect.interruptible)
})

/** The running server. */
export class HttpServer extends Context.Tag("HttpServer")<HttpServer, { readonly url: string }>() {
  /** Listens, and at its end takes no new connections, lets turns in flight finish, and stops. */
  static readonly layer = Layer.scoped(
    HttpServer,
    Effect.gen(function* () {
      const { host, port, shutdownTimeout } = yield* Settings
      const answers = { open: yield* FiberSet.make(), unattended: yield* FiberSet.make() }
      const running = { isStopping: false }
      const app = yield* makeApp(answers, running)
      const server = yield* Effect.acquireRelease(
        Effect.try({
          try: () => {
            app.listen({ hostname: host, port })
            if (app.server === null) throw new Error("it did not start")
            return app.server
          },
          catch: (error) =>
            new ServerNotStarted({
              message: `${addressOf(host, port)} could not be opened (${error instanceof Error ? error.message : error}): stop what uses the port, or set PORT or HOST to another.`,
            }),
        }),
        (server) => stop(server, answers, running, shutdownTimeout),
      )
      const url = addressOf(host, server.port)
      yield* Effect.logInfo("server.listening").pipe(Effect.annotateLogs({ url }))
      return { url }
    }),
  )
}

import { Cause, Context, Duration, Effect, Fiber, FiberSet, identity, Layer, Runtime, Schema } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { countRequest } from "../metrics.ts"
import { RealtimeSockets } from "../realtime/sockets.ts"
import { accountRoutes } from "./account.ts"
import { agentsRoutes } from "./agents.ts"
import { makeClientAddress } from "./client-address.ts"
import { conversationRoutes } from "./conversation.ts"
import { crossOrigin } from "./cross-origin.ts"
import { healthRoutes } from "./health.ts"
import { requireHost } from "./host.ts"
import { idleTimeout } from "./idle.ts"
import { memoryRoutes } from "./memories.ts"
import { problemOf, unknownRoute } from "./on-error.ts"
import { documentRoutes } from "./openapi/routes.ts"
import { pageRoutes } from "./page.ts"
import { clientLeft, defect } from "./problems.ts"
import { realtimeRoutes } from "./realtime.ts"
import { endSpan, pathOf, registerRequest, requestInfo } from "./run.ts"
import { secretsRoutes } from "./secrets.ts"
import { securityHeaders } from "./security-headers.ts"
import { sessionsRoutes } from "./sessions.ts"
import type { Answers } from "./streaming.ts"
import { usageRoutes } from "./usage.ts"
import { usersRoutes } from "./users.ts"
import { webhooksRoutes } from "./webhooks.ts"

/** The port could not be opened. */
export class ServerNotStarted extends Schema.TaggedError<ServerNotStarted>()("ServerNotStarted", {
  message: Schema.String,
}) {}

interface ServerState {
  isStopping: boolean
}

/** The whole HTTP interface, not listening yet. */
const makeApp = Effect.fnUntraced(function* (answers: Answers, state: Readonly<ServerState>) {
  const { corsOrigins, environment, realtimeMessageBytes, trustedProxies } = yield* Settings
  const clientAddress = makeClientAddress(trustedProxies)
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const log = (line: Effect.Effect<void>, fields: Record<string, unknown>) =>
    runFork(Effect.annotateLogs(line, fields))

  /** Logs a request when its response begins, also one that no route sees, such as a preflight. */
  const logRequest = (request: Request, status: number) => {
    const { id, startedAt, ip } = requestInfo(request)
    const answered = request.signal.aborted ? clientLeft.status : status
    const effects = [
      Effect.logInfo("request.completed"),
      countRequest(request.method, answered),
      endSpan(request, answered),
    ]
    log(Effect.all(effects, { discard: true }), {
      requestId: id,
      method: request.method,
      path: pathOf(request.url),
      status: answered,
      ip,
      ms: Math.round(performance.now() - startedAt),
    })
  }

  const realtime = yield* realtimeRoutes

  const app = new Elysia({
    // Otherwise Elysia finds no path in a URL with a short host name.
    handler: { standardHostname: false },
    serve: {
      // Bun's own error page shows the source.
      development: false,
      // With it a second service on the port starts silently and takes a part of the requests.
      reusePort: false,
      idleTimeout,
      // Bun's own response to a larger body is empty. The routes count the bytes and respond with an error.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    },
    websocket: {
      maxPayloadLength: realtimeMessageBytes,
      // The audio is in base64, which hardly shrinks.
      perMessageDeflate: false,
      // RealtimeSockets pings by itself, so that it knows which clients answer.
      idleTimeout: 0,
      sendPings: false,
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
      // A client that keeps connections must not send another request on this one.
      if (state.isStopping) response.headers.set("connection", "close")
      logRequest(request, response.status)
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
        .use(yield* memoryRoutes)
        .use(yield* secretsRoutes)
        .use(yield* agentsRoutes)
        .use(yield* usageRoutes)
        .use(yield* webhooksRoutes)
        .use(yield* sessionsRoutes)
        .use(yield* conversationRoutes(answers))
        .use(realtime),
    )
    .use(new Elysia({ prefix: "/v1" }).use(realtime))
  return app.use(yield* documentRoutes(() => app.routes))
})

/** The URL for a person to open. */
const addressOf = (host: string, port: number | undefined) => {
  const everywhere = host === "0.0.0.0" || host === "::"
  return `http://${everywhere ? "localhost" : host.includes(":") ? `[${host}]` : host}:${port}`
}

/**
 * Resolves on a second signal: the operator does not want to wait for running requests. One within a second of the first
 * is a copy of it: a terminal signals the whole process group, and bun run or npx pass the signal on as well.
 */
const secondSignal = Effect.sleep("1 second").pipe(
  Effect.zipRight(
    Effect.async<void>((resume) => {
      const onSignal = () => resume(Effect.void)
      process.once("SIGINT", onSignal).once("SIGTERM", onSignal)
      return Effect.sync(() => process.removeListener("SIGINT", onSignal).removeListener("SIGTERM", onSignal))
    }),
  ),
)

/** The end of a turn takes up to 10 s in the database, and up to 2 s for what follows. */
const releaseTimeout = Duration.seconds(15)

/** Refuses new connections, waits up to `timeout` for running requests, and aborts the rest. */
const stop = Effect.fnUntraced(function* (
  server: Bun.Server<unknown>,
  { open, unattended }: Answers,
  sockets: RealtimeSockets["Type"],
  state: ServerState,
  timeout: Duration.Duration,
) {
  state.isStopping = true
  yield* Effect.logInfo("server.stopping")
  // Bun waits for open sockets, too.
  const stopped = Effect.promise(() => server.stop(false))
  const finished = yield* Effect.all([stopped, sockets.drain], { concurrency: "unbounded" }).pipe(
    Effect.zipRight(FiberSet.awaitEmpty(unattended)),
    Effect.as(true),
    Effect.raceFirst(Effect.as(secondSignal, false)),
    Effect.timeoutTo({ duration: timeout, onTimeout: () => false, onSuccess: identity }),
    Effect.interruptible,
  )
  if (!finished) {
    yield* Effect.logWarning("shutdown.requests_aborted").pipe(
      Effect.annotateLogs({ requests: server.pendingRequests }),
    )
    // All at once: `FiberSet.clear` waits for each before it interrupts the next.
    yield* Effect.all([Fiber.interruptAll([...unattended]), sockets.terminate], {
      concurrency: "unbounded",
    }).pipe(Effect.timeoutOption(releaseTimeout), Effect.interruptible)
  }
  yield* Effect.promise(() => server.stop(true))
  // Aborted requests still release what they hold; the layers below are released after this.
  yield* FiberSet.awaitEmpty(open).pipe(Effect.timeoutOption(releaseTimeout), Effect.interruptible)
})

/** The running server. */
export class HttpServer extends Context.Tag("voice-agent/HttpServer")<
  HttpServer,
  { readonly url: string }
>() {
  /** Listens; on release refuses new connections and lets running turns finish. */
  static readonly layer = Layer.scoped(
    HttpServer,
    Effect.gen(function* () {
      const { host, port, shutdownTimeout } = yield* Settings
      const sockets = yield* RealtimeSockets
      const answers = { open: yield* FiberSet.make(), unattended: yield* FiberSet.make() }
      const state = { isStopping: false }
      const app = yield* makeApp(answers, state)
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
        (server) => stop(server, answers, sockets, state, shutdownTimeout),
      )
      const url = addressOf(host, server.port)
      yield* Effect.logInfo("server.listening").pipe(Effect.annotateLogs({ url }))
      return { url }
    }),
  )
}

import { cors } from "@elysiajs/cors"
import { Cause, Context, Duration, Effect, Layer, Runtime, Schema } from "effect"
import { Elysia } from "elysia"
import { Settings } from "../config.ts"
import { conversationRoutes } from "./conversation.ts"
import { healthRoutes } from "./health.ts"
import { problemOf, unknownRoute } from "./on-error.ts"
import { defect } from "./problems.ts"
import { noteRequest, requestInfo } from "./run.ts"
import { sessionsRoutes } from "./sessions.ts"
import { usersRoutes } from "./users.ts"

/** The port could not be opened. */
export class ServerNotStarted extends Schema.TaggedError<ServerNotStarted>()("ServerNotStarted", {
  message: Schema.String,
}) {}

/** How long turns in flight may take to finish once the service was told to stop. */
const drainTime = Duration.seconds(30)
/** Seconds without a byte: more than a turn may take to its first sound, which is silent time for its connection. */
const idleTimeout = 120

/** Credentials for a listed origin only. */
const crossOrigin = (origins: ReadonlyArray<string>) => {
  const anyone = origins.includes("*")
  return new Elysia({ name: "cross-origin" })
    .use(
      cors({
        origin: anyone ? "*" : [...origins],
        credentials: !anyone,
        methods: ["GET", "POST", "PATCH", "DELETE"],
        allowedHeaders: ["Authorization", "Content-Type", "Idempotency-Key"],
        exposeHeaders: [
          "X-Session-Id",
          "X-Turn-Id",
          "X-Transcript",
          "X-Transcript-Truncated",
          "X-Request-Id",
          "Retry-After",
          "Server-Timing",
        ],
        maxAge: 600,
      }),
    )
    .onRequest(({ set }) => {
      if (set.headers["access-control-allow-origin"] === undefined) {
        delete set.headers["access-control-allow-credentials"]
      }
    })
}

/** The whole HTTP interface; it is not listening yet. */
const makeApp = Effect.gen(function* () {
  const { corsOrigins, environment, maxAudioBytes } = yield* Settings
  const runFork = Runtime.runFork(yield* Effect.runtime())
  const log = (line: Effect.Effect<void>, fields: Record<string, unknown>) =>
    runFork(Effect.annotateLogs(line, fields))

  const app = new Elysia({
    serve: {
      // Two services on one port would each get a part of the requests, silently.
      reusePort: false,
      idleTimeout,
      // Bun's own answer to a larger body is empty: the routes count for themselves, and say what is wrong.
      maxRequestBodySize: 4 * maxAudioBytes + 1024 ** 3,
    },
  })
    .onRequest(({ request, set, server }) => {
      set.headers["x-request-id"] = noteRequest(request, server?.requestIP(request)?.address ?? "unknown").id
    })
    .onError(({ request, code, error, set, path }) => {
      const { id } = requestInfo(request)
      const known = code === "NOT_FOUND" ? unknownRoute(app.routes, path) : problemOf(error)
      if (known === undefined) log(Effect.logError("defect", Cause.die(error)), { requestId: id })
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
    .onAfterResponse(({ request, path, set, responseValue }) => {
      const { id, startedAt, ip } = requestInfo(request)
      log(Effect.logInfo("request"), {
        requestId: id,
        method: request.method,
        path,
        status: responseValue instanceof Response ? responseValue.status : (set.status ?? 200),
        ip,
        ms: Math.round(performance.now() - startedAt),
      })
    })
    .use(crossOrigin(corsOrigins))
    .use(
      new Elysia({ prefix: "/api/v1" })
        .use(yield* healthRoutes)
        .use(yield* usersRoutes)
        .use(yield* sessionsRoutes)
        .use(yield* conversationRoutes),
    )
  return app
})

/** The running server. */
export class HttpServer extends Context.Tag("HttpServer")<HttpServer, { readonly url: string }>() {
  /** Listens, and at its end takes no new connections, lets turns in flight finish, and stops. */
  static readonly layer = Layer.scoped(
    HttpServer,
    Effect.gen(function* () {
      const { host, port } = yield* Settings
      const app = yield* makeApp
      const server = yield* Effect.acquireRelease(
        Effect.try({
          try: () => {
            app.listen({ hostname: host, port })
            if (app.server === null) throw new Error("it did not start")
            return app.server
          },
          catch: (error) =>
            new ServerNotStarted({
              message: `Port ${port} could not be opened (${error instanceof Error ? error.message : error}): stop what uses it, or set PORT to another one.`,
            }),
        }),
        (server) =>
          Effect.logInfo("stopping").pipe(
            Effect.zipRight(Effect.promise(() => server.stop(false)).pipe(Effect.interruptible)),
            Effect.timeoutOption(drainTime),
            Effect.zipRight(Effect.promise(() => server.stop(true))),
          ),
      )
      const url = `http://${host === "0.0.0.0" || host === "::" ? "localhost" : host}:${server.port}`
      yield* Effect.logInfo("listening").pipe(Effect.annotateLogs({ url }))
      return { url }
    }),
  )
}

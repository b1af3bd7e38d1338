import * as Headers from "@effect/platform/Headers"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { Cause, Effect, Exit, Option, Runtime } from "effect"
import { Settings } from "../config.ts"
import type { AppError } from "./errors.ts"
import { clientLeft, defect, type Problem, toProblem } from "./problems.ts"

/** Who is asking, as far as the log and the answer name it. */
export interface RequestInfo {
  readonly id: string
  /** performance.now() when its headers were read. */
  readonly startedAt: number
  readonly ip: string
}

const requests = new WeakMap<Request, RequestInfo>()

/** A client may name its own request, as long as the name can do no harm in a log or a header. */
const isSafeId = (id: string) => /^[\w.-]{1,64}$/.test(id)

/** Notes a request when it comes. */
export const noteRequest = (request: Request, ip: string): RequestInfo => {
  const asked = request.headers.get("x-request-id") ?? ""
  const info = { id: isSafeId(asked) ? asked : crypto.randomUUID(), startedAt: performance.now(), ip }
  requests.set(request, info)
  return info
}

export const requestInfo = (request: Request): RequestInfo =>
  requests.get(request) ?? noteRequest(request, "unknown")

/** What `run` throws, for the one `onError` to answer; its cause is in the log already. */
export class Refused extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.code)
    this.problem = problem
  }
}

export type Run = <A>(request: Request, effect: Effect.Effect<A, AppError>) => Promise<A>

/**
 * The one way from an Effect to Elysia: interrupted when the client leaves; what it fails with is logged, and thrown
 * as the Problem that the caller is told.
 */
export const makeRun = Effect.gen(function* () {
  const runtime = yield* Effect.runtime()
  const { environment } = yield* Settings
  const runExit = Runtime.runPromiseExit(runtime)
  const run: Run = async (request, effect) => {
    const logged = effect.pipe(
      Effect.tapError(logFailure),
      Effect.tapDefect((cause) => Effect.logError("defect", cause)),
      Effect.annotateLogs({ requestId: requestInfo(request).id }),
    )
    const exit = await runExit(spanned(request, logged), { signal: request.signal })
    if (Exit.isSuccess(exit)) return exit.value
    if (Cause.isInterruptedOnly(exit.cause)) throw new Refused(clientLeft)
    throw new Refused(
      Option.match(Cause.failureOption(exit.cause), {
        onSome: toProblem,
        onNone: () => defect(Cause.squash(exit.cause), environment),
      }),
    )
  }
  return run
})

/** The route, so that all its requests have one name: what differs between them are ids. */
const routeOf = (url: string) =>
  new URL(url).pathname.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, ":id")

/** In a span of its own, which goes on from the caller's where that names one (W3C's `traceparent`). */
const spanned = <A, E>(request: Request, effect: Effect.Effect<A, E>) => {
  const { method, url } = request
  const caller = HttpTraceContext.w3c(
    Headers.fromInput({ traceparent: request.headers.get("traceparent") ?? "" }),
  )
  return Effect.withSpan(effect, `${method} ${routeOf(url)}`, {
    kind: "server",
    attributes: { "http.request.method": method, requestId: requestInfo(request).id },
    ...Option.match(caller, { onNone: () => ({ root: true }), onSome: (parent) => ({ parent }) }),
  })
}

/** What the operator needs to know of a failed request and the caller must not be told. */
const logFailure = (error: AppError) => {
  const { status, code } = toProblem(error)
  // A load that is refused is no failure, and a line with its stack for each would be a load of its own.
  const log =
    status >= 500 && error._tag !== "Overloaded"
      ? Effect.logError("failed", error)
      : Effect.logInfo("refused")
  const reason = "reason" in error ? { reason: error.reason } : {}
  const stage = "stage" in error ? { stage: error.stage } : {}
  const constraint = "constraint" in error ? { constraint: error.constraint } : {}
  return Effect.annotateLogs(log, { code, ...stage, ...reason, ...constraint })
}

import * as Headers from "@effect/platform/Headers"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { Cause, Clock, Effect, Exit, Option, Runtime, type Tracer } from "effect"
import { Settings } from "../config.ts"
import type { AppError } from "./errors.ts"
import { clientLeft, defect, type Problem, toProblem } from "./problems.ts"

/** Who is asking, as far as the log and the answer name it. */
export interface RequestInfo {
  readonly id: string
  /** performance.now() when its headers were read. */
  readonly startedAt: number
  readonly ip: string
  /** From the first of what is done for it to its answer. */
  span?: Tracer.Span
}

const requests = new WeakMap<Request, RequestInfo>()

/** A client may name its own request, as long as the name can do no harm in a log or a header. */
const isSafeId = (id: string) => /^[\w.-]{1,64}$/.test(id)

/** Notes a request when it comes. */
export const noteRequest = (request: Request, ip: string): RequestInfo => {
  const asked = request.headers.get("x-request-id") ?? ""
  const info: RequestInfo = {
    id: isSafeId(asked) ? asked : crypto.randomUUID(),
    startedAt: performance.now(),
    ip,
  }
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
      Effect.tapDefect((cause) => Effect.logError("request.defect", cause)),
      Effect.annotateLogs({ requestId: requestInfo(request).id }),
    )
    const spanned = Effect.flatMap(spanOf(request), (span) => Effect.withParentSpan(logged, span))
    const exit = await runExit(spanned, { signal: request.signal })
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

/** The path as it was asked for: what Elysia calls so is the route's. */
export const pathOf = (url: string) => url.replace(/^\w+:\/\/[^/]*/, "").replace(/[?#].*$/s, "")

/** The route, so that all its requests have one name: what differs between them are ids. */
const routeOf = (url: string) => pathOf(url).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, ":id")

/** The request's span, which all that is done for it is below. It goes on from the caller's (W3C's `traceparent`). */
const spanOf = Effect.fnUntraced(function* (request: Request) {
  const info = requestInfo(request)
  if (info.span !== undefined) return info.span
  const { method, url, headers } = request
  const caller = HttpTraceContext.w3c(Headers.fromInput({ traceparent: headers.get("traceparent") ?? "" }))
  info.span = yield* Effect.makeSpan(`${method} ${routeOf(url)}`, {
    kind: "server",
    attributes: { "http.request.method": method, requestId: info.id },
    ...Option.match(caller, { onNone: () => ({ root: true }), onSome: (parent) => ({ parent }) }),
  })
  return info.span
})

/** Its span ends with the answer's begin. Only what is this side's fault is a failure. */
export const endSpan = (request: Request, status: number) =>
  Effect.map(Clock.currentTimeNanos, (now) => {
    const { span } = requestInfo(request)
    span?.attribute("http.response.status_code", status)
    span?.end(now, status < 500 ? Exit.void : Exit.die(new Error(`status ${status}`)))
  })

/** What the operator needs to know of a failed request and the caller must not be told. */
const logFailure = (error: AppError) => {
  const { status, code } = toProblem(error)
  // A load that is refused is no failure, and a line with its stack for each would be a load of its own.
  const log =
    status >= 500 && error._tag !== "Overloaded"
      ? Effect.logError("request.failed", error)
      : Effect.logInfo("request.refused")
  const reason = "reason" in error ? { reason: error.reason } : {}
  const stage = "stage" in error ? { stage: error.stage } : {}
  const constraint = "constraint" in error ? { constraint: error.constraint } : {}
  return Effect.annotateLogs(log, { code, ...stage, ...reason, ...constraint })
}

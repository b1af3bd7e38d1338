import * as Headers from "@effect/platform/Headers"
import * as HttpTraceContext from "@effect/platform/HttpTraceContext"
import { Cause, Clock, Effect, Exit, Option, Runtime, type Tracer } from "effect"
import { Settings } from "../config.ts"
import { detailFields } from "../providers/errors.ts"
import type { AppError } from "./errors.ts"
import { clientLeft, defect, type Problem, toProblem } from "./problems.ts"

/** For the log and the response. */
export interface RequestInfo {
  readonly id: string
  /** performance.now() when the headers were read. */
  readonly startedAt: number
  readonly ip: string
  /** From the first Effect of the request to the start of the response. */
  span?: Tracer.Span
}

const requests = new WeakMap<Request, RequestInfo>()

/** A client may choose the id of its request, if the id is safe in logs and headers. */
const isSafeId = (id: string) => /^[\w.-]{1,64}$/.test(id)

/** Registers a new request. */
export const registerRequest = (request: Request, ip: string): RequestInfo => {
  const given = request.headers.get("x-request-id") ?? ""
  const info: RequestInfo = {
    id: isSafeId(given) ? given : crypto.randomUUID(),
    startedAt: performance.now(),
    ip,
  }
  requests.set(request, info)
  return info
}

export const requestInfo = (request: Request): RequestInfo =>
  requests.get(request) ?? registerRequest(request, "unknown")

/** `run` throws it for `onError` to turn into the response. Its cause is already logged. */
export class Refused extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super(problem.code)
    this.problem = problem
  }
}

export type Run = <A>(request: Request, effect: Effect.Effect<A, AppError>) => Promise<A>

/**
 * The one way from an Effect to Elysia. Interrupts the Effect when the client disconnects; logs its failure and throws it
 * as a Problem.
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

/** The path as the client sent it, which Elysia's `path` is not. */
export const pathOf = (url: string) => url.replace(/^\w+:\/\/[^/]*/, "").replace(/[?#].*$/s, "")

/** The path without ids, so that all requests of a route have one span name. */
const routeOf = (url: string) => pathOf(url).replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, ":id")

/** The request's span, a child of the client's (W3C `traceparent`) if it sent one. */
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

/** Ends the request's span when the response begins. Only a 5xx counts as failed. */
export const endSpan = (request: Request, status: number) =>
  Effect.map(Clock.currentTimeNanos, (now) => {
    const { span } = requestInfo(request)
    span?.attribute("http.response.status_code", status)
    span?.end(now, status < 500 ? Exit.void : Exit.die(new Error(`status ${status}`)))
  })

/** Logs the details that the response must not contain. */
const logFailure = (error: AppError) => {
  const { status, code } = toProblem(error)
  // Under overload, a stack for each refused request would add to the load.
  const log =
    status >= 500 && error._tag !== "Overloaded"
      ? Effect.logError("request.failed", error)
      : Effect.logInfo("request.refused")
  const reason = "reason" in error ? { reason: error.reason } : {}
  const stage = "stage" in error ? { stage: error.stage } : {}
  const details = "details" in error ? detailFields(error.details) : {}
  const constraint = "constraint" in error ? { constraint: error.constraint } : {}
  return Effect.annotateLogs(log, { code, ...stage, ...reason, ...details, ...constraint })
}

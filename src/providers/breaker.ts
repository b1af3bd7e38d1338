import { Cause, Clock, Duration, Effect, Exit, Option } from "effect"
import type { Stage, TurnId } from "../schema.ts"
import type { Attempt } from "./attempt.ts"
import { type ProviderError, ProviderUnusable } from "./errors.ts"

/** The settings of the same names. */
export interface BreakerSettings {
  /** Consecutive failures that open the breaker. 0 disables it. */
  readonly breakerFailures: number
  /** How long an open breaker refuses requests. Then one request tries the server. */
  readonly breakerPause: Duration.Duration
}

/** A circuit breaker: turns do not wait for the time-outs of a server that is down. */
export interface Breaker {
  /** While the breaker is open the attempt fails at once. The first progress of an attempt closes it. */
  readonly guard: <A>(turnId: TurnId, attempt: Attempt<A>) => Attempt<A>
  /** True while requests are refused. After the pause it is false until a request tries the server. */
  readonly isOpen: Effect.Effect<boolean>
}

/** A turn counts as three failures at most: one request with its retries, not every segment of a reply. */
const maxFailuresOfOneTurn = 3

/**
 * A server that refuses a request is up. One that is silent, unreachable or sends nonsense is down. A call of an unknown tool
 * is the model's mistake: the tools of one client must not close the server to the others.
 */
const isDown = (error: ProviderError) =>
  error._tag === "ProviderUnusable" && error.retryable && error.kind !== "unknown-tool"

export const makeBreaker = (stage: Stage, { breakerFailures, breakerPause }: BreakerSettings): Breaker => {
  /** Consecutive failures by turn. */
  const failures = new Map<TurnId, number>()
  /** In ms of the clock. None: closed. */
  let openUntil = Option.none<number>()
  let isTrying = false
  let hasJustClosed = false

  const open = new ProviderUnusable({
    stage,
    reason: "circuit breaker open: the provider failed too often in a row",
    retryable: false,
    retryAfter: Option.none(),
  })

  const close = () => {
    hasJustClosed ||= Option.isSome(openUntil)
    failures.clear()
    isTrying = false
    openUntil = Option.none()
  }

  const countFailures = () =>
    failures.values().reduce((sum, ofOneTurn) => sum + Math.min(ofOneTurn, maxFailuresOfOneTurn), 0)

  const logWarning = (event: string, fields = {}) =>
    Effect.annotateLogs(Effect.logWarning(event), { stage, ...fields })

  const record = Effect.fnUntraced(function* (
    turnId: TurnId,
    exit: Exit.Exit<unknown, ProviderError>,
    wasTry: boolean,
  ) {
    if (wasTry) isTrying = false
    const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
    const isInterrupted = Exit.isFailure(exit) && Option.isNone(failure)
    const hasFailed = Option.exists(failure, isDown)
    if (!isInterrupted && !hasFailed) close()
    if (hasJustClosed) {
      hasJustClosed = false
      yield* logWarning("provider.circuit_closed")
    }
    if (!hasFailed) return
    if (Option.isNone(openUntil)) failures.set(turnId, (failures.get(turnId) ?? 0) + 1)
    const count = countFailures()
    if (count < breakerFailures) return
    if (Option.isNone(openUntil)) yield* logWarning("provider.circuit_opened", { failures: count })
    openUntil = Option.some((yield* Clock.currentTimeMillis) + Duration.toMillis(breakerPause))
  })

  const guard: Breaker["guard"] = (turnId, attempt) => {
    if (breakerFailures === 0) return attempt
    return (onProgress, onLife, onPause) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const isPast = Option.exists(openUntil, (until) => now >= until)
        if (Option.isSome(openUntil) && (!isPast || isTrying)) return open
        if (isPast) isTrying = true
        let hasProgress = false
        const guarded = attempt(
          () => {
            // At the first progress, so that other requests do not wait for the end of this stream.
            if (!hasProgress) close()
            hasProgress = true
            onProgress()
          },
          onLife,
          onPause,
        )
        return Effect.onExit(guarded, (exit) => record(turnId, exit, isPast))
      })
  }

  const isOpen = Effect.map(Clock.currentTimeMillis, (now) =>
    Option.exists(openUntil, (until) => now < until || isTrying),
  )
  return { guard, isOpen }
}

import { Cause, Clock, Duration, Effect, Exit, Option, type Tracer } from "effect"
import type { Stage } from "../schema.ts"
import { type ProviderError, ProviderUnusable } from "./errors.ts"

/** Settings of the same names. */
export interface BreakerSettings {
  /** Failures in a row after which a provider is no longer asked; 0: it is always asked. */
  readonly breakerFailures: number
  /** For how long; then one request tries it. */
  readonly breakerPause: Duration.Duration
}

/** Keeps a provider that does not answer from costing each turn its time-outs. */
export interface Breaker {
  /**
   * The request; where the provider has just failed too often in a row, its failure at once. It may say that the provider
   * has answered before it has ended, as a stream does with its first element: others need not wait for its end.
   */
  readonly guard: <A>(
    request: (answered: () => void) => Effect.Effect<A, ProviderError>,
  ) => Effect.Effect<A, ProviderError>
  readonly isOpen: Effect.Effect<boolean>
}

/** What the failures of one turn count for at most: those of one request with its retries, not of every piece of a reply. */
const mostOfOneTurn = 3

/** The outermost span of this service around one: the request's. A trace is the caller's to name. */
const outermost = (span: Tracer.AnySpan): string =>
  span._tag === "Span" && Option.exists(span.parent, ({ _tag }) => _tag === "Span")
    ? Option.match(span.parent, { onNone: () => span.spanId, onSome: outermost })
    : span.spanId

/** Of the turn, or of whatever else asks. */
const askerId = Effect.match(Effect.currentParentSpan, { onSuccess: outermost, onFailure: () => "" })

/** A provider that says no is there; one that is silent, unreachable or talks nonsense is not. */
const isDown = (error: ProviderError) => error._tag === "ProviderUnusable" && error.retryable

export const makeBreaker = (stage: Stage, settings: BreakerSettings): Breaker => {
  const { breakerFailures, breakerPause } = settings
  /** In a row, by the turn that met them. */
  const failures = new Map<string, number>()
  /** In ms of the clock. */
  let openUntil = Option.none<number>()
  let isTrying = false
  /** It answered again, which is not said yet. */
  let isBack = false

  const open = new ProviderUnusable({
    stage,
    reason: "not asked: it failed too often in a row",
    retryable: false,
    retryAfter: Option.none(),
  })

  const close = () => {
    isBack ||= Option.isSome(openUntil)
    failures.clear()
    isTrying = false
    openUntil = Option.none()
  }

  const counted = () =>
    failures.values().reduce((sum, ofOneTurn) => sum + Math.min(ofOneTurn, mostOfOneTurn), 0)

  const note = (exit: Exit.Exit<unknown, ProviderError>, wasTry: boolean) =>
    Effect.gen(function* () {
      if (wasTry) isTrying = false
      const failure = Exit.isFailure(exit) ? Cause.failureOption(exit.cause) : Option.none()
      // Interrupted before it was answered: nothing is known of it.
      const isUnknown = Exit.isFailure(exit) && Option.isNone(failure)
      const hasFailed = Option.exists(failure, isDown)
      if (!isUnknown && !hasFailed) close()
      if (isBack) {
        isBack = false
        yield* say("provider.circuit_closed")
      }
      if (!hasFailed) return
      if (Option.isNone(openUntil)) {
        const turn = yield* askerId
        failures.set(turn, (failures.get(turn) ?? 0) + 1)
      }
      if (counted() < breakerFailures) return
      if (Option.isNone(openUntil)) yield* say("provider.circuit_opened", { failures: counted() })
      openUntil = Option.some((yield* Clock.currentTimeMillis) + Duration.toMillis(breakerPause))
    })

  const say = (what: string, fields = {}) =>
    Effect.annotateLogs(Effect.logWarning(what), { stage, ...fields })

  const guard: Breaker["guard"] = (request) => {
    if (breakerFailures === 0) return request(() => undefined)
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const isPast = Option.exists(openUntil, (until) => now >= until)
      if (Option.isSome(openUntil) && (!isPast || isTrying)) return open
      if (isPast) isTrying = true
      return Effect.onExit(request(close), (exit) => note(exit, isPast))
    })
  }

  return { guard, isOpen: Effect.sync(() => Option.isSome(openUntil)) }
}

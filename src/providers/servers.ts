import { Duration, Effect, Option } from "effect"
import type { ServerSettings, StageSettings } from "../config.ts"
import type { Stage, TurnId } from "../schema.ts"
import type { Attempt } from "./attempt.ts"
import { type BreakerSettings, makeBreaker } from "./breaker.ts"
import { isUnserved, type ProviderError } from "./errors.ts"
import { withFallback } from "./fallback.ts"
import { observed } from "./observed.ts"
import { redactor } from "./redact.ts"
import type { Served } from "./served.ts"
import type { StageStatus } from "./status.ts"
import { withTimeout } from "./timeout.ts"

interface Options {
  readonly turnId: TurnId
  readonly model: string
  /** Called before each request to a server. */
  readonly onRequest?: (served: Served) => void
  /** Called if the server has refused the newest request: nobody is paid for it. */
  readonly onUnserved?: () => void
}

/** The servers of one stage. `Call` is the function of the stage's port. */
export interface Servers<Call> {
  /** One try: the first server behind its time-out and breaker, then the fallback behind its own. */
  readonly attempt: <A, O extends Options>(
    options: O,
    request: (
      call: Call,
      options: O,
      ...callbacks: Parameters<Attempt<A>>
    ) => Effect.Effect<A, ProviderError>,
  ) => Effect.Effect<A, ProviderError>
  readonly status: Effect.Effect<StageStatus>
  /** The model of the first server, or the name of its offline engine. */
  readonly model: Effect.Effect<string>
  /** What would serve the stage better than the offline engine of the first server: a sentence for the operator. */
  readonly advice: Effect.Effect<Option.Option<string>>
}

/** What is known of a server once it can be called. */
interface Connected<Call> {
  readonly call: Call
  /** Without it, the model of the settings. An offline engine may change while the service runs. */
  readonly model?: () => string
  readonly advice?: () => Option.Option<string>
  /** Without it, that of the circuit breaker alone. */
  readonly status?: () => StageStatus
  /** Without it, that of the settings. */
  readonly timeout?: Duration.Duration | undefined
  /**
   * Whether this service runs the engine itself, and starts it again after a crash. Such a server has no circuit breaker:
   * one crash fails the requests of many turns at once, and the engine is back before the breaker would close. A time-out
   * is final, because another try would give the same work to a machine that is too slow for it.
   */
  readonly isSupervised?: boolean
}

const noBreaker: BreakerSettings = { breakerFailures: 0, breakerPause: Duration.zero }

export const makeServers = Effect.fnUntraced(function* <Call, E, R>(
  stage: Stage,
  settings: StageSettings,
  breakerSettings: BreakerSettings,
  connect: (server: ServerSettings) => Effect.Effect<Connected<Call>, E, R>,
  /** How long signs of life break the silence. */
  thinkingTimeout = settings.timeout,
) {
  const makeServer = Effect.fnUntraced(function* (server: ServerSettings, role: "first" | "fallback") {
    const connected = yield* connect(server)
    const { call, model = () => server.model, advice = Option.none } = connected
    const { timeout = server.timeout, isSupervised = false, status: statusOf = () => "ok" } = connected
    const redact = redactor(server)
    const { guard, isOpen } = makeBreaker(stage, isSupervised ? noBreaker : breakerSettings)
    const limit = withTimeout(stage, timeout, thinkingTimeout, { isRetryable: !isSupervised })
    const observe = observed(stage, server, role)
    const servedBy = (asked: string): Served =>
      server.engine === "offline" ? { model: model(), isLocal: true } : { model: asked, isLocal: false }
    const attempt = <A>({ turnId, model: asked }: Options, request: (call: Call) => Attempt<A>) =>
      guard(turnId, (...callbacks) =>
        observe(servedBy(asked).model, Effect.mapError(limit(request(call))(...callbacks), redact)),
      )
    const status = Effect.map(isOpen, (refuses): StageStatus => (refuses ? "failing" : statusOf()))
    return {
      attempt,
      status,
      settings: server,
      servedBy,
      model: Effect.sync(model),
      advice: Effect.sync(advice),
    }
  })
  const first = yield* makeServer(settings, "first")
  const fallback = yield* Effect.transposeMapOption(settings.fallback, (server) =>
    makeServer(server, "fallback"),
  )

  const attempt: Servers<Call>["attempt"] = <A, O extends Options>(
    options: O,
    request: (
      call: Call,
      options: O,
      ...callbacks: Parameters<Attempt<A>>
    ) => Effect.Effect<A, ProviderError>,
  ) => {
    const requestOf =
      ({ servedBy }: typeof first, its: O) =>
      (call: Call): Attempt<A> =>
      (...callbacks) =>
        Effect.suspend(() => {
          its.onRequest?.(servedBy(its.model))
          return Effect.tapError(request(call, its, ...callbacks), (error) =>
            Effect.sync(() => {
              if (isUnserved(error)) its.onUnserved?.()
            }),
          )
        })
    const firstTry = first.attempt(options, requestOf(first, options))
    const tried = Option.match(fallback, {
      onNone: () => firstTry,
      onSome: (second) => {
        // Without a model of its own, the fallback has that of the first server in its settings.
        const model = second.settings.model === first.settings.model ? options.model : second.settings.model
        const its = { ...options, model }
        return withFallback(firstTry, second.attempt(its, requestOf(second, its)))
      },
    })
    const ignore = () => undefined
    return tried(ignore, ignore, ignore)
  }
  const status = Option.match(fallback, {
    onNone: () => first.status,
    onSome: (second) =>
      Effect.zipWith(first.status, second.status, (one, other) =>
        one !== "failing" || other === "failing" ? one : "degraded",
      ),
  })
  return { attempt, status, model: first.model, advice: first.advice } satisfies Servers<Call>
})

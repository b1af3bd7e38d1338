import { Context, Duration, Effect, Either, Layer, Option, Redacted } from "effect"
import OpenAI from "openai"
import { type ServerSettings, Settings } from "../../config.ts"
import { Stage } from "../../schema.ts"
import { type Breaker, makeBreaker } from "../breaker.ts"
import { type ProviderError, timedOut } from "../errors.ts"
import { startOfflineEngines } from "../offline/server.ts"
import { toProviderError } from "./errors.ts"
import { providerFetch } from "./fetch.ts"

interface Call {
  readonly sdk: OpenAI
  readonly model: string
  /** Pass it on: it closes the connection when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/** The server that one stage asks: OpenAI, anything that speaks its API, or the offline engines. */
export interface Provider {
  /** An answer read whole, within the stage's time-out. One try: retries are the stage's own. */
  readonly request: <A>(ask: (call: Call) => Promise<A>) => Effect.Effect<A, ProviderError>
  /**
   * An answer read as it comes, each element handed on in turn; `use` says whether it was what is waited for. The
   * stage's time-out spans the time to the first such element and each silence after it. Plain JavaScript within, since
   * this runs for every token and every chunk of audio.
   */
  readonly each: <A>(
    ask: (call: Call) => Promise<AsyncIterable<A>>,
    use: (element: A) => boolean,
  ) => Effect.Effect<void, ProviderError>
  /** Whether it has failed too often in a row to be asked at the moment. */
  readonly isDown: Effect.Effect<boolean>
}

const makeProvider = (
  stage: Stage,
  settings: ServerSettings,
  baseURL: string,
  { guard, isOpen }: Breaker,
): Provider => {
  const sdk = new OpenAI({
    apiKey: Redacted.value(settings.apiKey),
    baseURL,
    maxRetries: 0,
    // A redirect would take what people said to a server that nobody configured.
    fetchOptions: { redirect: "error" },
    fetch: providerFetch,
    // The SDK reads these from the environment, and would send them to whatever server it asks.
    ...(settings.engine === "openai" ? {} : { organization: null, project: null }),
    // The stage's time-out, below, spans more than the SDK's own, which ends with the answer's headers.
    timeout: 2 * Duration.toMillis(settings.timeout),
    logLevel: "off",
  })
  const { model, timeout } = settings
  const onTimeout = () => timedOut(stage, timeout)

  const request = <A>(ask: (call: Call) => Promise<A>) =>
    guard(() =>
      Effect.tryPromise({
        try: (signal) => ask({ sdk, model, signal }),
        catch: toProviderError(stage),
      }).pipe(Effect.timeoutFail({ duration: timeout, onTimeout })),
    )

  const each = <A>(ask: (call: Call) => Promise<AsyncIterable<A>>, use: (element: A) => boolean) =>
    guard((answered) =>
      Effect.gen(function* () {
        const { signal, isOver, progress } = yield* watchSilence(timeout)
        const attempt = <B>(evaluate: () => Promise<B>) =>
          Effect.tryPromise({
            try: evaluate,
            catch: (cause) => (isOver() ? onTimeout() : toProviderError(stage)(cause)),
          })
        const elements = yield* attempt(async () => {
          const answer = await ask({ sdk, model, signal })
          return answer[Symbol.asyncIterator]()
        })
        // One promise for the whole stream, which ends with the first thing that goes wrong in `use`.
        const failed = yield* attempt(async () => {
          for (let next = await elements.next(); next.done !== true; next = await elements.next()) {
            if (signal.aborted) break
            const used = Either.try(() => use(next.value))
            if (Either.isLeft(used)) return Option.some(used.left)
            if (used.right) {
              answered()
              progress()
            }
          }
          return Option.none()
        })
        if (Option.isSome(failed)) return yield* Effect.die(failed.value)
        // An aborted stream of the SDK ends as if it were whole.
        if (isOver()) return yield* onTimeout()
      }).pipe(Effect.scoped),
    )

  return { request, each, isDown: isOpen }
}

/** What another server may do better: all but a request that is itself wrong. */
const isWorthAnother = (error: ProviderError) => error._tag !== "ProviderRefusedRequest"

/** Two servers for one stage: the second is asked where the first gave nothing, within the same try. */
const withFallback = (first: Provider, second: Provider): Provider => {
  const insteadOf = (error: ProviderError) =>
    Effect.annotateLogs(Effect.logWarning("provider.fallback"), {
      stage: error.stage,
      reason: error._tag === "ProviderUnusable" ? error.reason : error._tag,
    })
  const request: Provider["request"] = (ask) =>
    Effect.catchIf(first.request(ask), isWorthAnother, (error) =>
      Effect.zipRight(insteadOf(error), second.request(ask)),
    )
  const each: Provider["each"] = (ask, use) =>
    Effect.suspend(() => {
      let isUsed = false
      const noted: typeof use = (element) => {
        const wasUseful = use(element)
        isUsed ||= wasUseful
        return wasUseful
      }
      return Effect.catchIf(
        first.each(ask, noted),
        (error) => !isUsed && isWorthAnother(error),
        (error) => Effect.zipRight(insteadOf(error), second.each(ask, use)),
      )
    })
  const isDown = Effect.zipWith(first.isDown, second.isDown, (one, other) => one && other)
  return { request, each, isDown }
}

/** Into how many looks a time-out is divided: it ends at most an eighth late. */
const looks = 8

/**
 * Aborts its signal when nothing has come on for `timeout`, and when the scope ends. One fibre for the whole stream: a
 * time-out of Effect's own on every element costs ten times what reading it costs.
 */
const watchSilence = Effect.fnUntraced(function* (timeout: Duration.Duration) {
  const abort = yield* Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort()),
  )
  let quietLooks = 0
  let over = false
  const watch = Effect.gen(function* () {
    while (quietLooks < looks) {
      yield* Effect.sleep(Duration.times(timeout, 1 / looks))
      quietLooks += 1
    }
    over = true
    abort.abort()
  })
  yield* Effect.forkScoped(watch)
  return {
    signal: abort.signal,
    isOver: () => over,
    progress: () => {
      // The look under way has begun before.
      quietLooks = -1
    },
  }
})

const startOffline = Effect.fnUntraced(function* (ffmpegPath: string, stages: ReadonlyArray<Stage>) {
  const { baseUrl, hearing, speaking } = yield* startOfflineEngines({ ffmpegPath })
  yield* Effect.logWarning("provider.offline").pipe(
    Effect.annotateLogs({
      hint: "The offline engines are for trying the service. Set OPENAI_API_KEY for better ones.",
      stages: stages.join(","),
      hearing,
      speaking,
    }),
  )
  return baseUrl
})

/** Who is asked by each stage; the offline engines run for as long as this layer where a stage needs them. */
export class Providers extends Context.Tag("Providers")<
  Providers,
  { readonly [stage in Stage]: Provider }
>() {
  static readonly layer = Layer.scoped(
    Providers,
    Effect.gen(function* () {
      const settings = yield* Settings
      const stages = Stage.literals.filter((stage) => settings[stage].engine === "offline")
      const offline = stages.length === 0 ? "" : yield* startOffline(settings.ffmpegPath, stages)
      const server = (stage: Stage, server: ServerSettings) => {
        const baseUrl = Option.getOrElse(server.baseUrl, () => offline)
        return makeProvider(stage, server, baseUrl, makeBreaker(stage, settings))
      }
      const provider = (stage: Stage) => {
        const first = server(stage, settings[stage])
        return Option.match(settings[stage].fallback, {
          onNone: () => first,
          onSome: (fallback) => withFallback(first, server(stage, fallback)),
        })
      }
      return { stt: provider("stt"), llm: provider("llm"), tts: provider("tts") }
    }),
  )
}

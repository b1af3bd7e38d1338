import { Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import OpenAI from "openai"
import { Settings, type StageSettings } from "../config.ts"
import { startOfflineEngines } from "../offline/server.ts"
import { type ProviderError, Stage, timedOut, toProviderError } from "./errors.ts"

interface Ask {
  readonly sdk: OpenAI
  readonly model: string
  /** Pass it on: it closes the connection when nobody waits for the answer any more. */
  readonly signal: AbortSignal
}

/** The server that one stage asks: OpenAI, anything that speaks its API, or the offline engines. */
export interface Provider {
  readonly stage: Stage
  readonly engine: StageSettings["engine"]
  readonly model: string
  /** An answer read whole, within the stage's time-out. One try: retries are the stage's own. */
  readonly request: <A>(ask: (with_: Ask) => Promise<A>) => Effect.Effect<A, ProviderError>
  /**
   * An answer read as it comes, each element handed on in turn; the stage's time-out spans the time to the first one
   * and each silence after it. What `use` throws ends it. Plain JavaScript within, since this runs for every token and
   * every chunk of audio.
   */
  readonly each: <A>(
    ask: (with_: Ask) => Promise<AsyncIterable<A>>,
    use: (element: A) => void,
  ) => Effect.Effect<void, ProviderError>
}

const makeProvider = (stage: Stage, settings: StageSettings, baseURL: string): Provider => {
  const sdk = new OpenAI({
    apiKey: Redacted.value(settings.apiKey),
    baseURL,
    maxRetries: 0,
    // The SDK reads these from the environment, and would send them to whatever server it asks.
    ...(settings.engine === "openai" ? {} : { organization: null, project: null }),
    // The stage's time-out, below, spans more than the SDK's own, which ends with the answer's headers.
    timeout: 2 * Duration.toMillis(settings.timeout),
    logLevel: "off",
  })
  const { model, timeout, engine } = settings
  const onTimeout = () => timedOut(stage, timeout)

  const request = <A>(ask: (with_: Ask) => Promise<A>) =>
    Effect.tryPromise({
      try: (signal) => ask({ sdk, model, signal }),
      catch: toProviderError(stage),
    }).pipe(Effect.timeoutFail({ duration: timeout, onTimeout }))

  const each = <A>(ask: (with_: Ask) => Promise<AsyncIterable<A>>, use: (element: A) => void) =>
    Effect.gen(function* () {
      const { signal, during, isOver } = yield* limitSilence(timeout)
      yield* Effect.tryPromise({
        try: async () => {
          const answer = await during(ask({ sdk, model, signal }))
          const elements = answer[Symbol.asyncIterator]()
          for (
            let next = await during(elements.next());
            next.done !== true;
            next = await during(elements.next())
          ) {
            if (signal.aborted) break
            use(next.value)
          }
          // An aborted stream of the SDK ends as if it were whole.
          if (isOver()) throw onTimeout()
        },
        catch: (cause) => (isOver() ? onTimeout() : toProviderError(stage)(cause)),
      })
    }).pipe(Effect.scoped)

  return { stage, engine, model, request, each }
}

/** Into how many looks a time-out is divided: it ends at most an eighth late. */
const looks = 8

/**
 * Aborts its signal when one wait lasts longer than `timeout`, and when the scope ends. One fibre for the whole
 * stream: a time-out of Effect's own on every element costs ten times what reading it costs.
 */
const limitSilence = Effect.fnUntraced(function* (timeout: Duration.Duration) {
  const abort = yield* Effect.acquireRelease(
    Effect.sync(() => new AbortController()),
    (controller) => Effect.sync(() => controller.abort()),
  )
  let waits = 0
  let waiting = false
  let over = false
  const watch = Effect.gen(function* () {
    let seen = 0
    let quiet = 0
    while (quiet < looks) {
      yield* Effect.sleep(Duration.times(timeout, 1 / looks))
      quiet = waiting && waits === seen ? quiet + 1 : 0
      seen = waits
    }
    over = true
    abort.abort()
  })
  yield* Effect.forkScoped(watch)
  return {
    signal: abort.signal,
    isOver: () => over,
    /** Counts one wait, which should end within the time-out. */
    during: async <A>(wait: Promise<A>): Promise<A> => {
      waits += 1
      waiting = true
      try {
        return await wait
      } finally {
        waiting = false
      }
    },
  }
})

const startOffline = Effect.fnUntraced(function* (ffmpegPath: string, stages: ReadonlyArray<Stage>) {
  const { baseUrl, hearing, speaking } = yield* startOfflineEngines({ ffmpegPath })
  yield* Effect.logWarning("offline engines: for trying the service, not for use; set OPENAI_API_KEY").pipe(
    Effect.annotateLogs({ stages: stages.join(","), hearing, speaking }),
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
      const provider = (stage: Stage) =>
        makeProvider(
          stage,
          settings[stage],
          Option.getOrElse(settings[stage].baseUrl, () => offline),
        )
      return { stt: provider("stt"), llm: provider("llm"), tts: provider("tts") }
    }),
  )
}

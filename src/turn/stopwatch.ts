import { Clock, Effect, type Exit, Option } from "effect"
import type { Stage, Timings } from "../schema.ts"

type Part = keyof Timings | "persist"

/** What takes long: the decoding, with the wait for a place to do it, and the providers. */
export type AtWork = "transcode" | Stage

/** The times of one turn, in ms. */
export interface Stopwatch {
  /** Times a stage, and logs a line for it whatever its end. */
  readonly stage: <A, E, R>(name: Part, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Starts a clock now. The effect it gives stops it, once; later calls change nothing. */
  readonly begin: (name: keyof Timings) => Effect.Effect<Effect.Effect<void>>
  /**
   * Logs the line of a stage whose answer is read as it comes, `fields` with it, when that has ended: `ms` since `begin`,
   * and the time to the first of it. Nothing where it never began.
   */
  readonly ended: (
    stage: "llm" | "tts",
    exit: Exit.Exit<unknown, unknown>,
    fields?: Readonly<Record<string, unknown>>,
  ) => Effect.Effect<void>
  /** What was stopped so far. */
  readonly soFar: Effect.Effect<Partial<Timings>>
  /** What was begun last, which is what an overdue turn waits for; none before the first. */
  readonly atWork: Effect.Effect<Option.Option<AtWork>>
}

/** The stages whose answer is read as it comes: what times their first part, and its name in the log. */
const first = {
  llm: { part: "llmTtft", field: "ttftMs" },
  tts: { part: "ttsTtfb", field: "ttfbMs" },
} as const

const workers: Partial<Record<Part, AtWork>> = {
  transcode: "transcode",
  stt: "stt",
  llmTtft: "llm",
  ttsTtfb: "tts",
}

export const makeStopwatch = (uploadMs: number): Stopwatch => {
  const times = new Map<Part, number>([["upload", Math.round(uploadMs)]])

  const starts = new Map<Part, number>()

  let atWork = Option.none<AtWork>()
  const start = (name: Part) =>
    Effect.tap(Clock.currentTimeMillis, (now) => {
      starts.set(name, now)
      times.delete(name)
      atWork = Option.orElse(Option.fromNullable(workers[name]), () => atWork)
    })

  const stop = (name: Part, since: number) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      times.set(name, now - since)
      return now - since
    })

  const stage: Stopwatch["stage"] = (name, effect) =>
    Effect.flatMap(start(name), (since) =>
      Effect.onExit(effect, (exit) =>
        Effect.flatMap(stop(name, since), (ms) =>
          Effect.logInfo("turn.stage").pipe(
            Effect.annotateLogs({ stage: name, ms, ok: exit._tag === "Success" }),
          ),
        ),
      ),
    )

  const begin: Stopwatch["begin"] = (name) =>
    Effect.map(start(name), (since) =>
      Effect.suspend(() => (times.has(name) ? Effect.void : Effect.asVoid(stop(name, since)))),
    )

  const ended: Stopwatch["ended"] = (stage, exit, fields = {}) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const { part, field } = first[stage]
      const since = starts.get(part)
      if (since === undefined) return Effect.void
      starts.delete(part)
      return Effect.logInfo("turn.stage").pipe(
        Effect.annotateLogs({
          stage,
          ms: now - since,
          [field]: times.get(part),
          ...fields,
          ok: exit._tag === "Success",
        }),
      )
    })

  const soFar = Effect.sync((): Partial<Timings> => {
    const { persist: _, ...known }: Partial<Record<Part, number>> = Object.fromEntries(times)
    return known
  })

  return { stage, begin, ended, soFar, atWork: Effect.sync(() => atWork) }
}

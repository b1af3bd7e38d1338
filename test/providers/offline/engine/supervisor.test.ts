import { describe, expect } from "bun:test"
import { Duration, Effect, Either, Exit, Fiber, HashMap, Logger, LogLevel, Scope, TestClock } from "effect"
import { EngineFailed, type RunFailed } from "../../../../src/providers/offline/engine/requests.ts"
import { type EngineOptions, makeEngine } from "../../../../src/providers/offline/engine/supervisor.ts"
import { effectTest } from "../../../support/effect.ts"
import { until } from "../../../support/turns.ts"
import { type FakeProcess, makeFakeProcess } from "./fake-process.ts"

interface Line {
  readonly level: string
  readonly event: unknown
  readonly reason: unknown
}

/** An engine of scripted processes: the next one of `processes` at each start, the last one's kind again. */
const make = Effect.fnUntraced(function* (
  check: Effect.Effect<void, EngineFailed> = Effect.void,
  fake: () => FakeProcess = makeFakeProcess,
  more: Pick<EngineOptions, "longestStep"> = {},
) {
  const started: Array<FakeProcess> = []
  const lines: Array<Line> = []
  const scope = yield* Scope.make()
  const logger = Logger.make(({ logLevel, message, annotations }) => {
    const reason = HashMap.get(annotations, "reason")
    const event = Array.isArray(message) ? message[0] : message
    lines.push({ level: logLevel.label, event, reason: "value" in reason ? reason.value : undefined })
  })
  const engine = yield* makeEngine({
    name: "ears",
    check,
    start: () => {
      const next = fake()
      started.push(next)
      return next.process
    },
    loader: "moonshine",
    files: { encoder: "/models/encoder" },
    ...more,
  }).pipe(
    Scope.extend(scope),
    Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    Logger.withMinimumLogLevel(LogLevel.Info),
  )
  const run = (text = "speech") => engine.run(new TextEncoder().encode(text))
  const awaitStart = (count: number) =>
    Effect.promise(() => until(() => started.length === count, `${count} processes`))
  const last = () => {
    const process = started.at(-1)
    if (process === undefined) throw new Error("no process was started")
    return process
  }
  /** The runs that the newest process got. */
  const runs = () => started.at(-1)?.sent.filter(({ kind }) => kind === "run") ?? []
  const awaitRuns = (count: number) =>
    Effect.promise(() => until(() => runs().length === count, `${count} runs`))
  const answer = (id: number, text: string) =>
    last().write({ kind: "done", id, bytes: new TextEncoder().encode(text) })
  const awaitLine = (level: string, count = 1) =>
    Effect.promise(() => until(() => lines.filter((line) => line.level === level).length === count, level))
  return { engine, scope, started, lines, run, runs, awaitStart, awaitRuns, answer, awaitLine, last }
})

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const reasonOf = (result: Either.Either<Uint8Array, EngineFailed | RunFailed>) =>
  Either.match(result, { onLeft: ({ reason }) => reason, onRight: text })

effectTest(
  "a request waits for the start",
  Effect.gen(function* () {
    const { run, last, awaitStart, awaitRuns, answer, runs, scope } = yield* make(Effect.void, () =>
      makeFakeProcess({ loads: false }),
    )
    const running = yield* Effect.fork(run())
    yield* awaitStart(1)
    yield* Effect.promise(() => until(() => last().sent.length === 1, "the load"))
    const [load] = last().sent
    expect(load).toMatchObject({ kind: "load", note: "moonshine" })
    expect(JSON.parse(text(load?.bytes ?? new Uint8Array()))).toEqual({
      files: { encoder: "/models/encoder" },
      recordings: [],
    })
    last().write({ kind: "done", id: load?.id ?? 0 })
    yield* awaitRuns(1)
    answer(runs()[0]?.id ?? 0, "hello")
    expect(text(yield* Fiber.join(running))).toBe("hello")
    yield* Scope.close(scope, Exit.void)
    expect(last().isDead()).toBe(true)
  }),
)

effectTest(
  "answers in any order",
  Effect.gen(function* () {
    const { run, awaitRuns, runs, answer, last } = yield* make()
    const running = yield* Effect.fork(Effect.forEach(["a", "b", "c"], run, { concurrency: "unbounded" }))
    yield* awaitRuns(3)
    last().write({ kind: "progress", id: runs()[0]?.id ?? 0 })
    for (const { id, bytes = new Uint8Array() } of runs().toReversed()) answer(id, text(bytes).toUpperCase())
    expect((yield* Fiber.join(running)).map(text)).toEqual(["A", "B", "C"])
  }),
)

effectTest(
  "parts of a result arrive before it, each at its own request",
  Effect.gen(function* () {
    const { engine, awaitRuns, runs, answer, last } = yield* make()
    const parts: Array<string> = []
    const speak = (name: string, speaker: number) =>
      engine.run(new TextEncoder().encode(name), { language: "de", speaker }, (part) =>
        parts.push(`${name} ${text(part)}`),
      )
    const running = yield* Effect.fork(Effect.all([speak("a", 3), speak("b", 0)], { concurrency: 2 }))
    yield* awaitRuns(2)
    expect(runs().map(({ note }) => note)).toEqual(["de 3", "de 0"])
    const [a, b] = runs()
    const write = (id = 0, part: string) =>
      last().write({ kind: "progress", id, bytes: new TextEncoder().encode(part) })
    write(a?.id, "1")
    write(b?.id, "1")
    write(a?.id, "2")
    for (const { id } of runs()) answer(id, "")
    yield* Fiber.join(running)
    expect(parts).toEqual(["a 1", "b 1", "a 2"])
  }),
)

effectTest(
  "a failed run fails alone",
  Effect.gen(function* () {
    const { run, awaitRuns, runs, answer, last, engine } = yield* make()
    const both = yield* Effect.fork(Effect.all([Effect.either(run()), run()], { concurrency: 2 }))
    yield* awaitRuns(2)
    last().write({ kind: "failed", id: runs()[0]?.id ?? 0, note: "bad samples" })
    answer(runs()[1]?.id ?? 0, "well")
    const [first, second] = yield* Fiber.join(both)
    expect([reasonOf(first), text(second)]).toEqual(["bad samples", "well"])
    expect(engine.isUsable()).toBe(true)
  }),
)

effectTest(
  "an interrupted run is cancelled",
  Effect.gen(function* () {
    const { run, awaitRuns, runs, last } = yield* make()
    const running = yield* Effect.fork(run())
    yield* awaitRuns(1)
    yield* Fiber.interrupt(running)
    expect(last().sent.at(-1)).toEqual({ kind: "cancel", id: runs()[0]?.id ?? 0 })
    const next = yield* Effect.fork(run("next"))
    yield* awaitRuns(2)
    last().write({ kind: "failed", id: runs()[0]?.id ?? 0, note: "cancelled" })
    last().write({ kind: "done", id: runs()[1]?.id ?? 0 })
    expect(text(yield* Fiber.join(next))).toBe("")
  }),
)

effectTest(
  "long runs go one at a time in their order, short ones at once",
  Effect.gen(function* () {
    const { engine, awaitRuns, runs, answer } = yield* make()
    const bytesOf = (name: string, length: number) => {
      const bytes = new Uint8Array(length)
      bytes.set(new TextEncoder().encode(name))
      return bytes
    }
    const run = (name: string, length: number) => Effect.fork(engine.run(bytesOf(name, length)))
    const names = () => runs().map(({ bytes = new Uint8Array() }) => text(bytes.subarray(0, 2)))
    const long = yield* Effect.forEach(["L1", "L2", "L3", "L4"], (name) => run(name, 9_600_000))
    const short = yield* Effect.forEach(["S1", "S2", "S3"], (name) => run(name, 320_000))
    yield* awaitRuns(4)
    expect(names()).toEqual(["L1", "S1", "S2", "S3"])
    // One that gave up is skipped.
    yield* Effect.forEach(long.slice(1, 2), Fiber.interrupt)
    for (const { id } of runs()) answer(id, "")
    yield* awaitRuns(5)
    expect(names().at(-1)).toBe("L3")
    yield* run("S4", 1000)
    yield* awaitRuns(6)
    for (const { id } of runs().slice(4)) answer(id, "")
    yield* awaitRuns(7)
    expect(names().slice(4)).toEqual(["L3", "S4", "L4"])
    answer(runs().at(-1)?.id ?? 0, "")
    yield* Fiber.joinAll([...long.slice(0, 1), ...long.slice(2), ...short])
  }),
)

effectTest(
  "many short runs go in parts",
  Effect.gen(function* () {
    const { run, awaitRuns, runs, answer } = yield* make()
    const all = yield* Effect.fork(
      Effect.all(
        Array.from({ length: 40 }, () => run()),
        { concurrency: "unbounded" },
      ),
    )
    yield* awaitRuns(32)
    answer(runs()[0]?.id ?? 0, "")
    yield* awaitRuns(33)
    for (const { id } of runs().slice(1)) answer(id, "")
    yield* awaitRuns(40)
    for (const { id } of runs().slice(33)) answer(id, "")
    yield* Fiber.join(all)
  }),
)

describe("a process that ends", () => {
  effectTest(
    "fails its runs and is started again",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitStart, awaitLine, runs, answer, last, engine, lines } = yield* make()
      const running = yield* Effect.fork(
        Effect.all([Effect.either(run()), Effect.either(run())], { concurrency: 2 }),
      )
      yield* awaitRuns(2)
      last().die("ended with SIGABRT")
      expect((yield* Fiber.join(running)).map(reasonOf)).toEqual(Array(2).fill("ended with SIGABRT"))
      yield* awaitLine("WARN")
      expect(engine.isUsable()).toBe(true)
      const next = yield* Effect.fork(run())
      yield* TestClock.adjust("200 millis")
      yield* awaitStart(2)
      yield* awaitRuns(1)
      answer(runs()[0]?.id ?? 0, "again")
      expect(text(yield* Fiber.join(next))).toBe("again")
      expect(lines.map(({ level, event }) => `${level} ${event}`)).toEqual([
        "INFO engine.ready",
        "WARN engine.failed",
        "INFO engine.ready",
      ])
    }),
  )

  effectTest(
    "twice in a row marks the engine as failed, and it comes back later",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitStart, awaitLine, runs, answer, last, engine, lines } = yield* make()
      yield* awaitLine("INFO")
      last().die("first")
      yield* awaitLine("WARN")
      yield* TestClock.adjust("200 millis")
      yield* awaitLine("INFO", 2)
      last().die("second")
      yield* awaitLine("ERROR")
      expect(engine.isUsable()).toBe(false)
      expect(reasonOf(yield* Effect.either(run()))).toBe("second")
      yield* TestClock.adjust("59 seconds")
      yield* awaitStart(2)
      yield* TestClock.adjust("1 seconds")
      yield* awaitLine("INFO", 3)
      expect(engine.isUsable()).toBe(true)
      const next = yield* Effect.fork(run())
      yield* awaitRuns(1)
      answer(runs()[0]?.id ?? 0, "back")
      yield* Fiber.join(next)
      // A result between them: the next failure is the first again.
      last().die("third")
      yield* awaitLine("WARN", 2)
      expect(engine.isUsable()).toBe(true)
      expect(lines.at(-1)?.reason).toBe("third")
    }),
  )

  effectTest(
    "again and again is tried ever more rarely",
    Effect.gen(function* () {
      const { awaitLine, awaitStart, last, started } = yield* make()
      const pauses = [Duration.millis(200), ...[1, 2, 4].map(Duration.minutes)]
      for (const [index, pause] of pauses.entries()) {
        yield* awaitLine("INFO", index + 1)
        last().die("always")
        yield* index === 0 ? awaitLine("WARN") : awaitLine("ERROR", index)
        yield* TestClock.adjust(Duration.subtract(pause, 1))
        expect(started.length).toBe(index + 1)
        yield* TestClock.adjust(1)
        yield* awaitStart(index + 2)
      }
    }),
  )
})

describe("a process that hangs is replaced", () => {
  /** A second for each character. */
  const longestStep = (bytes: Uint8Array) => Duration.seconds(bytes.length)

  effectTest(
    "after the longest step of what it has to do",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitStart, awaitLine, answer, runs, last, lines } = yield* make(
        Effect.void,
        makeFakeProcess,
        { longestStep },
      )
      const short = yield* Effect.fork(Effect.either(run("1234")))
      const long = yield* Effect.fork(run("12345678"))
      yield* awaitRuns(2)
      yield* TestClock.adjust("7 seconds")
      expect(last().isDead()).toBe(false)
      answer(runs().find(({ bytes }) => bytes?.length === 8)?.id ?? 0, "the long one")
      expect(text(yield* Fiber.join(long))).toBe("the long one")
      yield* TestClock.adjust("4 seconds")
      yield* awaitLine("WARN")
      expect([lines.at(-1)?.reason, last().isDead()]).toEqual(["did not answer", true])
      expect(reasonOf(yield* Fiber.join(short))).toBe("did not answer")
      // A request that is sent again is served by the next process.
      const again = yield* Effect.fork(run("1234"))
      yield* TestClock.adjust("200 millis")
      yield* awaitStart(2)
      yield* awaitRuns(1)
      answer(runs()[0]?.id ?? 0, "well")
      expect(text(yield* Fiber.join(again))).toBe("well")
    }),
  )

  effectTest(
    "never later than after 24 s, and not while it has nothing to do",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitLine, last } = yield* make(Effect.void, makeFakeProcess, { longestStep })
      yield* awaitLine("INFO")
      // More than 24 s. Each second costs 4 ms, because the watch looks once a second.
      yield* TestClock.adjust("1 minute")
      expect(last().isDead()).toBe(false)
      const running = yield* Effect.fork(Effect.either(run("x".repeat(600))))
      yield* awaitRuns(1)
      yield* TestClock.adjust("25 seconds")
      expect(reasonOf(yield* Fiber.join(running))).toBe("did not answer")
    }),
  )
})

describe("an engine that cannot run", () => {
  effectTest(
    "its check fails: no process starts",
    Effect.gen(function* () {
      const damaged = new EngineFailed({ reason: "The model is damaged." })
      const { run, awaitLine, engine, started, lines } = yield* make(Effect.fail(damaged))
      const waiting = yield* Effect.fork(Effect.either(run()))
      yield* awaitLine("WARN")
      yield* TestClock.adjust("200 millis")
      yield* awaitLine("ERROR")
      expect(reasonOf(yield* Fiber.join(waiting))).toBe("The model is damaged.")
      expect(engine.isUsable()).toBe(false)
      expect(started).toEqual([])
      expect(lines.at(-1)).toEqual({
        level: "ERROR",
        event: "engine.failed",
        reason: "The model is damaged.",
      })
    }),
  )

  effectTest(
    "no process can be started",
    Effect.gen(function* () {
      const { run, awaitLine, engine } = yield* make(Effect.void, () => {
        throw new Error("EAGAIN")
      })
      yield* awaitLine("WARN")
      yield* TestClock.adjust("200 millis")
      yield* awaitLine("ERROR")
      expect(reasonOf(yield* Effect.either(run()))).toBe("Error: EAGAIN")
      expect(engine.isUsable()).toBe(false)
    }),
  )

  effectTest(
    "it does not load in time",
    Effect.gen(function* () {
      const { awaitLine, awaitStart, last, lines } = yield* make(Effect.void, () =>
        makeFakeProcess({ loads: false }),
      )
      yield* awaitStart(1)
      yield* Effect.promise(() => until(() => last().sent.length === 1, "the load"))
      yield* TestClock.adjust("1 minute")
      yield* awaitLine("WARN")
      expect([last().isDead(), lines.at(-1)?.reason]).toEqual([true, "did not load in time"])
    }),
  )

  effectTest(
    "it refuses its files",
    Effect.gen(function* () {
      const { awaitLine, awaitStart, last, lines } = yield* make(Effect.void, () =>
        makeFakeProcess({ loads: false }),
      )
      yield* awaitStart(1)
      yield* Effect.promise(() => until(() => last().sent.length === 1, "the load"))
      last().write({ kind: "failed", id: last().sent[0]?.id ?? 0, note: "no such package" })
      yield* awaitLine("WARN")
      expect([last().isDead(), lines.at(-1)?.reason]).toEqual([true, "no such package"])
    }),
  )

  effectTest(
    "it writes something else",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitLine, last } = yield* make()
      const running = yield* Effect.fork(Effect.either(run()))
      yield* awaitRuns(1)
      last().babble()
      expect(reasonOf(yield* Fiber.join(running))).toContain("unexpected")
      yield* awaitLine("WARN")
      expect(last().isDead()).toBe(true)
    }),
  )
})

describe("a process that is stuck", () => {
  effectTest(
    "is replaced, also where its run was cancelled",
    Effect.gen(function* () {
      const { run, awaitRuns, awaitLine, started, lines } = yield* make()
      const running = yield* Effect.fork(run())
      yield* awaitRuns(1)
      yield* TestClock.adjust("15 seconds")
      yield* Fiber.interrupt(running)
      yield* TestClock.adjust("15 seconds")
      yield* awaitLine("WARN")
      expect([started[0]?.isDead(), lines[1]?.reason]).toEqual([true, "did not answer"])
    }),
  )

  effectTest(
    "is none that makes progress or has nothing to do",
    Effect.gen(function* () {
      const { run, awaitRuns, runs, last, answer } = yield* make()
      const running = yield* Effect.fork(run())
      yield* awaitRuns(1)
      const id = runs()[0]?.id ?? 0
      for (let times = 0; times < 5; times++) {
        last().write({ kind: "progress", id })
        yield* Effect.promise(() => Bun.sleep(1))
        yield* TestClock.adjust("20 seconds")
      }
      answer(id, "late")
      expect(text(yield* Fiber.join(running))).toBe("late")
      yield* TestClock.adjust("1 minute")
      expect(last().isDead()).toBe(false)
    }),
  )
})

effectTest(
  "the end of the scope fails what runs and waits",
  Effect.gen(function* () {
    const { run, awaitRuns, scope, last, started } = yield* make()
    const running = yield* Effect.fork(Effect.either(run()))
    yield* awaitRuns(1)
    yield* Scope.close(scope, Exit.void)
    expect(reasonOf(yield* Fiber.join(running))).toBe("the engine was stopped")
    expect(reasonOf(yield* Effect.either(run()))).toBe("the engine was stopped")
    yield* TestClock.adjust("2 hours")
    expect([last().isDead(), started.length]).toEqual([true, 1])
  }),
)

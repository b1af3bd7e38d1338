/** The supervisor with processes of this machine, whose script is scripted-child.ts. */
import { expect, test } from "bun:test"
import { join } from "node:path"
import { Effect, Either, Logger, LogLevel } from "effect"
import { processExists } from "../../../../src/process.ts"
import { startEngineProcess } from "../../../../src/providers/offline/engine/process.ts"
import { type Engine, makeEngine } from "../../../../src/providers/offline/engine/supervisor.ts"
import { until } from "../../../support/turns.ts"

const scripted = join(import.meta.dir, "scripted-child.ts")

/** Runs a test with an engine of such processes; `pids` are those that were started. */
const withEngine = async <A>(
  use: (engine: Engine, pids: ReadonlyArray<number>) => Effect.Effect<A>,
): Promise<A> => {
  const pids: Array<number> = []
  const start = () => {
    const process = startEngineProcess(scripted)
    pids.push(process.pid)
    return process
  }
  const engine = makeEngine({ name: "scripted", check: Effect.void, start, loader: "any", files: {} })
  const used = Effect.flatMap(engine, (running) => use(running, pids))
  const result = await Effect.runPromise(used.pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)))
  // Nothing outlives the scope.
  expect(pids.filter(processExists)).toEqual([])
  return result
}

const run = ({ run }: Engine, text: string) =>
  Effect.either(run(new TextEncoder().encode(text))).pipe(
    Effect.map(
      Either.match({ onLeft: ({ reason }) => reason, onRight: (bytes) => new TextDecoder().decode(bytes) }),
    ),
  )

test("the process has none of our environment, and another folder", () =>
  withEngine((engine) =>
    Effect.map(run(engine, "environment"), (text) => {
      expect(JSON.parse(text)).toEqual({ keys: ["DO_NOT_TRACK"], folder: "/" })
    }),
  ))

test("large requests arrive whole, many at a time", () =>
  withEngine((engine) =>
    Effect.gen(function* () {
      const sizes = [3_000_001, 1, 0, 9_600_000, 20, 1_000_000]
      const answers = yield* Effect.forEach(sizes, (size) => Effect.orDie(engine.run(new Uint8Array(size))), {
        concurrency: "unbounded",
      })
      expect(answers.map((bytes) => new TextDecoder().decode(bytes))).toEqual(
        sizes.map((size) => `${size} bytes`),
      )
    }),
  ))

test("a process may be killed while it is sent a request", async () => {
  for (let times = 0; times < 30; times++) {
    const engine = startEngineProcess(scripted)
    if (times % 2 === 0) engine.send({ kind: "run", id: times, bytes: new Uint8Array(5_000_000) })
    await Bun.sleep(times)
    process.kill(engine.pid, "SIGKILL")
    // Its pipe is closed, and this process has not noticed yet.
    Bun.sleepSync(5)
    engine.send({ kind: "run", id: times, bytes: new Uint8Array(100_000) })
    await engine.ended
    engine.send({ kind: "cancel", id: times })
  }
  // An error of a write that nobody waits for ends the process.
  await Bun.sleep(10)
})

test("a crash fails the run with its reason, and the next run works", () =>
  withEngine((engine, pids) =>
    Effect.gen(function* () {
      expect(yield* run(engine, "crash")).toBe(
        "ended with SIGABRT: terminate called after throwing an exception",
      )
      expect(yield* run(engine, "again")).toBe("5 bytes")
      expect(yield* run(engine, "leave")).toBe("ended with 3")
      expect(yield* run(engine, "again")).toBe("5 bytes")
      expect(pids.length).toBe(3)
    }),
  ))

test("a process that spins is killed with the scope", () =>
  withEngine((engine, pids) =>
    Effect.gen(function* () {
      yield* Effect.timeoutOption(run(engine, "spin"), "300 millis")
      expect(pids.length).toBe(1)
    }),
  ))

test("the process ends with a killed service", async () => {
  const maker = Bun.spawn([process.execPath, join(import.meta.dir, "orphan-maker.ts"), scripted], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const { value } = await maker.stdout.getReader().read()
  const pid = Number(new TextDecoder().decode(value))
  expect(processExists(pid)).toBe(true)
  maker.kill("SIGKILL")
  await maker.exited
  await until(() => !processExists(pid), "the end of the engine's process")
})

import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Cause, Effect, Logger, LogLevel, Schema } from "effect"
import { fileLogger, jsonLogger, readableLogger } from "../src/telemetry.ts"
import { parseLog } from "./support/process.ts"

const folders: Array<string> = []
const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), "voice-agent-log-"))
  folders.push(folder)
  return folder
}
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** The output of a logger for the log lines of an effect. */
const logged = (
  logger: Logger.Logger<unknown, string>,
  effect: Effect.Effect<unknown>,
): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const collect = Logger.replace(
    Logger.defaultLogger,
    Logger.map(logger, (line) => void lines.push(line)),
  )
  Effect.runSync(effect.pipe(Effect.provide(collect), Logger.withMinimumLogLevel(LogLevel.Debug)))
  return lines
}

const failure = () => new Error("outer", { cause: new TypeError("inner") })

describe("a line of JSON", () => {
  const json = (effect: Effect.Effect<unknown>) => parseLog(logged(jsonLogger, effect).join("\n"))

  test("is flat: time, level, event, then the fields", () => {
    const [line = ""] = logged(
      jsonLogger,
      Effect.logInfo("turn.stage").pipe(
        Effect.annotateLogs({ stage: "stt", ms: 612, ok: true, parts: ["a", "b"] }),
      ),
    )
    expect(line).toStartWith('{"time":"')
    expect(JSON.parse(line)).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      level: "info",
      event: "turn.stage",
      stage: "stt",
      ms: 612,
      ok: true,
      parts: ["a", "b"],
    })
  })

  test("names the levels as LOG_LEVEL does", () => {
    const all = Effect.all([
      Effect.logDebug("a"),
      Effect.logInfo("b"),
      Effect.logWarning("c"),
      Effect.logError("d"),
    ])
    expect(json(all).map(({ level }) => level)).toEqual(["debug", "info", "warn", "error"])
  })

  test("has the stacks of an error and its causes in one field", () => {
    const [error, cause, both] = json(
      Effect.all([
        Effect.logError("failed", failure()),
        Effect.logError("defect", Cause.die(failure())),
        Effect.logError(Cause.fail(failure())),
      ]),
    )
    for (const record of [error, cause, both]) {
      expect(record?.stack).toMatch(/Error: outer[\s\S]*telemetry\.test\.ts[\s\S]*TypeError: inner/)
    }
    expect(error?.event).toBe("failed")
    expect(cause?.event).toBe("defect")
  })

  test("leaves out the fields of a tagged error", () => {
    class RowRefused extends Schema.TaggedError<RowRefused>()("RowRefused", {
      row: Schema.String,
      message: Schema.String,
      cause: Schema.Defect,
    }) {}
    const refused = new RowRefused({
      row: "what was said",
      message: "what was said, for the caller",
      cause: Object.assign(new Error("a rule"), { detail: "what was said" }),
    })
    const [error, failed, died, odd] = json(
      Effect.all([
        Effect.logError("failed", refused),
        Effect.logError("failed", Cause.fail(refused)),
        Effect.logError("failed", Cause.die({ row: "what was said" })),
        Effect.logError("failed", Cause.fail({ _tag: "ChannelException", error: refused })),
      ]),
    )
    for (const record of [error, failed, odd]) {
      expect(record?.stack).toMatch(/^RowRefused\n[\s\S]*because of Error: a rule\n/)
    }
    expect(died?.stack).toBe("a thrown object")
    expect(JSON.stringify([error, failed, died, odd])).not.toContain("said")
  })

  test("its own fields win over annotations", () => {
    const [record] = json(
      Effect.annotateLogs(Effect.logInfo("request"), { level: "x", time: "y", event: "z" }),
    )
    expect(record).toMatchObject({ level: "info", event: "request", time: expect.stringContaining("T") })
  })

  test("escapes line ends and control characters", () => {
    const [line = "", ...more] = logged(
      jsonLogger,
      Effect.annotateLogs(Effect.logInfo("a\nb"), {
        path: "/\r\n\u2028\u0085{}\u001b[31m\u202e\u{e0041}",
        n: 1n,
      }),
    )
    expect(more).toEqual([])
    expect(line).toMatch(/^[ -~]+$/)
    expect(JSON.parse(line)).toMatchObject({
      event: "a\nb",
      path: "/\r\n\u2028\u0085{}\u001b[31m\u202e\u{e0041}",
    })
  })
})

describe("a readable line", () => {
  const lines = (effect: Effect.Effect<unknown>) => logged(readableLogger, effect)

  test("has time, level, event, fields", () => {
    const effect = Effect.annotateLogs(Effect.logWarning("retry"), {
      stage: "stt",
      why: "no answer",
      path: "/a=b",
    })
    const [line = ""] = lines(effect)
    expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN retry stage=stt path="\/a=b" why="no answer"$/)
  })

  test("has the known fields first, then the others by name", () => {
    const names = [
      "requestId",
      "sessionId",
      "turnId",
      "stage",
      "ms",
      "ok",
      "Zone",
      "apple",
      "b10",
      "b9",
      "kind",
    ]
    for (const order of [names, names.toReversed(), names.toSorted()]) {
      const effect = Effect.annotateLogs(
        Effect.logInfo("x"),
        Object.fromEntries(order.map((name) => [name, 1])),
      )
      const [line = ""] = lines(effect)
      expect(line.split(" ").slice(3)).toEqual(names.map((name) => `${name}=1`))
    }
  })

  test("has the stack below it, indented", () => {
    const [text = ""] = lines(Effect.logError("failed", failure()))
    const [first, ...stack] = text.split("\n")
    expect(first).toMatch(/ERROR failed$/)
    expect(stack.length).toBeGreaterThan(2)
    for (const line of stack) expect(line).toStartWith("    ")
  })

  test("escapes line ends, colours and bidi characters", () => {
    const forged = "x\n12:00:00.000 INFO forged\u001b[2J\u2028\u202e"
    const effect = Effect.annotateLogs(Effect.logError("failed", new Error(forged)), { path: forged })
    const [first, ...stack] = (lines(effect)[0] ?? "").split("\n")
    expect(first).toMatch(/^[ -~]+$/)
    for (const line of stack) expect(line).toMatch(/^ {4}[ -~]*$/)
  })
})

describe("the log files", () => {
  const writeTo = (folder: string, effect: Effect.Effect<unknown>, size?: string) =>
    effect.pipe(
      Effect.provide(Logger.replaceScoped(Logger.defaultLogger, fileLogger(folder, size))),
      Effect.runPromise,
    )
  const read = (folder: string, file: string) => parseLog(readFileSync(join(folder, file), "utf8"))

  test("are created in their folder and appended to", async () => {
    const folder = join(newFolder(), "var", "log")
    for (const run of [1, 2]) {
      await writeTo(folder, Effect.all([Effect.logInfo("fine"), Effect.logError("failed", failure())]))
      expect(read(folder, "combined.log")).toHaveLength(2 * run)
      expect(read(folder, "error.log")).toHaveLength(run)
    }
    expect(read(folder, "error.log").at(-1)).toMatchObject({
      level: "error",
      event: "failed",
      stack: expect.stringContaining("outer"),
    })
  })

  test("are rotated by size without losing a line", async () => {
    const folder = newFolder()
    const bytesOf = (file: string) => statSync(join(folder, file)).size
    const write = (from: number, count: number) =>
      writeTo(
        folder,
        Effect.forEach(
          Array.from({ length: count }, (_, i) => from + i),
          (n) => Effect.annotateLogs(Effect.logInfo("line"), { n }),
        ),
        "1K",
      )
    await write(0, 30)
    const some = ["combined.log", ...readdirSync(folder).filter((file) => file.startsWith("combined.log."))]
    expect(some.length).toBeGreaterThan(2)
    const numbers = some.flatMap((file) => read(folder, file)).map(({ n }) => Number(n))
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i))

    await write(30, 200)
    expect(readdirSync(folder).toSorted()).toEqual([
      "combined.log",
      ...[1, 2, 3, 4, 5].map((n) => `combined.log.${n}`),
      "error.log",
    ])
    for (const n of [1, 2, 3, 4, 5]) expect(bytesOf(`combined.log.${n}`)).toBeLessThan(2048)
    const newest = [...read(folder, "combined.log.1"), ...read(folder, "combined.log")]
    expect(newest.at(-1)).toMatchObject({ n: 229 })
  })
})

import { afterAll, describe, expect, test } from "bun:test"
import { startProgram, stopAll, takeWarnings } from "../../scripts/bench/programs.ts"

afterAll(stopAll)

/** A program with these statements. */
const start = (code: string) => startProgram(["-e", code], {}, (line) => line === "ready")

/** Echoes, in upper case, a line for each SIGUSR2. */
const listening = `
  let n = 0
  process.on("SIGUSR2", () => console.log("asked", ++n))
  process.once("SIGTERM", () => { console.log("over"); process.exit() })
  console.log("early"); console.log("ready")
  setInterval(() => undefined, 1000)`

describe("a program of the bench", () => {
  test("is ready after its ready line, and answers commands", async () => {
    const program = await start(listening)
    expect(program.line).toBe("ready")
    for (const n of [1, 2]) {
      const said = program.says((line) => line.startsWith("asked"))
      process.kill(program.pid, "SIGUSR2")
      expect(await said).toBe(`asked ${n}`)
    }
    const last = program.says((line) => line === "over")
    await program.stop()
    expect(await last).toBe("over")
  })

  test("that ends before it is ready: an error", async () => {
    await expect(startProgram(["-e", "console.log('no')"], {}, () => false)).rejects.toThrow("ended")
  })

  test("that has ended gives no answers", async () => {
    const program = await start(`console.log("ready"); setTimeout(() => process.exit(3), 20)`)
    await expect(program.says(() => false)).rejects.toThrow("ended")
    await expect(program.says(() => true)).rejects.toThrow("has ended")
  })

  test("gets no variables that name a real provider", async () => {
    process.env.OPENAI_API_KEY = "sk-real"
    const program = await startProgram(
      ["-e", "console.log(JSON.stringify(process.env)); setInterval(() => undefined, 1000)"],
      { PORT: "0" },
      (line) => line.startsWith("{"),
    )
    delete process.env.OPENAI_API_KEY
    expect(Object.keys(JSON.parse(program.line))).toEqual(expect.arrayContaining(["PATH", "PORT"]))
    expect(program.line).not.toContain("sk-real")
    await program.stop()
  })

  test("its warnings and defects are collected", async () => {
    takeWarnings()
    const lines = [
      { level: "warn", event: "provider.retry", stage: "tts", reason: "HTML" },
      { level: "warn", event: "provider.retry", stage: "tts", reason: "HTML" },
      { level: "info", event: "turn.completed" },
      {
        level: "error",
        event: "request.defect",
        stack: "SqlError\n    at library.js\n    at /src/a.ts:1\nbecause of X",
      },
    ]
    const program = await start(
      `for (const line of ${JSON.stringify(lines)}) console.log(JSON.stringify(line)); console.log("ready"); setInterval(() => undefined, 1000)`,
    )
    await program.stop()
    expect([...takeWarnings()]).toEqual([
      ["provider.retry tts HTML", 2],
      ["request.defect SqlError at /src/a.ts:1 because of X", 1],
    ])
  })
})

/** Runs test files in parallel processes on one PostgreSQL server. */

import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"

import { join } from "node:path"
import { startPostgres } from "../../test/support/postgres.ts"
import { makeTemplate } from "../../test/support/template.ts"
import { bun } from "../setup.ts"
import { writeQuickFfmpeg } from "./ffmpeg.ts"
import { buildProgram } from "./program.ts"

/** In ms, for tests that set none. A preload's `setDefaultTimeout` would hold for a process's first file only. */
const timeout = 60_000

/**
 * Twice as many as cores: half of the time, a test waits for a process, a timer or the sound of a page. With three times as many
 * a run takes as long, and processes of a test miss time limits.
 */
const workers = 2 * availableParallelism()

/** The time of each file on a past run. The slowest start first. `--update-timings` writes it. */
const timings = "test/timings.json"

export interface Outcome {
  readonly code: number
  readonly passed: number
  readonly failed: number
}

/** `bun test` with these arguments. Shows the output of failing tests and the totals. */
export const runTests = async (args: ReadonlyArray<string>): Promise<Outcome> => {
  const resources = new AsyncDisposableStack()
  const child = { kill: () => {} }
  const stop = async (signal: NodeJS.Signals) => {
    child.kill()
    await resources.disposeAsync()
    process.exit(signal === "SIGINT" ? 130 : 143)
  }
  process.on("SIGINT", stop).on("SIGTERM", stop)
  try {
    const folder = await mkdtemp(join(tmpdir(), "voice-agent-test-"))
    resources.defer(() => rm(folder, { recursive: true, force: true }))
    const starting = startPostgres()
    // Also if another part fails before the server has started.
    resources.defer(() =>
      starting.then(
        ({ stop }) => stop(),
        () => undefined,
      ),
    )
    const makeDatabases = async () => {
      const { url } = await starting
      await makeTemplate(url)
      return url
    }
    // Workers make the same fixtures.
    const fixtures = join(folder, "fixtures")
    const [program, programs, database] = await Promise.all([
      buildProgram(folder),
      writeQuickFfmpeg(join(folder, "bin")),
      makeDatabases(),
      mkdir(fixtures),
    ])
    const tests = Bun.spawn(
      [
        bun,
        "test",
        `--timeout=${timeout}`,
        `--parallel=${workers}`,
        // A worker loads the service once, not for each file: 30 % less CPU.
        "--no-isolate",
        `--timings=${timings}`,
        "--only-failures",
        ...args,
      ],
      {
        cwd: join(import.meta.dir, "../.."),
        env: {
          ...process.env,
          PATH: `${programs}:${process.env.PATH ?? ""}`,
          TEST_DATABASE_URL: database,
          TEST_PROGRAM: program,
          TEST_FIXTURES: fixtures,
        },
        stdio: ["inherit", "inherit", "pipe"],
      },
    )
    child.kill = () => tests.kill("SIGTERM")
    let output = ""
    for await (const chunk of tests.stderr.pipeThrough(new TextDecoderStream())) {
      process.stderr.write(chunk)
      output += chunk
    }
    const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(output)?.[1] ?? 0)
    return { code: await tests.exited, passed: count("pass"), failed: count("fail") }
  } finally {
    await resources.disposeAsync()
  }
}

/** Runs test files in parallel processes on one PostgreSQL server. */
import { mkdtempSync } from "node:fs"
import { mkdir, rm } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { startPostgres } from "../../test/support/postgres.ts"
import { makeTemplate } from "../../test/support/template.ts"
import { bun } from "../setup.ts"
import { acquire, startGroup } from "./ending.ts"
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

/** The services of tests stop their database in this time, in ms. */
const longestStop = 15_000

export interface Outcome {
  readonly code: number
  readonly passed: number
  readonly failed: number
}

/** `bun test` with these arguments. Shows the output of failing tests and the totals. */
export const runTests = async (args: ReadonlyArray<string>): Promise<Outcome> => {
  const folder = acquire(
    () => mkdtempSync(join(tmpdir(), "voice-agent-test-")),
    (path) => rm(path, { recursive: true, force: true }),
  )
  // Also if another part fails before the server has started.
  const starting = acquire(startPostgres, (server) =>
    server.then(
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
  const tests = startGroup(
    (options) =>
      Bun.spawn(
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
          stdio: ["ignore", "inherit", "pipe"],
          ...options,
        },
      ),
    { grace: longestStop },
  )
  let output = ""
  for await (const chunk of tests.stderr.pipeThrough(new TextDecoderStream())) {
    process.stderr.write(chunk)
    output += chunk
  }
  const count = (word: string) => Number(new RegExp(`^ *(\\d+) ${word}$`, "m").exec(output)?.[1] ?? 0)
  return { code: await tests.exited, passed: count("pass"), failed: count("fail") }
}

import { basename } from "node:path"
import { Effect, Schema } from "effect"

/** The embedded server cannot run. `message` says why, and what to do. */
export class EmbeddedDatabaseFailed extends Schema.TaggedError<EmbeddedDatabaseFailed>()(
  "EmbeddedDatabaseFailed",
  { message: Schema.String },
) {}

/** Another process of this service uses the embedded server. */
export class EmbeddedDatabaseInUse extends Schema.TaggedError<EmbeddedDatabaseInUse>()(
  "EmbeddedDatabaseInUse",
  { message: Schema.String },
) {}

/**
 * The message of an error: the problem, the specific `advice` (without a full stop), and DATABASE_URL as the
 * alternative.
 */
export const explain = (problem: string, advice?: string): { readonly message: string } => {
  const set = advice === undefined ? "Set" : `${advice}, or set`
  return {
    message: `${problem.replace(/[.\s]+$/, "")}. ${set} DATABASE_URL to a PostgreSQL server of your own.`,
  }
}

export const failed = (problem: string, advice?: string): EmbeddedDatabaseFailed =>
  new EmbeddedDatabaseFailed(explain(problem, advice))

/** Spread into every spawn. Empty for an ordinary user; for root, the ids of an unprivileged user. */
export interface RunAs {
  readonly uid?: number
  readonly gid?: number
}

/** Runs a program to its end as the server's user. A failure carries its last error lines. */
export const run = Effect.fnUntraced(function* (
  command: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly runAs: RunAs; readonly stdin?: string },
) {
  const { code, stderr } = yield* Effect.tryPromise({
    try: async (signal) => {
      const child = Bun.spawn([...command], {
        ...options.runAs,
        cwd: options.cwd,
        env: serverEnvironment(),
        stdin: new Blob([options.stdin ?? ""]),
        stdout: "ignore",
        stderr: "pipe",
        signal,
      })
      const [stderr, code] = await Promise.all([child.stderr.text(), child.exited])
      return { code, stderr }
    },
    catch: (cause) => cannotStart(command[0], cause),
  })
  if (code !== 0) {
    return yield* failed(
      `${basename(command[0] ?? "")} failed while preparing the embedded database in ${options.cwd}: ${lastErrors(stderr) || `exit code ${code}`}`,
    )
  }
})

/** Leaves out the PG* and LC_* variables of this process, which would change the server's behaviour. */
export const serverEnvironment = (): Record<string, string> => ({
  LC_ALL: "C",
  PATH: process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin",
})

/**
 * The last error lines in the output of a PostgreSQL program, else its last lines; joined, without timestamps and
 * pids.
 */
export const lastErrors = (output: string): string => {
  const lines = output.trim().split("\n")
  const errors = lines.filter((line) => /\b(ERROR|FATAL|PANIC|DETAIL|HINT|error|detail|hint):/.test(line))
  return (errors.length > 0 ? errors.slice(-4) : lines.slice(-3))
    .map((line) => line.replace(/^\S+ \S+ \w+ \[\d+\] /, "").trim())
    .join(" | ")
}

export const cannotStart = (program: string | undefined, cause: unknown): EmbeddedDatabaseFailed =>
  failed(
    `${program}, a program of the embedded database, cannot be run here (${cause instanceof Error ? cause.message : cause}). On Linux, the prebuilt programs need glibc, and a folder that is not mounted noexec`,
  )

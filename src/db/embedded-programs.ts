import { basename } from "node:path"
import { Effect, Schema } from "effect"

/** Why the service's own PostgreSQL server cannot run: one sentence for a person, with the way out. */
export class EmbeddedDatabaseFailed extends Schema.TaggedError<EmbeddedDatabaseFailed>()(
  "EmbeddedDatabaseFailed",
  { message: Schema.String },
) {}

/** Another process of ours has the server: a start beside it is refused with this sentence. */
export class EmbeddedDatabaseInUse extends Schema.TaggedError<EmbeddedDatabaseInUse>()(
  "EmbeddedDatabaseInUse",
  { message: Schema.String },
) {}

/** `what` happened, the `advice` that fits it (no full stop), and the way out that always works. */
export const explained = (what: string, advice?: string): { readonly message: string } => {
  const orElse = advice === undefined ? "Set" : `${advice}, or set`
  return {
    message: `${what.replace(/[.\s]+$/, "")}. ${orElse} DATABASE_URL to a PostgreSQL server of your own.`,
  }
}

export const failed = (what: string, advice?: string): EmbeddedDatabaseFailed =>
  new EmbeddedDatabaseFailed(explained(what, advice))

/** Spread into every spawn: empty for an ordinary user, the ids of an unprivileged user for root. */
export interface RunAs {
  readonly uid?: number
  readonly gid?: number
}

/** Runs a program to its end as the server's user; a failure carries what it said. */
export const run = Effect.fnUntraced(function* (
  command: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly runAs: RunAs; readonly stdin?: string },
) {
  const { code, said } = yield* Effect.tryPromise({
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
      const [said, code] = await Promise.all([child.stderr.text(), child.exited])
      return { code, said }
    },
    catch: (cause) => cannotStart(command[0], cause),
  })
  if (code !== 0) {
    return yield* failed(
      `${basename(command[0] ?? "")} failed while the embedded database was prepared in ${options.cwd}: ${lastWords(said) || `exit code ${code}`}`,
    )
  }
})

/** Nothing of the caller's PG* and LC_* variables: they would change what the server does. */
export const serverEnvironment = (): Record<string, string> => ({
  LC_ALL: "C",
  PATH: process.env.PATH ?? "/usr/local/bin:/usr/bin:/bin",
})

/** What a PostgreSQL program complained of at last, else its last words, on one line without time stamps and process ids. */
export const lastWords = (text: string): string => {
  const lines = text.trim().split("\n")
  const complaints = lines.filter((line) => /\b(ERROR|FATAL|PANIC|DETAIL|HINT|error|detail|hint):/.test(line))
  return (complaints.length > 0 ? complaints.slice(-4) : lines.slice(-3))
    .map((line) => line.replace(/^\S+ \S+ \w+ \[\d+\] /, "").trim())
    .join(" | ")
}

export const cannotStart = (program: string | undefined, cause: unknown): EmbeddedDatabaseFailed =>
  failed(
    `The embedded database's program ${program} cannot be run here (${cause instanceof Error ? cause.message : cause}); its prebuilt binaries need glibc on Linux, and a folder from which programs may be started`,
  )

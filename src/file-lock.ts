import { Database, SQLiteError } from "bun:sqlite"
import { Effect, Schema } from "effect"

/** Another process holds the lock, or this one does already. */
export class FileLocked extends Schema.TaggedError<FileLocked>()("FileLocked", { path: Schema.String }) {}

/** The file of the lock cannot be created or opened. */
export class FileLockUnusable extends Schema.TaggedError<FileLockUnusable>()("FileLockUnusable", {
  path: Schema.String,
  reason: Schema.String,
}) {}

/**
 * Locks a file (created if missing, and never removed) until the scope closes.
 *
 * The lock is SQLite's exclusive lock on an empty file, because Bun offers no other kernel lock (fcntl). The kernel
 * releases it when the process ends, also after `kill -9`, so there is no stale owner to detect. It works on Linux and
 * macOS, and between containers that share a volume, where process ids identify nothing.
 */
export const lockFile = (path: string) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const file = new Database(path)
        try {
          file.run("PRAGMA journal_mode = MEMORY")
          file.run("BEGIN EXCLUSIVE")
          return file
        } catch (cause) {
          file.close()
          throw cause
        }
      },
      catch: (cause) =>
        cause instanceof SQLiteError && cause.code === "SQLITE_BUSY"
          ? new FileLocked({ path })
          : new FileLockUnusable({ path, reason: `${cause}` }),
    }),
    (file) => Effect.sync(() => file.close()),
  )

import { tmpdir } from "node:os"
import { resolve } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Layer, Option, Schema } from "effect"
import { processExists } from "./process.ts"

/** Uploads cannot be stored. */
export class TempFolderUnusable extends Schema.TaggedError<TempFolderUnusable>()("TempFolderUnusable", {
  message: Schema.String,
}) {}

/**
 * A folder in TMPDIR, removed with the scope. Its name contains the pid, so that a later start can tell whether its
 * process still runs. The path is absolute even if TMPDIR is not, because ffmpeg runs in another folder.
 */
export const tempFolder = Effect.flatMap(FileSystem.FileSystem, (fs) =>
  fs.makeTempDirectoryScoped({ prefix: `voice-agent-${process.pid}-` }),
).pipe(
  Effect.map((path) => resolve(path)),
  Effect.mapError(
    () =>
      new TempFolderUnusable({
        message: `Cannot create a folder for uploads in ${tmpdir()}. Make it writable, or set TMPDIR.`,
      }),
  ),
)

/**
 * Removes the folders of killed processes. A container reuses pids, so a folder with this process's pid that is older
 * than the process is removed too. A folder that cannot be read or removed is skipped: another start may remove it at
 * the same time, and anyone may place a broken link in TMPDIR.
 */
const removeOrphans = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const removeOrphan = Effect.fnUntraced(function* (name: string) {
    const pid = Number(/^voice-agent-(\d+)-/.exec(name)?.[1])
    if (Number.isNaN(pid)) return
    const path = `${tmpdir()}/${name}`
    if (pid === process.pid) {
      const { mtime } = yield* fs.stat(path)
      if (!Option.exists(mtime, (at) => at.getTime() < performance.timeOrigin)) return
    } else if (processExists(pid)) return
    yield* fs.remove(path, { recursive: true, force: true })
  }, Effect.ignore)
  yield* Effect.forEach(yield* fs.readDirectory(tmpdir()), removeOrphan, { discard: true })
}).pipe(Effect.ignore)

/** Fails if no upload could be stored, on a read-only disk for example. */
export const layer = Layer.scopedDiscard(Effect.scoped(Effect.zipRight(removeOrphans, tempFolder)))

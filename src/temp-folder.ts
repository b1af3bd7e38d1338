import { tmpdir } from "node:os"
import { resolve } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Layer, Option, Schema } from "effect"
import { processExists } from "./process.ts"

/** Uploads have nowhere to lie. */
export class TempFolderUnusable extends Schema.TaggedError<TempFolderUnusable>()("TempFolderUnusable", {
  message: Schema.String,
}) {}

/**
 * A folder in TMPDIR that goes with the scope. The process is in its name, so that a later start knows whose it was.
 * The path is whole, whatever TMPDIR is: ffmpeg runs elsewhere.
 */
export const tempFolder = Effect.flatMap(FileSystem.FileSystem, (fs) =>
  fs.makeTempDirectoryScoped({ prefix: `voice-agent-${process.pid}-` }),
).pipe(
  Effect.map((path) => resolve(path)),
  Effect.mapError(
    () =>
      new TempFolderUnusable({
        message: `No folder can be made in ${tmpdir()}, where uploads lie while they are worked on: make it writable, or set TMPDIR.`,
      }),
  ),
)

/**
 * Removes the folders of processes that were killed. A container gives its process the number that the one before had;
 * what is older than this process is not its own. Of what can't be looked at or removed (another start was faster; a
 * link to nothing, which anyone may have put there) the rest does not suffer.
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

/** Refuses to start where no upload could be taken: a read-only disk, say. */
export const layer = Layer.scopedDiscard(Effect.scoped(Effect.zipRight(removeOrphans, tempFolder)))

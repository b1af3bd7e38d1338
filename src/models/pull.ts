import { mkdir, readdir, rename, rm, rmdir, statfs } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Effect, Either, Exit, Option } from "effect"
import { DiskFull } from "./errors.ts"
import type { FileModel } from "./manifest.ts"
import { noticeOf } from "./notice.ts"
import { missingBytes, type Obtaining, obtain, packagesIn } from "./obtain.ts"
import { removeEmpty, syncFolder } from "./partial.ts"
import { addPins, type Pins, readPins } from "./pins.ts"
import type { Origins } from "./source.ts"
import {
  folderOf,
  inStore,
  installedModel,
  type Library,
  lockStore,
  pinOf,
  storeOf,
  verifyFiles,
} from "./store.ts"

/** The bytes that one download has so far. */
export interface Progress {
  readonly model: string
  /** A file, or the package that has it. */
  readonly item: string
  readonly received: number
  readonly size: number
}

/** A download that failed, and is tried again. */
export interface Pause {
  readonly model: string
  readonly item: string
  readonly reason: string
  /** Until the next attempt. */
  readonly seconds: number
}

export interface PullOptions {
  readonly library: Library
  readonly origins: Origins
  /** A plain function, because it is called once per chunk. */
  readonly onProgress: (progress: Progress) => void
  readonly onPause?: (pause: Pause) => void
  /** Runs once if another process holds the lock. */
  readonly onWait: Effect.Effect<void>
}

export interface Pulled {
  readonly folder: string
  /** False if the model was already installed. */
  readonly isNew: boolean
  /** Files whose hash was not known, and is kept from now on. */
  readonly pinned: ReadonlyArray<string>
}

/** File systems need room for themselves. */
const spareBytes = 16 * 1024 * 1024

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`

/** Fails if the disk has not enough free space for `bytes` more. */
const requireSpace = Effect.fnUntraced(function* (folder: string, model: FileModel, bytes: number) {
  const { bavail, bsize } = yield* inStore(folder, () => statfs(folder))
  const free = bavail * bsize
  if (bytes === 0 || bytes + spareBytes <= free) return
  return yield* new DiskFull({
    message: `${model.name} needs ${megabytes(bytes + spareBytes)} in ${folder}, which has ${megabytes(free)} free. Free space there, or set DATA_DIR to a folder on another disk.`,
  })
})

/** Gets every file. Returns the hashes that are to be kept. */
const obtainAll = Effect.fnUntraced(function* (obtaining: Obtaining, known: Pins) {
  const pins: Record<string, string> = {}
  for (const file of obtaining.model.files) {
    const pin = pinOf(obtaining.model, file)
    const hash = yield* obtain(obtaining, file, known[pin])
    if (file.sha256 === undefined && known[pin] === undefined) pins[pin] = hash
  }
  return pins
})

/** The model, if it is installed and well. Needs no lock, so it works on a read-only folder too. */
const findWell = Effect.fnUntraced(function* (library: Library, model: FileModel) {
  const found = yield* installedModel(library, model)
  if (Option.isNone(found) || Either.isLeft(yield* Effect.either(verifyFiles(found.value))))
    return Option.none()
  return Option.some<Pulled>({ folder: found.value.folder, isNew: false, pinned: [] })
})

/** Removes every other version of a model. Engines that run have read theirs. */
const removeOthers = async (folder: string): Promise<void> => {
  const names = await readdir(dirname(folder))
  const others = names.filter((name) => name !== basename(folder))
  await Promise.all(others.map((name) => rm(join(dirname(folder), name), { recursive: true, force: true })))
}

/**
 * Installs a model, unless it is installed and well. A damaged one is repaired: only its wrong files are downloaded again.
 * A failure keeps what has arrived. A new version replaces the older ones.
 * Two calls at once wait for one another, also those of two processes.
 */
export const pull = Effect.fn("models.pull")(function* (model: FileModel, options: PullOptions) {
  const { library, origins, onProgress, onPause, onWait } = options
  const store = storeOf(library)
  const early = yield* findWell(library, model)
  if (Option.isSome(early)) return early.value
  yield* lockStore(store, onWait)
  // Another process may have installed it in the meantime.
  const before = yield* findWell(library, model)
  if (Option.isSome(before)) return before.value
  const folder = folderOf(store, model)
  const part = `${folder}.part`
  const removeLeftovers = Effect.promise(async () => {
    await removeEmpty(part)
    await rmdir(dirname(folder)).catch(() => undefined)
  })
  yield* Effect.addFinalizer((exit) => (Exit.isFailure(exit) ? removeLeftovers : Effect.void))
  yield* inStore(store, async () => {
    await mkdir(dirname(folder), { recursive: true })
    // What is there is damaged. Its good files are used, unless a download has begun already.
    await rename(folder, part).catch(async () => {
      await rm(folder, { recursive: true, force: true })
      await mkdir(part, { recursive: true })
    })
  })
  const missing = yield* missingBytes(model, part, origins.from)
  yield* requireSpace(store, model, missing)
  const obtaining: Obtaining = {
    model,
    part,
    origins,
    onProgress: (item, received, size) => onProgress({ model: model.name, item, received, size }),
    onPause: (item, reason, seconds) => onPause?.({ model: model.name, item, reason, seconds }),
  }
  const pins = yield* obtainAll(obtaining, yield* inStore(store, () => readPins(store)))
  yield* inStore(store, async () => {
    await rm(packagesIn(part), { recursive: true, force: true })
    await Bun.write(`${part}/NOTICE`, noticeOf(model))
    await addPins(store, pins)
    await syncFolder(part)
    await rename(part, folder)
    await syncFolder(dirname(folder))
    await removeOthers(folder)
  })
  const pinned = model.files.filter((file) => pinOf(model, file) in pins).map(({ path }) => path)
  return { folder, isNew: true, pinned } satisfies Pulled
}, Effect.scoped)

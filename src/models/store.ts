import { mkdir, rm, stat } from "node:fs/promises"
import { join, resolve } from "node:path"
import { Duration, Effect, Option, Schedule } from "effect"
import { lockFile } from "../file-lock.ts"
import { hashFile } from "../hash.ts"
import { ofDisk } from "./attempt.ts"
import { type DownloadError, ModelDamaged, UnknownModel } from "./errors.ts"
import {
  type FileModel,
  findFileModel,
  isFileModel,
  type Manifest,
  type ModelFile,
  manifest,
} from "./manifest.ts"
import { type Pins, readPins } from "./pins.ts"

/**
 * Where models are kept: `NAME/VERSION/` for a complete model, `NAME/VERSION.part/` for one that is being downloaded.
 * A folder gets its final name when all its files are complete, so a reader never sees half a model.
 */
export const modelsFolder = (dataDir: string): string => join(resolve(dataDir), "models")

/** Models that came with the service, such as those of the Docker image. They are never written to. */
export const includedFolder = join(import.meta.dir, "../../models")

/** The folder of a model's version, complete or not yet there. */
export const folderOf = (folder: string, { name, version }: FileModel): string => join(folder, name, version)

/** How often a held lock is tried again. */
const lockPause = Duration.millis(250)

/** A complete model. */
export interface InstalledModel {
  readonly model: FileModel
  /** Absolute. Its files are at `join(folder, path)`. */
  readonly folder: string
  /** SHA-256 hashes of files whose hash the manifest does not have. */
  readonly pins: Pins
}

/** Where models may be, and which there are. Tests have another manifest. */
export interface Library {
  /** In the order in which they are searched. Only the first is written to. */
  readonly folders: readonly [string, ...ReadonlyArray<string>]
  readonly manifest: Manifest
}

/** The folder that models are downloaded to. */
export const storeOf = ({ folders }: Library): string => folders[0]

/** The models of DATA_DIR, and those that came with the service. */
export const libraryOf = (dataDir: string): Library => ({
  folders: [modelsFolder(dataDir), includedFolder],
  manifest,
})

const isComplete = async (folder: string, model: FileModel): Promise<boolean> => {
  const sizes = await Promise.all(
    model.files.map(({ path }) =>
      stat(join(folder, path)).then(
        (file) => (file.isFile() ? file.size : -1),
        () => -1,
      ),
    ),
  )
  return model.files.every(({ size }, index) => sizes[index] === size)
}

const exists = async (folder: string): Promise<boolean> =>
  (await stat(folder).catch(() => undefined)) !== undefined

/** The model in the first folder where it passes the check. */
const findFirst = (
  { folders }: Pick<Library, "folders">,
  model: FileModel,
  check: (folder: string, model: FileModel) => Promise<boolean>,
): Effect.Effect<Option.Option<InstalledModel>> =>
  Effect.promise(async () => {
    for (const folder of folders) {
      const own = folderOf(folder, model)
      if (await check(own, model)) return Option.some({ model, folder: own, pins: await readPins(folder) })
    }
    return Option.none()
  })

/** The model in the first folder that has all its files in their sizes. Its hashes are not checked: see `verifyFiles`. */
export const installedModel = (library: Pick<Library, "folders">, model: FileModel) =>
  findFirst(library, model, isComplete)

/** The model with this name, if it is installed. None for a name that the manifest does not have. */
export const installed = (library: Library, name: string): Effect.Effect<Option.Option<InstalledModel>> =>
  Option.match(findFileModel(library.manifest, name), {
    onNone: () => Effect.succeedNone,
    onSome: (model) => installedModel(library, model),
  })

/** All installed models, in the order of the manifest. */
export const allInstalled = (library: Library): Effect.Effect<ReadonlyArray<InstalledModel>> =>
  Effect.map(
    Effect.forEach(library.manifest.filter(isFileModel), (model) => installedModel(library, model)),
    (found) => found.flatMap(Option.toArray),
  )

/** All models that are installed, or were until a file was cut or lost; in the order of the manifest. */
export const presentModels = (library: Library): Effect.Effect<ReadonlyArray<InstalledModel>> =>
  Effect.map(
    Effect.forEach(library.manifest.filter(isFileModel), (model) =>
      Effect.flatMap(
        installedModel(library, model),
        Option.match({
          onNone: () => findFirst(library, model, exists),
          onSome: Effect.succeedSome,
        }),
      ),
    ),
    (found) => found.flatMap(Option.toArray),
  )

/**
 * Hashes every file of a model: about 0.1 s per 30 MB. To be done before an engine loads it, because a damaged file
 * aborts the engine's process.
 */
export const verifyFiles = ({ model, folder, pins }: InstalledModel): Effect.Effect<void, ModelDamaged> =>
  Effect.forEach(
    model.files,
    (file) => {
      const { path } = file
      const expected = file.sha256 ?? pins[pinOf(model, file)]
      const damaged = (how: string) =>
        new ModelDamaged({
          model: model.name,
          file: path,
          message: `The model ${model.name} is damaged: ${path} ${how}. Run: ./voice-agent models pull ${model.name}`,
        })
      return Effect.tryPromise({
        try: () => hashFile(join(folder, path)),
        catch: () => damaged("cannot be read"),
      }).pipe(
        Effect.filterOrFail(
          (hash) => expected === undefined || hash === expected,
          () => damaged("has another SHA-256 than it should have"),
        ),
      )
    },
    { discard: true },
  )

/**
 * The folder of the first complete copy whose hashes are right. A damaged copy does not hide a good one in a later folder.
 * Fails with the damage of the first copy if there is no good one.
 */
export const verifiedFolder = Effect.fnUntraced(function* (
  library: Pick<Library, "folders">,
  model: FileModel,
) {
  const copies = (yield* Effect.forEach(library.folders, (folder) =>
    installedModel({ folders: [folder] }, model),
  )).flatMap(Option.toArray)
  const missing = new ModelDamaged({
    model: model.name,
    file: model.files[0].path,
    message: `The model ${model.name} is not complete any more. Run: ./voice-agent models pull ${model.name}`,
  })
  const [first, ...others] = copies.map((copy) => Effect.as(verifyFiles(copy), copy.folder))
  if (first === undefined) return yield* missing
  return yield* Effect.catchAll(first, (damage) =>
    Effect.mapError(Effect.firstSuccessOf([Effect.fail(damage), ...others]), () => damage),
  )
})

/** The name of a file's hash among the pins. */
export const pinOf = ({ name, version }: FileModel, { path }: ModelFile): string =>
  `${name}/${version}/${path}`

/**
 * Removes all versions of a model, complete or partial. False if there is none. Waits for a download in another process.
 * Fails if the manifest has no such model of files.
 */
export const removeModel = Effect.fn("models.remove")(function* (
  folder: string,
  models: Manifest,
  name: string,
  onWait: Effect.Effect<void>,
) {
  const model = yield* Effect.mapError(
    findFileModel(models, name),
    () => new UnknownModel({ message: `There is no model "${name}". ./voice-agent models lists them.` }),
  )
  const own = join(folder, model.name)
  if (!(yield* Effect.promise(() => exists(own)))) return false
  yield* lockStore(folder, onWait)
  yield* inStore(folder, () => rm(own, { recursive: true, force: true }))
  return true
}, Effect.scoped)

/** Runs an action on the folder of the models. Fails if the folder cannot be used, or its disk is full. */
export const inStore = <A>(
  folder: string,
  action: (signal: AbortSignal) => Promise<A>,
): Effect.Effect<A, DownloadError> =>
  Effect.tryPromise({ try: action, catch: (cause) => ofDisk(folder, cause).error })

/**
 * Holds the lock of the store until the scope closes; creates the folder if there is none. While another process holds the
 * lock it waits, and runs `onWait` once.
 */
export const lockStore = Effect.fnUntraced(function* (folder: string, onWait: Effect.Effect<void>) {
  yield* inStore(folder, () => mkdir(folder, { recursive: true }))
  const lock = Effect.catchTag(lockFile(join(folder, "lock")), "FileLockUnusable", ({ path, reason }) =>
    inStore(folder, () => Promise.reject(new Error(`${path}: ${reason}`))),
  )
  const onlyLocked = Schedule.recurWhile((error: { readonly _tag: string }) => error._tag === "FileLocked")
  yield* Effect.catchTag(lock, "FileLocked", () =>
    Effect.zipRight(onWait, Effect.retry(lock, Schedule.intersect(Schedule.spaced(lockPause), onlyLocked))),
  )
})

import { mkdir, stat } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { Effect, Option } from "effect"
import { hashFile } from "../hash.ts"
import { AttemptFailed, ofDisk, wrongBytes } from "./attempt.ts"
import { download, type Target } from "./download.ts"
import { type DownloadError, SourceRefused, SourceUnreachable, WrongBytes } from "./errors.ts"
import type { FileModel, ModelFile, NpmSource, Source } from "./manifest.ts"
import { complete, discard, writeWhole } from "./partial.ts"
import { type Location, type Origins, ofFile, ofHub, ofMirror, ofNpm, ofUrl } from "./source.ts"
import { readMember } from "./tarball.ts"

/** Downloads one file and returns its hash. */
type Fetch = (location: Location, target: Target) => Effect.Effect<string, DownloadError>

/** How the files of one model are obtained. */
export interface Obtaining {
  readonly model: FileModel
  /** The partial folder of the model. */
  readonly part: string
  readonly origins: Origins
  /** Called with the bytes of each download, once per chunk. */
  readonly onProgress: (item: string, received: number, size: number) => void
  /** Called before the pause after a failed attempt. */
  readonly onPause: (item: string, reason: string, seconds: number) => void
}

/** Packages are kept in the partial folder, so that an interrupted download goes on. They are not published. */
export const packagesIn = (part: string): string => join(part, ".packages")

const tarballIn = (part: string, { package: name, version, size, integrity }: NpmSource): Target => ({
  path: join(packagesIn(part), `${name.replace("/", "+")}-${version}.tgz`),
  size,
  digest: { algorithm: "sha512", encoding: "base64", expected: integrity.slice("sha512-".length) },
})

/** The hash of a complete file that an earlier run left. None if there is none, or if it has other bytes. */
const existing = ({ path, size, digest }: Target) =>
  Effect.promise(async () => {
    const found = await stat(path).catch(() => undefined)
    if (found?.size !== size) return Option.none()
    const hash = await hashFile(path, digest).catch(() => undefined)
    return Option.filter(Option.fromNullable(hash), (hash) => hash === (digest.expected ?? hash))
  })

const onDisk = <A>(path: string, action: () => Promise<A>): Effect.Effect<A, DownloadError> =>
  Effect.tryPromise({
    try: action,
    catch: (cause) => (cause instanceof AttemptFailed ? cause : ofDisk(path, cause)).error,
  })

/** Writes a whole file, if its bytes are those of the manifest. */
const place = (location: Location, { path, size, digest }: Target, bytes: Uint8Array) =>
  onDisk(path, async () => {
    if (bytes.length !== size) throw wrongBytes(location, `has ${bytes.length} bytes instead of ${size}`)
    const hash = await writeWhole(path, bytes, digest)
    if (hash !== (digest.expected ?? hash)) {
      await discard(path)
      throw wrongBytes(location, "has another hash than it should have")
    }
    await complete(path)
    return hash
  })

const fromPackage = Effect.fnUntraced(function* (
  location: Location,
  source: NpmSource,
  tarball: Target,
  target: Target,
  fetchFile: Fetch,
) {
  if (Option.isNone(yield* existing(tarball))) yield* fetchFile(location, tarball)
  const bytes = yield* Effect.tryPromise({
    try: () => readMember(tarball.path, source.path),
    catch: () => wrongBytes(location, "is no tarball").error,
  })
  if (bytes === undefined) {
    return yield* new SourceRefused({
      message: `The package ${basename(tarball.path)} has no file ${source.path}. This is an error of the manifest: please report it.`,
    })
  }
  return yield* place(location, target, bytes)
})

const fromIncluded = (name: string, target: Target) => {
  const path = join(import.meta.dir, "files", name)
  return Effect.flatMap(
    onDisk(path, async () => Bun.zstdDecompressSync(await Bun.file(path).bytes())),
    (bytes) => place(ofFile(path), target, bytes),
  )
}

const fromSource = (source: Source, { origins, part }: Obtaining, target: Target, fetchFile: Fetch) => {
  if ("hub" in source) return fetchFile(ofHub(origins, source.hub), target)
  if ("url" in source) return fetchFile(ofUrl(source.url), target)
  if ("included" in source) return fromIncluded(source.included, target)
  return fromPackage(ofNpm(origins, source.npm), source.npm, tarballIn(part, source.npm), target, fetchFile)
}

const combinable = { SourceUnreachable, SourceRefused, WrongBytes }

/** Keeps what happened at the earlier sources in the message. What is wrong with this machine stands for itself. */
const after = (earlier: ReadonlyArray<string>, error: DownloadError) =>
  error._tag === "DiskFull" || error._tag === "StoreUnusable"
    ? error
    : new combinable[error._tag]({ message: [...earlier, error.message].join(" ") })

/** Tries sources in order. Fails with the last error, or at once if this machine is at fault. */
const fromFirst = (
  sources: ReadonlyArray<Effect.Effect<string, DownloadError>>,
  earlier: ReadonlyArray<string> = [],
): Effect.Effect<string, DownloadError> => {
  const [first, ...more] = sources
  if (first === undefined) return new SourceRefused({ message: earlier.join(" ") })
  return Effect.catchAll(first, (error) =>
    more.length === 0 || error._tag === "DiskFull" || error._tag === "StoreUnusable"
      ? Effect.fail(after(earlier, error))
      : fromFirst(more, [...earlier, error.message]),
  )
}

/** Puts a file into the partial folder, from the first source that has it. Returns its SHA-256. */
export const obtain = Effect.fnUntraced(function* (
  obtaining: Obtaining,
  { path, size, sha256, sources }: ModelFile,
  pinned: string | undefined,
) {
  const { model, part, origins, onProgress, onPause } = obtaining
  const target: Target = {
    path: join(part, path),
    size,
    digest: { algorithm: "sha256", encoding: "hex", expected: sha256 ?? pinned },
  }
  const found = yield* existing(target)
  if (Option.isSome(found)) return found.value
  yield* onDisk(target.path, () => mkdir(dirname(target.path), { recursive: true }))
  const fetchFile: Fetch = (location, target) =>
    Effect.zipRight(
      onDisk(target.path, () => mkdir(dirname(target.path), { recursive: true })),
      download(
        location,
        target,
        (received) => onProgress(basename(target.path), received, target.size),
        (reason, seconds) => onPause(basename(target.path), reason, seconds),
      ),
    )
  return yield* Option.match(origins.from, {
    onNone: () => fromFirst(sources.map((source) => fromSource(source, obtaining, target, fetchFile))),
    onSome: (from) => fetchFile(ofMirror(from, `${model.name}/${model.version}/${path}`), target),
  })
})

/** Bytes that are still to be downloaded or written for a model, at most. */
export const missingBytes = (model: FileModel, part: string, from: Option.Option<string>) =>
  Effect.promise(async () => {
    const sizeAt = (path: string) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      )
    const tarballs = new Map<string, number>()
    let missing = 0
    for (const { path, size, sources } of model.files) {
      const own = join(part, path)
      missing += Math.max(0, size - (await sizeAt(own)) - (await sizeAt(`${own}.download`)))
      const [source] = sources
      if (Option.isNone(from) && "npm" in source)
        tarballs.set(tarballIn(part, source.npm).path, source.npm.size)
    }
    for (const [path, size] of tarballs) {
      missing += Math.max(0, size - (await sizeAt(path)) - (await sizeAt(`${path}.download`)))
    }
    return missing
  })

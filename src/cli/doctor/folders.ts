import { mkdtemp, rm, stat, statfs } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { Effect, Option } from "effect"
import type { Settings } from "../../config.ts"
import { serverFolder } from "../../db/embedded-home.ts"
import { leastSpace } from "../../limits/uploads.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"

interface Folder {
  readonly check: string
  readonly path: string
  /** What is in it, if the name of the check does not say so. */
  readonly holds?: string
  /** Whether the service creates it. */
  readonly isCreated: boolean
  /** Free bytes below which nothing works. */
  readonly minimum: number
  /** Free bytes below which the disk may soon be full. */
  readonly recommended: number
  /** What does not work if it cannot be written to. Absent: the service does not work. */
  readonly without?: string
}

const megabyte = 1024 * 1024

const format = (bytes: number) =>
  bytes < 1024 * megabyte
    ? `${Math.floor(bytes / megabyte)} MB`
    : `${(bytes / megabyte / 1024).toFixed(1)} GB`

/** The folder itself, or the nearest existing parent, in which the service would create it. */
const nearestExisting = async (folder: string): Promise<string> => {
  const found = await stat(folder).catch(() => undefined)
  if (found?.isDirectory() === true) return folder
  if (found !== undefined) throw new Error(`${folder} is a file`)
  return nearestExisting(dirname(folder))
}

/** For TMPDIR, which the service does not create. */
const existing = async (folder: string) => {
  if (!(await stat(folder)).isDirectory()) throw new Error(`${folder} is a file`)
  return folder
}

/** Writes a folder: for root, and on a read-only disk, permissions alone prove nothing. */
const look = async (folder: Folder): Promise<Finding> => {
  const { check, path, holds, isCreated, minimum, recommended } = folder
  const there = await (isCreated ? nearestExisting(path) : existing(path))
  await rm(await mkdtemp(join(there, ".voice-agent-doctor-")), { recursive: true })
  const { bavail, bsize } = await statfs(there)
  const free = bavail * bsize
  const notes = [...(holds === undefined ? [] : [holds]), ...(there === path ? [] : ["will be created"])]
  const found = `${path}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}, ${format(free)} free`
  if (free < minimum)
    return problem(check, found, `Free at least ${format(minimum)} there, or set ${check} to another folder.`)
  if (free < recommended)
    return warning(check, found, `Free up space there: ${format(recommended)} are enough.`)
  return ok(check, found)
}

/** The folder of the models, and that of the embedded database: for root, they are not the same. */
const dataFolders = ({ dataDir, databaseUrl }: Settings["Type"]): ReadonlyArray<Folder> => {
  const models = {
    check: "DATA_DIR",
    path: resolve(dataDir),
    holds: "models",
    isCreated: true,
    minimum: 0,
    recommended: 0,
    without: "models cannot be installed there",
  }
  if (Option.isSome(databaseUrl)) return [models]
  const path = serverFolder(models.path)
  const database = {
    check: "DATA_DIR",
    path,
    holds: path === models.path ? "database and models" : "database",
    isCreated: true,
    // An empty cluster takes 40 MB, and PostgreSQL's WAL up to 1 GB.
    minimum: 100 * megabyte,
    recommended: 2048 * megabyte,
  }
  return path === models.path ? [database] : [database, models]
}

/** The folders that the service writes to. */
export const checkFolders = (settings: Settings["Type"]) => {
  const { maxAudioBytes, uploadSpace, logDir } = settings
  const folders: ReadonlyArray<Folder> = [
    // Without UPLOAD_SPACE_MB, uploads may take half of the free space, and one user half of that.
    {
      check: "TMPDIR",
      path: tmpdir(),
      isCreated: false,
      minimum: Option.getOrElse(uploadSpace, () => 2 * leastSpace(maxAudioBytes)),
      recommended: Option.getOrElse(uploadSpace, () => 8 * leastSpace(maxAudioBytes)),
    },
    ...dataFolders(settings),
    // Two logs of 10 MB, each with five older files.
    ...Option.match(logDir, {
      onNone: () => [],
      onSome: (folder) => [
        {
          check: "LOG_DIR",
          path: resolve(folder),
          isCreated: true,
          minimum: megabyte,
          recommended: 120 * megabyte,
        },
      ],
    }),
  ]
  return Effect.forEach(folders, (folder) =>
    Effect.tryPromise(() => look(folder)).pipe(
      Effect.catchAll(({ error }) => {
        const { check, path, without } = folder
        const found = `${path} cannot be written to: ${messageOf(error)}`
        return Effect.succeed(
          without === undefined
            ? problem(check, found, `Make it writable for this user, or set ${check} to another folder.`)
            : ok(check, `${found}; ${without}`),
        )
      }),
    ),
  )
}

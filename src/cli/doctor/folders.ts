import { mkdtemp, rm, stat, statfs } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { Effect, Option } from "effect"
import type { Settings } from "../../config.ts"
import { serverFolder } from "../../db/embedded-home.ts"
import { leastSpace } from "../../limits/uploads.ts"
import { type Finding, ok, problem, warning, wordsOf } from "./finding.ts"

interface Place {
  readonly check: string
  readonly folder: string
  /** Whether the service makes it where it is missing. */
  readonly isMade: boolean
  /** In bytes: with less free nothing works, and with less it may not for long. */
  readonly least: number
  readonly enough: number
}

const megabyte = 1024 * 1024

const shown = (bytes: number) =>
  bytes < 1024 * megabyte
    ? `${Math.floor(bytes / megabyte)} MB`
    : `${(bytes / megabyte / 1024).toFixed(1)} GB`

/** The folder itself, or the nearest one above it that there is: in that it would be made. */
const nearest = async (folder: string): Promise<string> => {
  const found = await stat(folder).catch(() => undefined)
  if (found?.isDirectory() === true) return folder
  if (found !== undefined) throw new Error(`${folder} is a file`)
  return nearest(dirname(folder))
}

/** Uploads get a folder in TMPDIR, which itself is not made. */
const existing = async (folder: string) => {
  if (!(await stat(folder)).isDirectory()) throw new Error(`${folder} is a file`)
  return folder
}

/** Writes, since permissions alone tell root nothing, and nobody whether the disk is read-only. */
const look = async ({ check, folder, isMade, least, enough }: Place): Promise<Finding> => {
  const there = await (isMade ? nearest(folder) : existing(folder))
  await rm(await mkdtemp(join(there, ".voice-agent-doctor-")), { recursive: true })
  const { bavail, bsize } = await statfs(there)
  const free = bavail * bsize
  const found = `${folder}${there === folder ? "" : " (will be made)"}, ${shown(free)} free`
  if (free < least)
    return problem(check, found, `Make room there, at least ${shown(least)}, or set ${check}.`)
  if (free < enough) return warning(check, found, `Make room there: ${shown(enough)} are enough.`)
  return ok(check, found)
}

/** The folders that the service writes to. */
export const checkPlaces = (settings: Settings["Type"]) => {
  const { maxAudioBytes, uploadSpace, logDir, dataDir, databaseUrl } = settings
  const places: ReadonlyArray<Place> = [
    // Half of what is free is for uploads unless told, and one user may have half of that.
    {
      check: "TMPDIR",
      folder: tmpdir(),
      isMade: false,
      least: Option.getOrElse(uploadSpace, () => 2 * leastSpace(maxAudioBytes)),
      enough: Option.getOrElse(uploadSpace, () => 8 * leastSpace(maxAudioBytes)),
    },
    ...(Option.isSome(databaseUrl)
      ? []
      : [
          // An empty cluster takes 40 MB, and PostgreSQL keeps up to 1 GB of its log.
          {
            check: "DATA_DIR",
            folder: serverFolder(resolve(dataDir)),
            isMade: true,
            least: 100 * megabyte,
            enough: 2048 * megabyte,
          },
        ]),
    // Two logs, each of 10 MB and five older files.
    ...Option.match(logDir, {
      onNone: () => [],
      onSome: (folder) => [
        { check: "LOG_DIR", folder: resolve(folder), isMade: true, least: megabyte, enough: 120 * megabyte },
      ],
    }),
  ]
  return Effect.forEach(places, (place) =>
    Effect.tryPromise(() => look(place)).pipe(
      Effect.catchAll(({ error }) =>
        Effect.succeed(
          problem(
            place.check,
            `${place.folder} can't be written to: ${wordsOf(error)}`,
            `Make it writable for this user, or set ${place.check} to another folder.`,
          ),
        ),
      ),
    ),
  )
}

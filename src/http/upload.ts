import { open } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as FileSystem from "@effect/platform/FileSystem"
import busboy from "busboy"
import { Data, type Duration, Effect, Layer, Option, Schema } from "effect"
import type { Upload } from "../turn/model.ts"
import { BodyBrokeOff, chunksOf, inTime } from "./chunks.ts"
import { AudioTooLarge, UnsupportedMediaType, ValidationFailed } from "./errors.ts"

/** Uploads have nowhere to lie. */
export class TempFolderUnusable extends Schema.TaggedError<TempFolderUnusable>()("TempFolderUnusable", {
  message: Schema.String,
}) {}

/** What a form may hold beside the audio: boundaries, headers, small fields. */
const formBytes = 64 * 1024

const broken = () =>
  new ValidationFailed({ message: "The multipart body is malformed or broke off before its end." })

/** What is ours and no caller's: a full disk, say. */
class NotStored extends Data.TaggedError("NotStored")<{ readonly cause: unknown }> {}

/** The process is in its name, so that a later start knows whose it was. */
const makeFolder = Effect.flatMap(FileSystem.FileSystem, (fs) =>
  fs.makeTempDirectoryScoped({ prefix: `voice-agent-${process.pid}-` }),
)

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It is another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM"
  }
}

/**
 * Removes the folders of processes that were killed. A container gives its process the number that the one before had;
 * what is older than this process is not its own.
 */
const removeOrphans = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  for (const name of yield* fs.readDirectory(tmpdir())) {
    const pid = Number(/^voice-agent-(\d+)-/.exec(name)?.[1])
    if (Number.isNaN(pid)) continue
    const path = `${tmpdir()}/${name}`
    const { mtime } = yield* fs.stat(path)
    const isOlder = Option.exists(mtime, (at) => at.getTime() < performance.timeOrigin)
    if (pid === process.pid ? isOlder : !isAlive(pid)) {
      yield* Effect.ignore(fs.remove(path, { recursive: true, force: true }))
    }
  }
}).pipe(Effect.ignore)

/** Refuses to start where no upload could be taken: a read-only disk, say. */
export const layer = Layer.scopedDiscard(
  Effect.mapError(
    Effect.zipRight(removeOrphans, makeFolder),
    () =>
      new TempFolderUnusable({
        message: `No folder can be made in ${tmpdir()}, where uploads lie while they are worked on: make it writable, or set TMPDIR.`,
      }),
  ).pipe(Effect.scoped),
)

/** The settings of the same names. */
interface UploadSettings {
  readonly maxAudioBytes: number
  readonly uploadTimeout: Duration.Duration
}

/**
 * Writes the form's `audio` into a folder of its own, which goes with the scope, without ever holding it in memory.
 * The rest of a body that is too large is not read.
 */
export const receiveUpload = Effect.fn("receiveUpload")(function* (
  request: Request,
  { maxAudioBytes: maxBytes, uploadTimeout }: UploadSettings,
) {
  const type = request.headers.get("content-type") ?? ""
  if (!/^multipart\/form-data\b/i.test(type)) {
    return yield* new UnsupportedMediaType({ supported: "multipart/form-data with a file named audio" })
  }
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes + formBytes) {
    return yield* new AudioTooLarge({ maxBytes })
  }
  const folder = yield* Effect.orDie(makeFolder)
  const path = `${folder}/upload`
  const form = yield* Effect.tryPromise({
    try: (signal) => readForm({ request, type, path, maxBytes, signal }),
    catch: (error) => {
      if (error instanceof BodyBrokeOff) return broken()
      return error instanceof AudioTooLarge || error instanceof ValidationFailed
        ? error
        : new NotStored({ cause: error })
    },
  }).pipe(
    Effect.catchTag("NotStored", ({ cause }) => Effect.die(cause)),
    inTime(uploadTimeout),
  )
  const upload: Upload = {
    folder,
    path,
    bytes: form.bytes,
    sha256: form.sha256,
  }
  return { upload, sessionId: form.sessionId }
})

interface FormSource {
  readonly request: Request
  readonly type: string
  readonly path: string
  readonly maxBytes: number
  readonly signal: AbortSignal
}

/** It throws where the type names no boundary. */
const openParser = (type: string, limits: busboy.Limits) => {
  try {
    // Without utf8 a file name in another script would be read as Latin-1.
    return busboy({ headers: { "content-type": type }, defParamCharset: "utf8", limits })
  } catch {
    throw broken()
  }
}

/** The parts of a form as they are found; fails as the caller may be told. */
const parseForm = (type: string, onAudio: (chunk: Uint8Array) => void) => {
  const limits = { fields: 20, fieldSize: 1024, files: 20, parts: 40, headerPairs: 100 }
  const found = { sessionId: Option.none<string>(), hasAudio: false }
  const parser = openParser(type, limits)
  const parsed = new Promise<void>((resolve, reject) => {
    // It may fail twice: over what is in the body, and over being dropped before the body's end.
    parser.once("close", resolve).on("error", () => reject(broken()))
    for (const limit of ["partsLimit", "filesLimit", "fieldsLimit"]) {
      parser.once(limit, () => reject(new ValidationFailed({ message: "The form has too many parts." })))
    }
  })
  // Awaited only after the body was read; until then a rejection is not an unhandled one.
  parsed.catch(() => undefined)
  parser.on("field", (name, value) => {
    if (name === "sessionId" && value !== "") found.sessionId = Option.some(value)
  })
  parser.on("file", (name, file) => {
    file.on("error", () => undefined)
    if (name !== "audio" || found.hasAudio) return file.resume()
    found.hasAudio = true
    return file.on("data", onAudio)
  })
  return { parser, parsed, found }
}

const readForm = async ({ request, type, path, maxBytes, signal }: FormSource) => {
  let bytes = 0
  const hash = new Bun.CryptoHasher("sha256")
  const waiting: Array<Uint8Array> = []
  const { parser, parsed, found } = parseForm(type, (chunk) => {
    bytes += chunk.length
    if (bytes > maxBytes) return
    hash.update(chunk)
    waiting.push(chunk)
  })
  const file = await open(path, "w")
  const store = async () => {
    for (const chunk of waiting.splice(0)) await file.writeFile(chunk)
  }
  try {
    let received = 0
    for await (const chunk of chunksOf(request, signal)) {
      received += chunk.length
      parser.write(chunk)
      await store()
      if (bytes > maxBytes || received > maxBytes + formBytes) throw new AudioTooLarge({ maxBytes })
      if (parser.errored !== null || signal.aborted) throw broken()
    }
    parser.end()
    await parsed
    await store()
  } finally {
    parser.destroy()
    await file.close()
  }
  if (bytes > maxBytes) throw new AudioTooLarge({ maxBytes })
  if (!found.hasAudio) throw new ValidationFailed({ message: "Audio file is required" })
  return { bytes, sha256: hash.digest("hex"), sessionId: found.sessionId }
}

import { open } from "node:fs/promises"
import busboy from "busboy"
import { Data, type Duration, Effect, Option } from "effect"
import { Overloaded } from "../limits/admission.ts"
import type { DiskQuota, Uploads } from "../limits/uploads.ts"
import type { UserId } from "../schema.ts"
import { tempFolder } from "../temp-folder.ts"
import type { Upload } from "../turn/input.ts"
import { BodyIncomplete, chunksOf, inTime, type Progress, requireRate } from "./chunks.ts"
import { AudioTooLarge, UnsupportedMediaType, ValidationFailed } from "./errors.ts"

/** Bytes for the rest of the form: boundaries, headers, small fields. */
const formOverhead = 64 * 1024

const malformed = () => new ValidationFailed({ message: "The multipart body is malformed or incomplete." })

/** An internal I/O error (e.g. disk full); becomes a defect. */
class WriteError extends Data.TaggedError("WriteError")<{ readonly cause: unknown }> {}

interface UploadSettings {
  readonly maxAudioBytes: number
  readonly uploadTimeout: Duration.Duration
  readonly uploadMinRate: number
}

interface UploadRequest {
  readonly request: Request
  readonly userId: UserId
}

/**
 * Streams the form's `audio` to a file, in a folder that the scope removes. A body that is too large, or finds no disk
 * space, is not read to its end.
 */
export const receiveUpload = Effect.fn("receiveUpload")(function* (
  { request, userId }: UploadRequest,
  uploads: Uploads["Type"],
  { maxAudioBytes: maxBytes, uploadTimeout, uploadMinRate }: UploadSettings,
) {
  const type = request.headers.get("content-type") ?? ""
  if (!/^multipart\/form-data\b/i.test(type)) {
    return yield* new UnsupportedMediaType({ supported: "multipart/form-data with a file named audio" })
  }
  const contentLength = Number(request.headers.get("content-length") ?? 0)
  if (contentLength > maxBytes + formOverhead) return yield* new AudioTooLarge({ maxBytes })
  // Opened before the folder, so that the space is given back after the files are gone.
  const quota = yield* uploads.openQuota(userId)
  if (!quota.canTake(contentLength)) return yield* quota.refusal
  const folder = yield* Effect.orDie(tempFolder)
  const path = `${folder}/upload`
  const progress = { received: 0 }
  const form = yield* Effect.tryPromise({
    try: (signal) => readForm({ request, type, path, maxBytes, quota, progress, signal }),
    catch: (error) => {
      if (error instanceof BodyIncomplete) return malformed()
      return error instanceof AudioTooLarge ||
        error instanceof ValidationFailed ||
        error instanceof Overloaded
        ? error
        : new WriteError({ cause: error })
    },
  }).pipe(
    Effect.catchTag("WriteError", ({ cause }) => Effect.die(cause)),
    requireRate(progress, uploadMinRate),
    inTime(uploadTimeout),
    (receiving) => Effect.scoped(Effect.zipRight(uploads.arrive(userId), receiving)),
  )
  const upload: Upload = { path, bytes: form.bytes, sha256: form.sha256 }
  return { upload, sessionId: form.sessionId }
})

interface FormSource {
  readonly request: Request
  readonly type: string
  readonly path: string
  readonly maxBytes: number
  readonly quota: DiskQuota
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** Throws if the content type has no boundary. */
const openParser = (type: string, limits: busboy.Limits) => {
  try {
    // The default, Latin-1, garbles a file name in another script.
    return busboy({ headers: { "content-type": type }, defParamCharset: "utf8", limits })
  } catch {
    throw malformed()
  }
}

/** Passes the chunks of the first `audio` file to `onAudio`, and notes the fields. */
const parseForm = (type: string, onAudio: (chunk: Uint8Array) => void) => {
  const limits = { fields: 20, fieldSize: 1024, files: 20, parts: 40, headerPairs: 100 }
  const found = { sessionId: Option.none<string>(), hasAudio: false }
  const parser = openParser(type, limits)
  const parsed = new Promise<void>((resolve, reject) => {
    // There may be a second error, when the parser is destroyed before the end of the body.
    parser.once("close", resolve).on("error", () => reject(malformed()))
    for (const limit of ["partsLimit", "filesLimit", "fieldsLimit"]) {
      parser.once(limit, () => reject(new ValidationFailed({ message: "The form has too many parts." })))
    }
  })
  // It is awaited after the body was read; without this an earlier rejection would count as unhandled.
  parsed.catch(() => undefined)
  parser.on("field", (name, value) => {
    // busboy passes undefined for a field in an unknown charset, in spite of its type.
    if (name === "sessionId" && value) found.sessionId = Option.some(value)
  })
  parser.on("file", (name, file) => {
    file.on("error", () => undefined)
    if (name !== "audio" || found.hasAudio) return file.resume()
    found.hasAudio = true
    return file.on("data", onAudio)
  })
  return { parser, parsed, found }
}

const readForm = async ({ request, type, path, maxBytes, quota, progress, signal }: FormSource) => {
  let bytes = 0
  let hasSpace = true
  const hash = new Bun.CryptoHasher("sha256")
  const unwritten: Array<Uint8Array> = []
  const { parser, parsed, found } = parseForm(type, (chunk) => {
    bytes += chunk.length
    hasSpace = hasSpace && quota.take(chunk.length)
    if (bytes > maxBytes || !hasSpace) return
    hash.update(chunk)
    unwritten.push(chunk)
  })
  const file = await open(path, "w")
  const write = async () => {
    for (const chunk of unwritten.splice(0)) await file.writeFile(chunk)
  }
  try {
    for await (const chunk of chunksOf(request, signal)) {
      progress.received += chunk.length
      parser.write(chunk)
      await write()
      if (bytes > maxBytes || progress.received > maxBytes + formOverhead)
        throw new AudioTooLarge({ maxBytes })
      if (!hasSpace) throw quota.refusal
      if (parser.errored !== null || signal.aborted) throw malformed()
    }
    parser.end()
    await parsed
    await write()
  } finally {
    parser.destroy()
    await file.close()
  }
  if (bytes > maxBytes) throw new AudioTooLarge({ maxBytes })
  if (!found.hasAudio) throw new ValidationFailed({ message: "Audio file is required" })
  return { bytes, sha256: hash.digest("hex"), sessionId: found.sessionId }
}

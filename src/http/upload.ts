import { open } from "node:fs/promises"
import busboy from "busboy"
import { Data, type Duration, Effect, Option } from "effect"
import { Overloaded } from "../limits/admission.ts"
import type { DiskQuota, Uploads } from "../limits/uploads.ts"
import type { UserId } from "../schema.ts"
import { tempFolder } from "../temp-folder.ts"
import type { Upload } from "../turn/model.ts"
import { BodyBrokeOff, chunksOf, inTime, keepsUp, type Progress } from "./chunks.ts"
import { AudioTooLarge, UnsupportedMediaType, ValidationFailed } from "./errors.ts"

/** What a form may hold beside the audio: boundaries, headers, small fields. */
const formBytes = 64 * 1024

const broken = () =>
  new ValidationFailed({ message: "The multipart body is malformed or broke off before its end." })

/** What is ours and no caller's: a full disk, say. */
class NotStored extends Data.TaggedError("NotStored")<{ readonly cause: unknown }> {}

/** The settings of the same names. */
interface UploadSettings {
  readonly maxAudioBytes: number
  readonly uploadTimeout: Duration.Duration
  readonly uploadMinRate: number
}

interface Asked {
  readonly request: Request
  readonly userId: UserId
}

/**
 * Writes the form's `audio` into a folder of its own, which goes with the scope, without ever holding it in memory.
 * The rest of a body that is too large, or for which there is no quota, is not read.
 */
export const receiveUpload = Effect.fn("receiveUpload")(function* (
  { request, userId }: Asked,
  uploads: Uploads["Type"],
  { maxAudioBytes: maxBytes, uploadTimeout, uploadMinRate }: UploadSettings,
) {
  const type = request.headers.get("content-type") ?? ""
  if (!/^multipart\/form-data\b/i.test(type)) {
    return yield* new UnsupportedMediaType({ supported: "multipart/form-data with a file named audio" })
  }
  const announced = Number(request.headers.get("content-length") ?? 0)
  if (announced > maxBytes + formBytes) return yield* new AudioTooLarge({ maxBytes })
  // Before its folder: it is given back when that is gone.
  const quota = yield* uploads.openQuota(userId)
  if (!quota.canTake(announced)) return yield* quota.refusal
  const folder = yield* Effect.orDie(tempFolder)
  const path = `${folder}/upload`
  const progress = { received: 0 }
  const form = yield* Effect.tryPromise({
    try: (signal) => readForm({ request, type, path, maxBytes, quota, progress, signal }),
    catch: (error) => {
      if (error instanceof BodyBrokeOff) return broken()
      return error instanceof AudioTooLarge ||
        error instanceof ValidationFailed ||
        error instanceof Overloaded
        ? error
        : new NotStored({ cause: error })
    },
  }).pipe(
    Effect.catchTag("NotStored", ({ cause }) => Effect.die(cause)),
    keepsUp(progress, uploadMinRate),
    inTime(uploadTimeout),
    (arriving) => Effect.scoped(Effect.zipRight(uploads.arrive(userId), arriving)),
  )
  const upload: Upload = {
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
  readonly quota: DiskQuota
  readonly progress: Progress
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

const readForm = async ({ request, type, path, maxBytes, quota, progress, signal }: FormSource) => {
  let bytes = 0
  let fits = true
  const hash = new Bun.CryptoHasher("sha256")
  const waiting: Array<Uint8Array> = []
  const { parser, parsed, found } = parseForm(type, (chunk) => {
    bytes += chunk.length
    fits = fits && quota.take(chunk.length)
    if (bytes > maxBytes || !fits) return
    hash.update(chunk)
    waiting.push(chunk)
  })
  const file = await open(path, "w")
  const store = async () => {
    for (const chunk of waiting.splice(0)) await file.writeFile(chunk)
  }
  try {
    for await (const chunk of chunksOf(request, signal)) {
      progress.received += chunk.length
      parser.write(chunk)
      await store()
      if (bytes > maxBytes || progress.received > maxBytes + formBytes) throw new AudioTooLarge({ maxBytes })
      if (!fits) throw quota.refusal
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

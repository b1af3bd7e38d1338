import { type FileHandle, open } from "node:fs/promises"
import { Data, type Duration, Effect, Option } from "effect"
import { Overloaded } from "../limits/admission.ts"
import type { DiskQuota, Uploads } from "../limits/uploads.ts"
import type { UserId } from "../schema.ts"
import { tempFolder } from "../temp-folder.ts"
import type { Upload } from "../turn/input.ts"
import { requireIdentity } from "./body.ts"
import { BodyIncomplete, chunksOf, inTime, type Progress, requireRate } from "./chunks.ts"
import { AudioTooLarge, UnsupportedMediaType, ValidationFailed } from "./errors.ts"
import { type Form, makeFormParser, malformedForm } from "./form.ts"

/** Bytes for the rest of the form: boundaries, headers, small fields. */
const formOverhead = 64 * 1024

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
 * Streams the form's part `audio` to a file, whatever its file name and type, in a folder that the scope removes. A body
 * that is too large, or finds no disk space, is not read to its end.
 */
export const receiveUpload = Effect.fn("receiveUpload")(function* (
  { request, userId }: UploadRequest,
  uploads: Uploads["Type"],
  { maxAudioBytes: maxBytes, uploadTimeout, uploadMinRate }: UploadSettings,
) {
  const type = request.headers.get("content-type") ?? ""
  if (!/^multipart\/form-data\b/i.test(type)) {
    return yield* new UnsupportedMediaType({
      supported:
        "multipart/form-data with the recording in the field audio, as curl -F audio=@question.wav sends it",
    })
  }
  yield* requireIdentity(request)
  const contentLength = Number(request.headers.get("content-length") ?? 0)
  if (contentLength > maxBytes + formOverhead) return yield* new AudioTooLarge({ maxBytes })
  // Opened before the folder, so that the space is given back after the files are gone.
  const quota = yield* uploads.openQuota(userId)
  if (!quota.canTake(contentLength)) return yield* quota.refusal
  const folder = yield* Effect.orDie(tempFolder)
  const path = `${folder}/upload`
  const progress = { received: 0 }
  const receive = (file: FileHandle) =>
    Effect.tryPromise({
      try: (signal) => readForm({ request, type, file, maxBytes, quota, progress, signal }),
      catch: (error) => {
        if (error instanceof BodyIncomplete) return malformedForm()
        return error instanceof AudioTooLarge ||
          error instanceof ValidationFailed ||
          error instanceof Overloaded
          ? error
          : new WriteError({ cause: error })
      },
    })
  // Closed by its scope: Bun ends the process if it collects an open file.
  const form = yield* Effect.acquireUseRelease(
    Effect.promise(() => open(path, "w")),
    receive,
    (file) => Effect.promise(() => file.close()),
  ).pipe(
    Effect.catchTag("WriteError", ({ cause }) => Effect.die(cause)),
    requireRate(progress, uploadMinRate),
    inTime(uploadTimeout),
    (receiving) => Effect.scoped(Effect.zipRight(uploads.arrive(userId), receiving)),
  )
  const upload: Upload = { path, bytes: form.bytes, sha256: form.sha256 }
  return { upload, sessionId: form.sessionId, agentId: form.agentId }
})

interface FormSource {
  readonly request: Request
  readonly type: string
  readonly file: FileHandle
  readonly maxBytes: number
  readonly quota: DiskQuota
  readonly progress: Progress
  readonly signal: AbortSignal
}

/** A data URL, or the first bytes of WAV, MP3, WebM, OGG, FLAC and MP4 in base64. No recording starts like this. */
const BASE64 = /^(?:data:[^,]{0,100};base64,|UklGR|SUQz|\/\/[u-z]|GkXfo|T2dnU|ZkxhQ|AAAA[A-Za-z0-9+/]{2}Z0eX)/

/** Characters of a recording that BASE64 needs. */
const startLength = 128

const base64 = new ValidationFailed({
  message: "audio: this is base64. Send the bytes of the recording as they are, in a multipart part.",
})

/** Throws unless the form has a recording, as bytes. */
const requireAudio = ({ audio, hasOtherField }: Form, start: string, bytes: number) => {
  if (BASE64.test(start)) throw base64
  // An empty part without a file name is a file input without a file.
  if (Option.exists(audio, ({ hasFileName }) => hasFileName || bytes > 0)) return
  const hint = hasOtherField ? `. Name its field "audio".` : ""
  throw new ValidationFailed({ message: `Audio file is required${hint}` })
}

const readForm = async ({ request, type, file, maxBytes, quota, progress, signal }: FormSource) => {
  let bytes = 0
  let hasSpace = true
  let start = ""
  const hash = new Bun.CryptoHasher("sha256")
  const unwritten: Array<Uint8Array> = []
  const parser = makeFormParser(type, (piece) => {
    bytes += piece.length
    hasSpace = hasSpace && quota.take(piece.length)
    if (bytes > maxBytes || !hasSpace) return
    if (start.length < startLength) start += Buffer.from(piece.subarray(0, startLength)).toString("latin1")
    hash.update(piece)
    unwritten.push(piece)
  })
  const flush = async () => {
    for (const piece of unwritten.splice(0)) await file.writeFile(piece)
    if (bytes > maxBytes || progress.received > maxBytes + formOverhead) throw new AudioTooLarge({ maxBytes })
    if (!hasSpace) throw quota.refusal
    if (signal.aborted) throw malformedForm()
  }
  for await (const chunk of chunksOf(request, signal)) {
    progress.received += chunk.length
    await parser.write(chunk)
    await flush()
  }
  const form = await parser.end()
  await flush()
  requireAudio(form, start, bytes)
  return { bytes, sha256: hash.digest("hex"), sessionId: form.sessionId, agentId: form.agentId }
}

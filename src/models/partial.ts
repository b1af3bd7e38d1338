import { open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises"
import { dirname, join } from "node:path"
import { type HashFormat, hashInto } from "../hash.ts"
import { ofDisk } from "./attempt.ts"

/** A hash that a file must have. */
export interface Digest extends HashFormat {
  /** Undefined if it is not known yet. */
  readonly expected: string | undefined
}

/** A file that is being downloaded: `PATH.download`, and `PATH.etag` with the URL and ETag that it has its bytes from. */
const names = (path: string) => ({ part: `${path}.download`, etag: `${path}.etag` })

/** What is kept of an earlier attempt. */
export interface Kept {
  /** Bytes. */
  readonly size: number
  /** Of the server that sent them. */
  readonly etag: string | undefined
}

const nothing: Kept = { size: 0, etag: undefined }

/** Runs an action on the disk. Throws AttemptFailed. */
const onDisk = async <A>(path: string, action: () => Promise<A>): Promise<A> => {
  try {
    return await action()
  } catch (cause) {
    throw ofDisk(path, cause)
  }
}

/**
 * What is kept of a file. Bytes of unknown origin can be used only if the hash of the whole is known: it tells whether
 * they fit.
 */
export const findKept = async (path: string, url: string, size: number, digest: Digest): Promise<Kept> => {
  const { part, etag } = names(path)
  const kept = await stat(part).catch(() => undefined)
  if (kept === undefined || kept.size > size) return nothing
  const [from, tag] = (await readFile(etag, "utf8").catch(() => "")).split("\n")
  if (from === url && tag) return { size: kept.size, etag: tag }
  return digest.expected === undefined ? nothing : { size: kept.size, etag: undefined }
}

/** A file that is being written, and hashed while it is. */
export interface Writer {
  readonly write: (chunk: Uint8Array) => Promise<void>
  /** Flushes the file to the disk, closes it, and returns its hash. */
  readonly finish: () => Promise<string>
  /** Closes the file. It may be called twice. */
  readonly close: () => Promise<void>
}

/** Opens a partial file behind its first `kept` bytes, which are hashed; the rest is cut off. Rejects with AttemptFailed. */
export const openWriter = (path: string, kept: number, digest: Digest): Promise<Writer> =>
  onDisk(path, async () => {
    const { part } = names(path)
    const hasher = new Bun.CryptoHasher(digest.algorithm)
    const file = await open(part, kept > 0 ? "r+" : "w")
    try {
      if (kept > 0) {
        await file.truncate(kept)
        await hashInto(hasher, part)
      }
    } catch (cause) {
      await file.close()
      throw cause
    }
    let at = kept
    let isOpen = true
    const close = async () => {
      if (!isOpen) return
      isOpen = false
      await file.close()
    }
    return {
      write: (chunk) =>
        onDisk(path, async () => {
          hasher.update(chunk)
          for (let done = 0; done < chunk.length; ) {
            const { bytesWritten } = await file.write(chunk, done, chunk.length - done, at)
            done += bytesWritten
            at += bytesWritten
          }
        }),
      finish: () =>
        onDisk(path, async () => {
          await file.sync()
          await close()
          return hasher.digest(digest.encoding)
        }),
      close,
    }
  })

/** Notes where the bytes of a partial file come from. A weak ETag does not identify bytes, so it is not kept. */
export const noteOrigin = (path: string, url: string, etag: string | null): Promise<void> =>
  onDisk(path, async () => {
    const file = names(path).etag
    if (etag?.startsWith('"') === true) await Bun.write(file, `${url}\n${etag}`)
    else await rm(file, { force: true })
  })

/** Deletes what is kept of a file. */
export const discard = async (path: string): Promise<void> => {
  const { part, etag } = names(path)
  await onDisk(path, () => Promise.all([rm(part, { force: true }), rm(etag, { force: true })]))
}

const partEnding = names("").part

/** Removes the empty folders of a partial model, and the files that no byte has arrived for. Ignores failures. */
export const removeEmpty = async (folder: string): Promise<void> => {
  for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await removeEmpty(path)
    else if (path.endsWith(partEnding) && (await stat(path)).size === 0) {
      await discard(path.slice(0, -partEnding.length)).catch(() => undefined)
    }
  }
  // Refused for a folder that holds something.
  await rmdir(folder).catch(() => undefined)
}

/** Gives a complete file its name. */
export const complete = (path: string): Promise<void> =>
  onDisk(path, async () => {
    const { part, etag } = names(path)
    await rename(part, path)
    await rm(etag, { force: true })
    await syncFolder(dirname(path))
  })

/** Writes a whole file as a partial one, and returns its hash. Rejects with AttemptFailed. */
export const writeWhole = async (path: string, bytes: Uint8Array, digest: Digest): Promise<string> => {
  const writer = await openWriter(path, 0, digest)
  try {
    await writer.write(bytes)
    return await writer.finish()
  } finally {
    await writer.close()
  }
}

/** Makes the names in a folder survive a power cut. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

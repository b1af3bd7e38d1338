/** Text that follows samples: a server that breaks off sends an error object as the last bytes of its answer. */

/** The most text that is kept, in bytes. Error objects are shorter. */
const MAX_TEXT_BYTES = 64 * 1024
/** Below this, samples look like the start of an object by chance. */
const LEAST_TEXT_BYTES = 12

const isTextByte = (byte: number) =>
  byte >= 0x80 ? byte < 0xf5 : (byte >= 0x20 && byte !== 0x7f) || (byte >= 9 && byte <= 13)

/** The start of a JSON object or list of objects, or of a document of HTML or XML. */
const textStart = /\{\s*"[^"]*"\s*:|<(?:!doctype|html|\?xml|error)\b/i

/** The same, where the last bytes of the pattern may be missing. */
const mayStart = /\{\s*(?:$|"[^"]*(?:$|"\s*(?:$|:)))|<[!?]?[a-z]{0,7}$|<(?:!doctype|html|\?xml|error)\b/i

/** Where the text starts that these last bytes end with. Undefined if they are samples. */
const textAt = (tail: Buffer): number | undefined => {
  const at = tail.toString("latin1").search(textStart)
  if (at < 0 || tail.length - at < LEAST_TEXT_BYTES) return undefined
  return tail.subarray(at).toString("utf8").includes("\ufffd") ? undefined : at
}

/**
 * Separates samples from the text at their end. `push` returns what is certainly not part of it; `end` returns the rest
 * of the samples, and the text. Only what may be the start of such text is held back.
 */
export const makeTextTail = () => {
  let held: Buffer = Buffer.alloc(0)
  return {
    push: (chunk: Uint8Array): Uint8Array => {
      const data = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk])
      let from = data.length
      while (from > 0 && isTextByte(data[from - 1] ?? 0)) from -= 1
      from = Math.max(from, data.length - MAX_TEXT_BYTES)
      const start = data.toString("latin1", from).search(mayStart)
      const at = start < 0 ? data.length : from + start
      held = data.subarray(at)
      return data.subarray(0, at)
    },
    end: (): { readonly samples: Uint8Array; readonly text: Uint8Array } => {
      const at = textAt(held) ?? held.length
      return { samples: held.subarray(0, at), text: held.subarray(at) }
    },
  }
}

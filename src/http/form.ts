/** Forms (RFC 7578) are parsed by @fastify/busboy: docs/decisions/libraries-in-http.md#forms. */
import { MIMEType } from "node:util"
import { Busboy } from "@fastify/busboy"
import { Option } from "effect"
import { ValidationFailed } from "./errors.ts"
import { makePaddingRemover } from "./transport-padding.ts"

/** Of a form. A turn has two parts. Bytes beyond `fieldSize` and `headerSize` are dropped. */
const limits = { parts: 40, files: 1, fieldSize: 1024, headerSize: 16 * 1024 }

/** Bytes that are parsed at once. The library makes a stream of every part, even beyond the limit of parts. */
const pieceBytes = 64 * 1024

const byClient = "Do not set the Content-Type header by hand: the HTTP client sets it, with the boundary."

export const malformedForm = (): ValidationFailed =>
  new ValidationFailed({ message: "The multipart body is malformed or incomplete." })

const malformedBoundary = new ValidationFailed({
  message: `The multipart body is malformed: its Content-Type has no valid boundary. ${byClient}`,
})
const noPart = new ValidationFailed({
  message: `The multipart body is malformed or incomplete: it contains no complete part with the boundary of its Content-Type. ${byClient}`,
})
const tooManyParts = new ValidationFailed({ message: "The form has too many parts." })

/** Clients send recordings with a type and no file name, or with neither. */
const isPartAFile = (name: string | undefined) => name === "audio"

/**
 * Parts never pause the parser: they are passed on as they are parsed, and the caller of `write` waits for the disk. A
 * paused parser never ends if the form ends in the same chunk as a part that it skips (3.2.6).
 */
const fileHwm = Number.MAX_SAFE_INTEGER

/**
 * The parser, and what removes the white space that it does not take. Undefined without a boundary, or with one that is longer
 * than the library takes (252 bytes).
 */
const makeBusboy = (type: string) => {
  try {
    const parsed = new MIMEType(type)
    // With an empty boundary the library would look for the dashes alone.
    const boundary = parsed.params.get("boundary")
    if (!boundary) return undefined
    const headers = { "content-type": parsed.toString() }
    return {
      busboy: new Busboy({ headers, isPartAFile, limits, fileHwm }),
      withoutPadding: makePaddingRemover(boundary),
    }
  } catch {
    return undefined
  }
}

export interface Form {
  readonly sessionId: Option.Option<string>
  readonly agentId: Option.Option<string>
  /** The first part named audio. */
  readonly audio: Option.Option<{ readonly hasFileName: boolean }>
  readonly hasOtherField: boolean
}

/**
 * Parses the form of this Content-Type. `onAudio` receives the content of the first part named audio, during `write` and
 * `end`. Write one chunk at a time.
 *
 * Throws ValidationFailed without a boundary. `write` rejects with it after too many parts, `end` without a last boundary.
 */
export const makeFormParser = (type: string, onAudio: (piece: Uint8Array) => void) => {
  const made = makeBusboy(type)
  if (made === undefined) throw malformedBoundary
  const { busboy, withoutPadding } = made
  let form: Form = {
    sessionId: Option.none(),
    agentId: Option.none(),
    audio: Option.none(),
    hasOtherField: false,
  }
  let hasPart = false
  let hasTooManyParts = false
  busboy.on("file", (_, content, fileName) => {
    hasPart = true
    // Undefined without a file name, whatever its type says.
    form = { ...form, audio: Option.some({ hasFileName: Boolean(fileName) }) }
    content.on("data", onAudio)
    // The form emits an error too if this part is incomplete. Without a listener the error would end the process.
    content.on("error", () => undefined)
  })
  busboy.on("field", (name, value) => {
    hasPart = true
    const given = Option.liftPredicate(value, (id) => id !== "")
    if (name === "sessionId") form = { ...form, sessionId: given }
    else if (name === "agentId") form = { ...form, agentId: given }
    else form = { ...form, hasOtherField: true }
  })
  busboy.on("partsLimit", () => {
    hasTooManyParts = true
  })
  // Before `end`, since a form finishes at its last boundary.
  const isComplete = new Promise<boolean>((resolve) => {
    busboy.on("finish", () => resolve(true))
    busboy.on("error", () => resolve(false))
  })
  return {
    write: async (chunk: Uint8Array): Promise<void> => {
      for (let at = 0; at < chunk.length; at += pieceBytes) {
        for (const piece of withoutPadding(chunk.subarray(at, at + pieceBytes)))
          await new Promise<void>((resolve) => busboy.write(piece, () => resolve()))
        if (hasTooManyParts) throw tooManyParts
      }
    },
    end: async (): Promise<Form> => {
      busboy.end()
      if (await isComplete) return form
      throw hasPart ? malformedForm() : noPart
    },
  }
}

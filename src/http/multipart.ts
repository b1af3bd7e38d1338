/** A streaming parser of multipart/form-data (RFC 7578). docs/decisions/multipart.md says why it is our own. */
import { ValidationFailed } from "./errors.ts"

/** Parts of a form. A turn has two. */
const maxParts = 40
/** Bytes of a part's headers, Node's limit for the headers of a request. */
const maxHeadBytes = 16 * 1024

const byClient = "Do not set the Content-Type header by hand: the HTTP client sets it, with the boundary."

export const malformedForm = (): ValidationFailed =>
  new ValidationFailed({ message: "The multipart body is malformed or incomplete." })

const malformedBoundary = new ValidationFailed({
  message: `The multipart body is malformed: its Content-Type has no valid boundary. ${byClient}`,
})
const otherBoundary = new ValidationFailed({
  message: `The multipart body is malformed: it does not contain the boundary of its Content-Type. ${byClient}`,
})
const tooManyParts = new ValidationFailed({ message: "The form has too many parts." })

const PARAMETER = /\s*;\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~\w-]+))\s*/y

/** The parameters of a header value, from `at` on, by lower-case name. Undefined if one is malformed. */
const parametersOf = (value: string, at: number): ReadonlyMap<string, string> | undefined => {
  const found = new Map<string, string>()
  PARAMETER.lastIndex = at
  for (let end = at; /[^\s;]/.test(value.slice(end)); end = PARAMETER.lastIndex) {
    const match = PARAMETER.exec(value)
    if (match === null) return undefined
    const [, name = "", quoted, token = ""] = match
    const key = name.toLowerCase()
    if (!found.has(key)) found.set(key, quoted?.replace(/\\(.)/g, "$1") ?? token)
  }
  return found
}

export interface PartHead {
  /** The name of the field. "" for a part that is no field of a form. */
  readonly name: string
  readonly hasFileName: boolean
}

/** Throws for a head that is not made of header lines, or has a control character. */
const headOf = (bytes: Buffer): PartHead => {
  const text = bytes.toString("utf8").replace(/\r\n[ \t]+/g, " ")
  let head: PartHead = { name: "", hasFileName: false }
  for (const line of text.split("\r\n")) {
    const match = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*((?:[^\p{Cc}]|\t)*)$/u.exec(line)
    if (match === null) throw malformedForm()
    const [, name = "", value = ""] = match
    if (name.toLowerCase() !== "content-disposition" || head.name !== "") continue
    const parameters = /^form-data\b/i.test(value) ? parametersOf(value, "form-data".length) : undefined
    head = {
      name: parameters?.get("name") ?? "",
      hasFileName: (parameters?.get("filename") ?? parameters?.get("filename*") ?? "") !== "",
    }
  }
  return head
}

type State = "content" | "delimiter" | "head" | "end"

/** Receives the content of a part, in pieces. Undefined for content that is dropped. */
type Receive = ((piece: Uint8Array) => void) | undefined

/**
 * Parses the form of this Content-Type. `onPart` returns who receives a part. A part with a file name, a type or neither
 * is the same here: clients differ in what they send. Holds at most 16 KB, the headers of one part.
 *
 * Throws ValidationFailed without a boundary; so do `push` and `end` for a malformed body.
 */
export const makeFormParser = (contentType: string, onPart: (head: PartHead) => Receive) => {
  const type = /^\s*multipart\/form-data/i.exec(contentType)?.[0] ?? ""
  const boundary = parametersOf(contentType, type.length)?.get("boundary") ?? ""
  if (boundary === "") throw malformedBoundary
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  let state: State = "content"
  let parts = 0
  let receive: Receive
  // Text before the first part is dropped content. The first delimiter may start the body.
  let rest: Buffer = Buffer.from("\r\n")

  /** Each consumes `rest` as far as it can. False if it needs more bytes. */
  const steps: Record<State, () => boolean> = {
    content: () => {
      const at = rest.indexOf(delimiter)
      const known = at < 0 ? Math.max(0, rest.length - delimiter.length + 1) : at
      if (known > 0) receive?.(rest.subarray(0, known))
      rest = rest.subarray(at < 0 ? known : at + delimiter.length)
      if (at >= 0) state = "delimiter"
      return at >= 0
    },
    delimiter: () => {
      if (rest.length < 2) return false
      const mark = rest.toString("latin1", 0, 2)
      if (mark !== "--" && mark !== "\r\n") throw malformedForm()
      rest = rest.subarray(2)
      state = mark === "--" ? "end" : "head"
      if (state === "head") parts += 1
      if (parts > maxParts) throw tooManyParts
      return true
    },
    head: () => {
      const at = rest.indexOf("\r\n\r\n")
      if (at > maxHeadBytes || (at < 0 && rest.length > maxHeadBytes)) throw malformedForm()
      if (at < 0) return false
      receive = onPart(headOf(rest.subarray(0, at)))
      rest = rest.subarray(at + 4)
      state = "content"
      return true
    },
    end: () => {
      rest = Buffer.alloc(0)
      return false
    },
  }

  return {
    push: (chunk: Uint8Array): void => {
      rest =
        rest.length === 0
          ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
          : Buffer.concat([rest, chunk])
      while (steps[state]()) {}
    },
    /** Throws unless the last delimiter was there. */
    end: (): void => {
      if (state === "end") return
      throw parts === 0 && state === "content" ? otherBoundary : malformedForm()
    },
  }
}

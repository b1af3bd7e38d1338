import { Option } from "effect"

/** Deeper documents are not read: every walk over a document may be recursive. Real answers have at most ten levels. */
const MAX_DEPTH = 64

const QUOTE = 34
const BACKSLASH = 92
const isOpening = (code: number) => code === 91 || code === 123
const isClosing = (code: number) => code === 93 || code === 125

/** Counts the levels of JSON that comes in pieces. Linear, without recursion. */
export const makeJsonDepth = () => {
  let depth = 0
  let isString = false
  let isEscape = false
  return {
    /** The deepest level of this piece. */
    push: (text: string): number => {
      let deepest = depth
      for (let at = 0; at < text.length; at += 1) {
        const code = text.charCodeAt(at)
        if (isEscape) isEscape = false
        else if (isString && code === BACKSLASH) isEscape = true
        else if (code === QUOTE) isString = !isString
        else if (isString) continue
        else if (isOpening(code)) depth += 1
        else if (isClosing(code)) depth -= 1
        deepest = Math.max(deepest, depth)
      }
      return deepest
    },
    /** True if all that was opened is closed again. */
    isClosed: () => depth <= 0 && !isString,
  }
}

/** Whether the text has more than `most` of these characters. */
const hasMoreThan = (most: number, character: string, text: string) => {
  let at = -1
  for (let count = 0; count <= most; count += 1) {
    at = text.indexOf(character, at + 1)
    if (at < 0) return false
  }
  return true
}

/** True for JSON with more than 64 levels of lists and objects. Few brackets, as in one event of a model, make few levels. */
export const isTooDeep = (json: string): boolean =>
  (hasMoreThan(MAX_DEPTH / 2, "{", json) || hasMoreThan(MAX_DEPTH / 2, "[", json)) &&
  makeJsonDepth().push(json) > MAX_DEPTH

const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** None: the text is not JSON, or has more than 64 levels. */
export const parseJson = (text: string): Option.Option<unknown> =>
  isTooDeep(text) ? Option.none() : parse(text)

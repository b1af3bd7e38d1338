import { Option } from "effect"

/** Deeper documents are not read: every walk over a document may be recursive. Real answers have at most ten levels. */
const MAX_DEPTH = 64

const QUOTE = 34
const BACKSLASH = 92
const OPENING = [91, 123]
const CLOSING = [93, 125]

/** True for JSON with more than 64 levels of lists and objects. Linear, without recursion. */
export const isTooDeep = (json: string): boolean => {
  let depth = 0
  let isString = false
  for (let at = 0; at < json.length; at += 1) {
    const code = json.charCodeAt(at)
    if (isString && code === BACKSLASH) at += 1
    else if (code === QUOTE) isString = !isString
    else if (isString) continue
    else if (OPENING.includes(code)) depth += 1
    else if (CLOSING.includes(code)) depth -= 1
    if (depth > MAX_DEPTH) return true
  }
  return false
}

const parse = Option.liftThrowable((text: string): unknown => JSON.parse(text))

/** None: the text is not JSON, or has more than 64 levels. */
export const parseJson = (text: string): Option.Option<unknown> =>
  isTooDeep(text) ? Option.none() : parse(text)

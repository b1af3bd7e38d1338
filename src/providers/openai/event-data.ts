import { Option } from "effect"
import { makeJsonDepth, parseJson } from "../json.ts"

/** UTF-16 units of the longest event that is a number or a word of JSON. */
const MAX_SCALAR = 64

/**
 * Reads the `data` of server-sent events. The SDK's reader hides what matters here: whether `[DONE]` came, and the error
 * objects' own fields.
 */
export const makeEventData = () => {
  /** The pieces of the last line. */
  let incomplete: Array<string> = []
  /** True after a CR at the end of the text: a LF that follows belongs to it. */
  let isAfterCr = false
  let data: string | undefined
  /** How much of `data` `depth` has seen, in UTF-16 units. */
  let seen = 0
  let depth = makeJsonDepth()
  let whole: Array<string> = []

  const dispatch = () => {
    if (data !== undefined) whole.push(data)
    if (seen > 0) depth = makeJsonDepth()
    data = undefined
    seen = 0
  }

  /** By its brackets, as the lines arrive: to parse it after each line would take quadratic time. */
  const isWhole = (json: string) => {
    if (!/^\s*[{[]/.test(json)) return json.length <= MAX_SCALAR && Option.isSome(parseJson(json))
    depth.push(json.slice(seen))
    seen = json.length
    return depth.isClosed()
  }

  const readLine = (line: string) => {
    if (line === "") return dispatch()
    if (!line.startsWith("data:")) return
    const value = line.slice(line.startsWith("data: ") ? 6 : 5)
    // Some servers send no blank line between their events.
    if (data !== undefined && isWhole(data)) dispatch()
    data = data === undefined ? value : `${data}\n${value}`
  }

  /** The whole line that ends with `end`. Its pieces are joined once: a line of megabytes comes in a thousand of them. */
  const takeLine = (end: string) => {
    const line = incomplete.length === 0 ? end : incomplete.join("") + end
    incomplete = []
    return line
  }

  const takeWhole = (): ReadonlyArray<string> => {
    const taken = whole
    whole = []
    return taken
  }

  return {
    /** The events that `text` completes. */
    push: (text: string) => {
      if (text === "") return takeWhole()
      const lines = (isAfterCr && text.startsWith("\n") ? text.slice(1) : text).split(/\r\n|\n|\r/)
      isAfterCr = text.endsWith("\r")
      const last = lines.pop() ?? ""
      for (const line of lines) readLine(takeLine(line))
      if (last !== "") incomplete.push(last)
      return takeWhole()
    },
    /** The last event may lack its blank line. */
    finish: () => {
      readLine(takeLine(""))
      dispatch()
      return takeWhole()
    },
  }
}

import { Either } from "effect"

const isJson = (text: string) => Either.isRight(Either.try((): unknown => JSON.parse(text)))

/**
 * Reads the `data` of server-sent events. The SDK's reader hides what matters here: whether `[DONE]` came, and the error
 * objects' own fields.
 */
export const makeEventData = () => {
  let incomplete = ""
  let data: string | undefined
  let whole: Array<string> = []

  const dispatch = () => {
    if (data !== undefined) whole.push(data)
    data = undefined
  }

  const readLine = (line: string) => {
    if (line === "") return dispatch()
    if (!line.startsWith("data:")) return
    const value = line.slice(line.startsWith("data: ") ? 6 : 5)
    // Some servers send no blank line between their events.
    if (data !== undefined && isJson(data)) dispatch()
    data = data === undefined ? value : `${data}\n${value}`
  }

  const takeWhole = (): ReadonlyArray<string> => {
    const taken = whole
    whole = []
    return taken
  }

  return {
    /** The events that `text` completes. */
    push: (text: string) => {
      const lines = (incomplete + text).split(/\r\n|\n|\r/)
      incomplete = lines.pop() ?? ""
      for (const line of lines) readLine(line)
      return takeWhole()
    },
    /** The last event may lack its blank line. */
    finish: () => {
      readLine(incomplete)
      dispatch()
      return takeWhole()
    },
  }
}

import { Either } from "effect"

const isJson = (text: string) => Either.isRight(Either.try((): unknown => JSON.parse(text)))

/**
 * Reads the `data` of server-sent events. The SDK's reader hides what matters here: whether `[DONE]` came, and the error
 * objects' own fields.
 */
export const makeEventData = (onData: (data: string) => void) => {
  let incomplete = ""
  let data: string | undefined

  const dispatch = () => {
    const whole = data
    data = undefined
    if (whole !== undefined) onData(whole)
  }

  const readLine = (line: string) => {
    if (line === "") return dispatch()
    if (!line.startsWith("data:")) return
    const value = line.slice(line.startsWith("data: ") ? 6 : 5)
    // Some servers send no blank line between their events.
    if (data !== undefined && isJson(data)) dispatch()
    data = data === undefined ? value : `${data}\n${value}`
  }

  return {
    push: (text: string) => {
      const lines = (incomplete + text).split(/\r\n|\n|\r/)
      incomplete = lines.pop() ?? ""
      for (const line of lines) readLine(line)
    },
    /** The last event may lack its blank line. */
    finish: () => {
      readLine(incomplete)
      dispatch()
    },
  }
}

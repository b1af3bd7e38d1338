/** A parser of server-sent events, as in the HTML standard, section 9.2.6 ("Interpreting an event stream"). */

export interface ServerEvent {
  /** "message" by default. */
  readonly event: string
  readonly data: string
  /** The last id in the stream. Empty before the first. */
  readonly id: string
}

/**
 * Takes the text in chunks of any size. Calls `onEvent` at the empty line that ends an event. An event without one at
 * the end of the stream is dropped, as the standard demands.
 */
export const makeEventParser = (onEvent: (event: ServerEvent) => void): ((text: string) => void) => {
  let rest = ""
  let isFirst = true
  let endsInReturn = false
  let name = ""
  let data: Array<string> = []
  let id = ""

  const dispatch = () => {
    if (data.length > 0) onEvent({ event: name === "" ? "message" : name, data: data.join("\n"), id })
    name = ""
    data = []
  }

  const readLine = (line: string) => {
    if (line === "") return dispatch()
    const colon = line.indexOf(":")
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "event") name = value
    if (field === "data") data.push(value)
    if (field === "id" && !value.includes("\0")) id = value
  }

  return (text) => {
    if (text === "") return
    // The previous chunk ended with the carriage return of this CRLF, which has ended the line already.
    let fresh = endsInReturn && text.startsWith("\n") ? text.slice(1) : text
    endsInReturn = text.endsWith("\r")
    if (isFirst) fresh = fresh.replace(/^\ufeff/, "")
    isFirst = false
    // Only the new text is scanned, so that a long line costs the same in many chunks as in one.
    let [head = "", ...more] = fresh.split(/\r\n|\r|\n/)
    for (const next of more) {
      readLine(rest + head)
      rest = ""
      head = next
    }
    rest += head
  }
}

/** The events of a stream of text. */
export async function* eventsOf(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent, void, void> {
  const found: Array<ServerEvent> = []
  const push = makeEventParser((event) => found.push(event))
  for await (const chunk of chunks) {
    push(chunk)
    yield* found.splice(0)
  }
}

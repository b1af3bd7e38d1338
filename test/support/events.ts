/** Reads server-sent events as a browser does (the HTML standard, "parsing an event stream"). */

export interface ServerSentEvent {
  readonly id: string
  readonly event: string
  /** Parsed JSON. */
  readonly data: unknown
}

const LINE_FEED = 10

const field = (line: string): readonly [name: string, value: string] => {
  const colon = line.indexOf(":")
  if (colon < 0) return [line, ""]
  const value = line.slice(colon + 1)
  return [line.slice(0, colon), value.startsWith(" ") ? value.slice(1) : value]
}

/** Lines end with CRLF, LF or CR. An event without its empty line is incomplete and ignored. */
const blocksOf = (body: Uint8Array): ReadonlyArray<ReadonlyArray<string>> => {
  // The body so far may end within a character.
  const whole = body.subarray(0, body.lastIndexOf(LINE_FEED) + 1)
  const lines = new TextDecoder("utf-8", { fatal: true }).decode(whole).split(/\r\n|\n|\r/)
  const blocks: Array<Array<string>> = []
  let block: Array<string> = []
  for (const line of lines) {
    if (line !== "") block.push(line)
    else {
      if (block.length > 0) blocks.push(block)
      block = []
    }
  }
  return blocks
}

/** All complete events of a body, or of its beginning. */
export const eventsIn = (body: Uint8Array): ReadonlyArray<ServerSentEvent> =>
  blocksOf(body).flatMap((block) => {
    const fields = block.filter((line) => !line.startsWith(":")).map(field)
    if (fields.length === 0) return []
    const all = (name: string) => fields.filter(([each]) => each === name).map(([, value]) => value)
    const unknown = fields.find(([name]) => !["id", "event", "data"].includes(name))
    if (unknown !== undefined) throw new Error(`not a field of an event: ${unknown}`)
    return [
      {
        id: all("id").at(-1) ?? "",
        event: all("event").at(-1) ?? "message",
        data: JSON.parse(all("data").join("\n")),
      },
    ]
  })

/** The number of comments, which keep a connection alive. */
export const commentsIn = (body: Uint8Array): number =>
  blocksOf(body)
    .flat()
    .filter((line) => line.startsWith(":")).length

const valuesOf = (events: ReadonlyArray<ServerSentEvent>, name: string, key: string): ReadonlyArray<string> =>
  events
    .filter(({ event }) => event === name)
    .map(({ data }) => (typeof data === "object" && data !== null ? String(Reflect.get(data, key)) : ""))

/** The text of the reply so far. */
export const writtenIn = (events: ReadonlyArray<ServerSentEvent>): string =>
  valuesOf(events, "reply.delta", "text").join("")

/** The speech so far. */
export const soundIn = (events: ReadonlyArray<ServerSentEvent>): Uint8Array =>
  Buffer.concat(valuesOf(events, "audio", "base64").map((each) => Buffer.from(each, "base64")))

/** The names in order, without repetitions. */
export const orderOf = (events: ReadonlyArray<ServerSentEvent>): ReadonlyArray<string> =>
  events.map(({ event }) => event).filter((event, index, all) => event !== all[index - 1])

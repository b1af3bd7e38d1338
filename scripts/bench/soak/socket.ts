/** A Realtime client of the soak. It keeps no audio: a run has a million events with some. */
import { answerTimeoutMs } from "./account.ts"

export interface Seen {
  /** The number of events of this type. */
  readonly count: (type: string) => number
  /** The newest event of this type, as JSON. */
  readonly last: (type: string) => string
}

export interface Talk {
  readonly send: (...events: ReadonlyArray<object>) => void
  /** Resolves when `isEnough`. Rejects after the time-out, after an `error` event and when the connection ends before. */
  readonly until: (what: string, isEnough: (seen: Seen) => boolean) => Promise<Seen>
  /** Disconnects: with the closing handshake, or at once. Resolves when the socket is closed. */
  readonly leave: (how?: "close" | "reset") => Promise<void>
}

const typeOf = (text: string) => /"type":"([\w.]+)"/.exec(text)?.[1] ?? ""

/** Connects. `api`: ends in /api/v1. */
export const connectTalk = async (api: string, key: string, sessionId: string): Promise<Talk> => {
  const url = `${api.replace("http", "ws")}/realtime?session_id=${sessionId}`
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${key}` } })
  const events = new Map<string, { count: number; last: string }>()
  const seen: Seen = {
    count: (type) => events.get(type)?.count ?? 0,
    last: (type) => events.get(type)?.last ?? "",
  }
  let end = ""
  let wake = () => {}
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  socket.onopen = () => opened.resolve()
  socket.onmessage = ({ data }) => {
    const text = `${data}`
    const type = typeOf(text)
    events.set(type, { count: seen.count(type) + 1, last: text.length > 20_000 ? "" : text })
    wake()
  }
  socket.onclose = ({ code, reason }) => {
    end = `closed with ${code} ${reason}`
    opened.reject(new Error(end))
    closed.resolve()
    wake()
  }

  const until: Talk["until"] = async (what, isEnough) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      wake()
    }, answerTimeoutMs)
    try {
      while (!isEnough(seen)) {
        if (seen.count("error") > 0) throw new Error(`${what}: ${seen.last("error")}`)
        if (end !== "") throw new Error(`${what}: ${end}`)
        if (isLate) throw new Error(`${what}: not within ${answerTimeoutMs} ms`)
        await new Promise<void>((next) => {
          wake = next
        })
      }
      return seen
    } finally {
      clearTimeout(timer)
    }
  }

  await opened.promise
  return {
    send: (...sent) => {
      for (const event of sent) socket.send(JSON.stringify(event))
    },
    until,
    leave: (how = "close") => {
      if (how === "reset") socket.terminate()
      else socket.close()
      return closed.promise
    },
  }
}

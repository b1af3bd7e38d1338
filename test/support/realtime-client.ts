/** A WebSocket client of a test: the events in the order in which they came, and the end. */
export interface RealtimeClient {
  readonly socket: WebSocket
  readonly events: ReadonlyArray<Record<string, unknown>>
  /** Resolves with the event at this index. Rejects if the socket closes before. */
  readonly event: (index: number) => Promise<Record<string, unknown>>
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  readonly send: (event: unknown) => void
}

/** Connects and resolves when the socket is open. `url`: of the API, `http://127.0.0.1:PORT/api/v1`. */
export const connectRealtime = (
  url: string,
  key: string,
  {
    query = "",
    headers = {},
    protocols,
  }: {
    readonly query?: string
    readonly headers?: Record<string, string>
    /** Instead of an Authorization header. */
    readonly protocols?: ReadonlyArray<string>
  } = {},
): Promise<RealtimeClient> =>
  new Promise((resolve, reject) => {
    const address = `${url.replace("http", "ws")}/realtime${query}`
    const socket =
      protocols === undefined
        ? new WebSocket(address, { headers: { authorization: `Bearer ${key}`, ...headers } })
        : new WebSocket(address, { headers, protocols: [...protocols] })
    const events: Array<Record<string, unknown>> = []
    let wake = () => {}
    let isClosed = false
    const closed = new Promise<{ code: number; reason: string }>((ended) => {
      socket.onclose = ({ code, reason }) => {
        isClosed = true
        ended({ code, reason })
        wake()
        reject(new Error(`closed with ${code}`))
      }
    })
    socket.onmessage = ({ data }) => {
      events.push(JSON.parse(data))
      wake()
    }
    const event = async (index: number) => {
      for (;;) {
        const found = events[index]
        if (found !== undefined) return found
        if (isClosed) throw new Error(`the socket closed before event ${index}`)
        await new Promise<void>((next) => {
          wake = next
        })
      }
    }
    socket.onopen = () =>
      resolve({ socket, events, event, closed, send: (sent) => socket.send(JSON.stringify(sent)) })
  })

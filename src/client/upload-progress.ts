/** XMLHttpRequest, because `fetch` reports no upload progress. Browsers have it; Bun and Node do not. */
import { networkLost } from "./errors.ts"
import { lostBy, type Send } from "./transport.ts"

/** Bytes of the whole request. Nearly all of them are the recording. */
export interface UploadProgress {
  readonly sent: number
  readonly total: number
}

interface ProgressEvent {
  readonly loaded: number
  readonly total: number
}

/** The used part of XMLHttpRequest: outside browsers its type does not exist. */
interface Xhr {
  readonly readyState: number
  readonly status: number
  readonly responseText: string
  readonly upload: {
    onprogress: ((event: ProgressEvent) => void) | null
    onload: ((event: ProgressEvent) => void) | null
  }
  onreadystatechange: (() => void) | null
  onprogress: (() => void) | null
  onload: (() => void) | null
  onerror: (() => void) | null
  onabort: (() => void) | null
  open: (method: string, url: string) => void
  setRequestHeader: (name: string, value: string) => void
  getAllResponseHeaders: () => string
  send: (body?: FormData | string) => void
  abort: () => void
}

/** From lines `name: value`. */
const headersOf = (lines: string): Headers => {
  const headers = new Headers()
  for (const line of lines.split("\r\n")) {
    const colon = line.indexOf(":")
    if (colon > 0) headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim())
  }
  return headers
}

const isXhr = (value: unknown): value is new () => Xhr => typeof value === "function"

/** Wakes its waiters each time it rings. */
const makeBell = () => {
  let ring: () => void = () => undefined
  let rung = new Promise<void>((resolve) => {
    ring = resolve
  })
  return {
    ring: () => {
      ring()
      rung = new Promise((resolve) => {
        ring = resolve
      })
    },
    next: () => rung,
  }
}

/** A transport that reports progress. Undefined without XMLHttpRequest. */
export const sendByXhr = (onProgress: (progress: UploadProgress) => void): Send | undefined => {
  const Request: unknown = Reflect.get(globalThis, "XMLHttpRequest")
  if (!isXhr(Request)) return undefined

  return ({ method, url, headers, body, signal }) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(lostBy(signal, signal.reason))
      const xhr = new Request()
      const bell = makeBell()
      let state: "open" | "complete" | "lost" = "open"
      const become = (next: "complete" | "lost") => () => {
        state = next
        signal.removeEventListener("abort", stop)
        bell.ring()
        reject(lostBy(signal, "the request failed"))
      }
      const stop = () => xhr.abort()

      async function* text() {
        let yielded = 0
        try {
          for (;;) {
            const rung = bell.next()
            const isOver = state !== "open"
            const fresh = xhr.responseText.slice(yielded)
            yielded += fresh.length
            if (fresh !== "") yield fresh
            if (state === "lost") throw lostBy(signal, networkLost())
            if (isOver) return
            if (fresh === "") await rung
          }
        } finally {
          stop()
        }
      }

      xhr.open(method, url)
      for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value)
      xhr.upload.onprogress = xhr.upload.onload = ({ loaded, total }) => onProgress({ sent: loaded, total })
      xhr.onreadystatechange = () => {
        // 2: HEADERS_RECEIVED.
        if (xhr.readyState !== 2) return
        // Read now: `abort`, which ends `text`, clears the headers.
        const given = headersOf(xhr.getAllResponseHeaders())
        resolve({ status: xhr.status, header: (name) => given.get(name), text: text() })
      }
      xhr.onprogress = bell.ring
      xhr.onload = become("complete")
      xhr.onerror = become("lost")
      xhr.onabort = become("lost")
      signal.addEventListener("abort", stop, { once: true })
      xhr.send(body)
    })
}

import { Duration, Effect } from "effect"
import { nextEvents } from "../event-loop.ts"
import { RequestTimeout, UploadTooSlow } from "./errors.ts"

/** The connection closed before the end of the body. */
export class BodyIncomplete extends Error {}

/** After this many chunks other requests run: a body of a million tiny chunks would block the event loop for seconds. */
const chunksInARow = 64

/** A request's body, chunk by chunk, until the signal. The rest of a body is cancelled when the reader stops. */
export async function* chunksOf(
  request: Request,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const body = request.body?.getReader()
  if (body === undefined) return
  const cancel = () => void body.cancel().catch(() => undefined)
  signal.addEventListener("abort", cancel, { once: true })
  if (signal.aborted) cancel()
  try {
    for (let count = 1; ; count += 1) {
      const next = await body.read().catch(() => {
        throw new BodyIncomplete()
      })
      if (next.done) return
      yield next.value
      if (count % chunksInARow === 0) await nextEvents()
    }
  } finally {
    signal.removeEventListener("abort", cancel)
    await body.cancel().catch(() => undefined)
  }
}

/** Fails if the body is not complete within `timeout`: a client that sends byte by byte holds a connection. */
export const inTime =
  (timeout: Duration.Duration) =>
  <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | RequestTimeout, R> =>
    Effect.timeoutFail(body, { duration: timeout, onTimeout: () => new RequestTimeout({ timeout }) })

export interface Progress {
  /** Bytes of the body so far. */
  received: number
}

/** Long enough for a dead spot of a mobile network, such as a lift. The first window includes the client's start. */
const window = Duration.seconds(15)

/** Fails if fewer than `least` bytes/s arrive in any 15 s window. 0 disables the check. */
export const requireRate =
  (progress: Progress, least: number) =>
  <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | UploadTooSlow, R> => {
    if (least === 0) return body
    const watch = Effect.gen(function* () {
      for (;;) {
        const before = progress.received
        yield* Effect.sleep(window)
        if (progress.received - before < least * Duration.toSeconds(window)) {
          return yield* new UploadTooSlow({ least, window })
        }
      }
    })
    return Effect.raceFirst(body, watch)
  }

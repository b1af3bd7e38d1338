import { Duration, Effect } from "effect"
import { RequestTimeout, UploadTooSlow } from "./errors.ts"

/** The client, or the network, ended the body before its end. */
export class BodyBrokeOff extends Error {}

/** After so many chunks others get their turn: a body of a million tiny ones would keep the event loop for seconds. */
const chunksInARow = 64

/** A request's body as it comes, until the signal. What the reader does not want is not read. */
export async function* chunksOf(
  request: Request,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const body = request.body?.getReader()
  if (body === undefined) return
  const giveUp = () => void body.cancel().catch(() => undefined)
  signal.addEventListener("abort", giveUp, { once: true })
  if (signal.aborted) giveUp()
  try {
    for (let count = 1; ; count += 1) {
      const next = await body.read().catch(() => {
        throw new BodyBrokeOff()
      })
      if (next.done) return
      yield next.value
      if (count % chunksInARow === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  } finally {
    signal.removeEventListener("abort", giveUp)
    await body.cancel().catch(() => undefined)
  }
}

/** Who sends a body byte by byte holds a connection, and a part of what there is of them. */
export const inTime =
  (timeout: Duration.Duration) =>
  <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | RequestTimeout, R> =>
    Effect.timeoutFail(body, { duration: timeout, onTimeout: () => new RequestTimeout({ timeout }) })

/** How much of a body has come. */
export interface Progress {
  received: number
}

/** A dead spot on the way, in a lift say, takes seconds; the first of these is the time that a sender has to begin. */
const window = Duration.seconds(15)

/** Of which no less may come within each window than `least` (bytes per second) makes of it; 0: as slow as it likes. */
export const keepsUp =
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

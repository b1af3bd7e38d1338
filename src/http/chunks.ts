/** The client, or the network, ended the body before its end. */
export class BodyBrokeOff extends Error {}

/** After so many chunks others get their turn: a body of a million tiny ones would keep the event loop for seconds. */
const chunksInARow = 64

/** A request's body as it comes. What the reader does not want is not read. */
export async function* chunksOf(request: Request): AsyncGenerator<Uint8Array, void, void> {
  const body = request.body?.getReader()
  if (body === undefined) return
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
    await body.cancel().catch(() => undefined)
  }
}

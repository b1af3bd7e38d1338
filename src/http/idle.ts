import { Effect } from "effect"

/** Seconds without a byte after which a connection is ended. */
export const idleTimeout = 120

type Server = Pick<Bun.Server<unknown>, "timeout"> | null

/**
 * Ends a connection on which nothing goes on any more, within some seconds: Bun resets none whose client takes nothing,
 * however the answer ended, and keeps what it has not taken.
 */
export const hangUp = (server: Server, request: Request) => () => server?.timeout(request, 1)

/**
 * Until the end of the scope the request's connection may be silent for as long as it likes: JSON is silent until all of
 * it is there, and every part of a turn, its upload and its listener have time-outs of their own. After it the
 * connection is one like any other: Bun keeps what was said of it for all requests that follow, and one that nobody uses
 * any more would stay for ever.
 */
export const mayBeSilent = (server: Server, request: Request) =>
  Effect.acquireRelease(
    Effect.sync(() => server?.timeout(request, 0)),
    () => Effect.sync(() => server?.timeout(request, idleTimeout)),
  )

import { Effect } from "effect"

/** Seconds without a byte after which a connection is ended. */
export const idleTimeout = 120

/**
 * Until the end of the scope the request's connection may be silent for as long as it likes: JSON is silent until all of
 * it is there, and every part of a turn, its upload and its listener have time-outs of their own. After it the
 * connection is one like any other: Bun keeps what was said of it for all requests that follow, and one that nobody uses
 * any more would stay for ever.
 */
export const mayBeSilent = (server: Pick<Bun.Server<unknown>, "timeout"> | null, request: Request) =>
  Effect.acquireRelease(
    Effect.sync(() => server?.timeout(request, 0)),
    () => Effect.sync(() => server?.timeout(request, idleTimeout)),
  )

import { Effect } from "effect"

/** Seconds without a byte after which Bun closes a connection. */
export const idleTimeout = 120

type Server = Pick<Bun.Server<unknown>, "timeout"> | null

/**
 * Closes a connection that no longer moves, within seconds. Bun keeps one whose client reads nothing, and the unread
 * bytes with it, however the response ended.
 */
export const hangUp = (server: Server, request: Request) => () => server?.timeout(request, 1)

/**
 * Disables the idle timeout until the scope closes: a JSON response is silent until it is complete, and the stages of a
 * turn have timeouts of their own. Bun applies `timeout()` to the whole keep-alive connection, so it must be restored.
 */
export const withoutIdleTimeout = (server: Server, request: Request) =>
  Effect.acquireRelease(
    Effect.sync(() => server?.timeout(request, 0)),
    () => Effect.sync(() => server?.timeout(request, idleTimeout)),
  )

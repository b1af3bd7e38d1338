import { Deferred, Duration, Effect, FiberId, Option, Schedule, type Scope } from "effect"
import { Ledger } from "../conversation/ledger.ts"
import type { DatabaseError } from "../db/errors.ts"
import type { SessionId, UserId } from "../schema.ts"
import { watchWhile } from "../watch.ts"
import type { Farewell } from "./connection-limits.ts"
import type { StoredSession } from "./stored-session.ts"

/** How soon a connection ends whose session was taken over or deleted in another process. One query for all connections. */
const checkInterval = Duration.seconds(1)

/** How long a new connection waits for what the one before it in this process still saves. */
const releaseTimeout = Duration.seconds(5)

/**
 * How long a new connection waits for the turns ahead: those of a connection of another process end within `checkInterval`.
 * A turn of another kind takes longer than anyone wants to wait for a handshake.
 */
const aheadTimeout = Duration.seconds(3)
const pollInterval = Duration.millis(100)

/** The place of the first connection of a new session: before every takeover. */
const first = "0"

const takenOver: Farewell = {
  reason: "taken_over",
  code: "session_taken_over",
  message:
    "Another connection continues this session. Use that one, or connect again to take the session back.",
  // Policy violation.
  closeCode: 1008,
}

export const sessionDeleted: Farewell = {
  reason: "session_deleted",
  code: "session_not_found",
  message:
    "The stored session of this conversation was deleted. Connect without session_id to start a new one.",
  closeCode: 1008,
}

/** A connection on its session. */
interface Holder {
  readonly userId: UserId
  readonly session: StoredSession
  readonly end: (farewell: Farewell) => void
}

interface Held extends Holder {
  /** Undefined until it is known. */
  position: string | undefined
  readonly released: Deferred.Deferred<void>
}

/** Keeps each session with its newest connection. */
export interface Takeovers {
  /**
   * Gives the session to a connection until the scope closes. The one that had it ends. Waits until that has saved what it
   * still has, or for some seconds. `isContinued`: the session may be held in another process.
   */
  readonly take: (
    holder: Holder,
    options: { readonly isContinued: boolean },
  ) => Effect.Effect<void, DatabaseError, Scope.Scope>
}

export const makeTakeovers: Effect.Effect<Takeovers, never, Ledger | Scope.Scope> = Effect.gen(function* () {
  const ledger = yield* Ledger
  const held = new Map<SessionId, Held>()

  const check = Effect.gen(function* () {
    const checked = [...held.values()].flatMap(({ userId, session, position, end }) => {
      const { id, isNew } = session.target()
      return position === undefined ? [] : [{ userId, sessionId: id, position, isStored: !isNew, end }]
    })
    if (checked.length === 0) return
    const ended = yield* ledger.endedSessions(checked)
    for (const [at, { end }] of checked.entries()) {
      if (ended[at] !== undefined) end(ended[at] === "deleted" ? sessionDeleted : takenOver)
    }
  })

  const watchSessions = yield* watchWhile(
    () => held.size > 0,
    () => checkInterval,
    Effect.catchAllCause(check, (cause) => Effect.logWarning("realtime.sessions_not_checked", cause)),
  )

  /** Waits for the turns of a connection in another process. */
  const awaitAhead = (sessionId: SessionId, position: string) =>
    ledger
      .ahead(sessionId, position)
      .pipe(
        Effect.repeat({ while: Option.isSome, schedule: Schedule.spaced(pollInterval) }),
        Effect.timeoutOption(aheadTimeout),
      )

  const hold = (holder: Holder, position: string | undefined) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const { id } = holder.session.target()
        const before = held.get(id)
        const mine: Held = { ...holder, position, released: Deferred.unsafeMake<void>(FiberId.none) }
        held.set(id, mine)
        watchSessions()
        return { mine, before }
      }),
      ({ mine }) =>
        Effect.suspend(() => {
          const { id } = mine.session.target()
          if (held.get(id) === mine) held.delete(id)
          return Deferred.succeed(mine.released, undefined)
        }),
    )

  const take: Takeovers["take"] = Effect.fn("Takeovers.take")(function* (holder, { isContinued }) {
    const { mine, before } = yield* hold(holder, isContinued ? undefined : first)
    if (before !== undefined) {
      before.end(takenOver)
      yield* Effect.timeoutOption(Deferred.await(before.released), releaseTimeout)
    }
    if (!isContinued) return
    const { id } = holder.session.target()
    const position = yield* ledger.takeOver(holder.userId, id)
    mine.position = position
    yield* awaitAhead(id, position)
  })

  return { take }
})

import { Clock, Duration, Effect, ExecutionStrategy, Exit, Schedule, Scope } from "effect"
import type { UserId } from "../../schema.ts"
import { McpFailed } from "./errors.ts"

/** A connection without calls ends after this time. The program of a stdio server ends with it. */
const idleTimeToLive = Duration.minutes(10)

export interface ConnectionLimits {
  /** Of all users. Each may be a process, or a stream that stays open. */
  readonly max: number
  /** Opened for one user. An agent may have as many servers. */
  readonly maxPerUser: number
}

interface Entry<A> {
  readonly owner: UserId
  readonly connection: A
  readonly scope: Scope.CloseableScope
  uses: number
  /** In ms. */
  usedAt: number
}

/**
 * What is opened once for a user, is shared while it is used, and is kept for a while. Users never share one: servers keep data
 * by it.
 */
export interface Connections<A> {
  /**
   * The owner's connection of a key, until the scope closes. The one that was unused for longest makes room for a new one; if
   * all are in use, fails with `capacity`.
   */
  readonly get: (
    key: string,
    owner: UserId,
    open: Effect.Effect<A, never, Scope.Scope>,
  ) => Effect.Effect<A, McpFailed, Scope.Scope>
}

export const makeConnections = Effect.fnUntraced(function* <A>({
  max,
  maxPerUser,
}: ConnectionLimits): Effect.fn.Return<Connections<A>, never, Scope.Scope> {
  const entries = new Map<string, Entry<A>>()
  const whole = yield* Effect.scope
  const oneAtATime = yield* Effect.makeSemaphore(1)

  /** In the background: a server may take its time to end a session. */
  const close = (place: string, { scope }: Entry<A>) => {
    entries.delete(place)
    return Effect.forkIn(Scope.close(scope, Exit.void), whole)
  }

  /** Closes one that is not in use, if there are too many. False: all are in use. */
  const makeRoom = Effect.fnUntraced(function* (most: number, isCounted: (entry: Entry<A>) => boolean) {
    const counted = [...entries].filter(([, entry]) => isCounted(entry))
    if (counted.length < most) return true
    const [oldest] = counted
      .filter(([, { uses }]) => uses === 0)
      .sort(([, one], [, other]) => one.usedAt - other.usedAt)
    if (oldest === undefined) return false
    yield* close(...oldest)
    return true
  })

  const opened = Effect.fnUntraced(function* (
    key: string,
    owner: UserId,
    open: Effect.Effect<A, never, Scope.Scope>,
  ) {
    const place = `${owner} ${key}`
    const known = entries.get(place)
    if (known !== undefined) return known
    const hasRoom =
      (yield* makeRoom(maxPerUser, (entry) => entry.owner === owner)) && (yield* makeRoom(max, () => true))
    if (!hasRoom) return yield* new McpFailed({ kind: "capacity" })
    const scope = yield* Scope.fork(whole, ExecutionStrategy.sequential)
    const connection = yield* Scope.extend(open, scope)
    const entry: Entry<A> = { owner, connection, scope, uses: 0, usedAt: 0 }
    entries.set(place, entry)
    return entry
  })

  const get: Connections<A>["get"] = (key, owner, open) =>
    Effect.acquireRelease(
      opened(key, owner, open).pipe(
        Effect.tap((entry) =>
          Effect.sync(() => {
            entry.uses += 1
          }),
        ),
        oneAtATime.withPermits(1),
      ),
      (entry) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          entry.uses -= 1
          entry.usedAt = now
        }),
    ).pipe(Effect.map(({ connection }) => connection))

  const closeIdle = Effect.gen(function* () {
    const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(idleTimeToLive)
    for (const [place, entry] of [...entries]) {
      if (entry.uses === 0 && entry.usedAt <= before) yield* close(place, entry)
    }
  }).pipe(oneAtATime.withPermits(1))
  yield* Effect.forkScoped(Effect.repeat(closeIdle, Schedule.spaced(Duration.seconds(30))))

  return { get }
})

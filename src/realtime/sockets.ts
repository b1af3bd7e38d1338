import {
  Cause,
  Context,
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberSet,
  Layer,
  Option,
  Schema,
  type Scope,
} from "effect"
import { Keys } from "../accounts/keys.ts"
import type { SignedIn } from "../accounts/model.ts"
import { Settings } from "../config.ts"
import { limitOf, Overloaded } from "../limits/admission.ts"
import { makeFairSemaphore } from "../limits/fair-semaphore.ts"
import { countConnection, recordOpenConnections } from "../metrics.ts"
import { watchWhile } from "../watch.ts"
import { type Connection, makeConnection, type SocketHandlers } from "./connection.ts"
import type { Wire } from "./outbox.ts"
import type { RealtimeSession } from "./session.ts"

/** The user has REALTIME_MAX_SESSIONS_PER_USER connections open. */
export class TooManyConnections extends Schema.TaggedError<TooManyConnections>()("TooManyConnections", {
  most: Schema.Number,
}) {}

/** How often every connection is checked against its limits. */
const checkInterval = Duration.seconds(1)
/** How soon the connections of a key end that another process revoked. One query for all connections. */
const keyCheckInterval = Duration.seconds(2)
/** For what a session releases, and for Bun to report the end of a socket. */
const releaseTimeout = Duration.seconds(15)

const revoked = {
  reason: "key_revoked",
  code: "invalid_api_key",
  message: "The API key of this session was revoked or has expired. Connect with another key.",
  // Policy violation.
  closeCode: 1008,
} as const

const stopping = {
  reason: "shutdown",
  code: "server_shutdown",
  message: "The server is shutting down. Connect again to continue the session.",
  // Going away.
  closeCode: 1001,
} as const

/** The Realtime connections of this process. */
export class RealtimeSockets extends Context.Tag("voice-agent/RealtimeSockets")<
  RealtimeSockets,
  {
    /**
     * Opens a session, then the socket by `upgrade`, which returns false if the client has left. A session that cannot
     * be opened fails before the handshake ends, so that its error is a plain HTTP response. Returns what `upgrade`
     * returned. The session's scope ends with the socket.
     */
    readonly connect: <E>(
      user: SignedIn,
      open: (wire: Wire) => Effect.Effect<RealtimeSession, E, Scope.Scope>,
      upgrade: (handlers: SocketHandlers) => boolean,
    ) => Effect.Effect<boolean, E | TooManyConnections | Overloaded>
    /** Refuses new connections, and lets each session finish its running response. Resolves when all have ended. */
    readonly drain: Effect.Effect<void>
    /** Ends all connections at once, and waits until their sessions have released what they hold. */
    readonly terminate: Effect.Effect<void>
    /** Open connections, handshakes among them, and their users. */
    readonly size: Effect.Effect<{ readonly connections: number; readonly users: number }>
  }
>() {
  static readonly layer = Layer.scoped(
    RealtimeSockets,
    Effect.gen(function* () {
      const settings = yield* Settings
      const keys = yield* Keys
      const clock = yield* Effect.clock
      const now = () => clock.unsafeCurrentTimeMillis()
      const limits = {
        session: Duration.toMillis(settings.realtimeSession),
        idle: limitOf(Duration.toMillis(settings.realtimeIdle)),
        ping: Duration.toMillis(settings.realtimePing),
        stall: Duration.toMillis(settings.clientTimeout),
        queueBytes: settings.realtimeQueueBytes,
      }
      const places = makeFairSemaphore(
        {
          total: limitOf(settings.maxRealtimeSessions),
          perUser: limitOf(settings.maxRealtimeSessionsPerUser),
          queue: { total: 0, perUser: Number.POSITIVE_INFINITY },
        },
        Duration.zero,
      )
      const connections = new Set<Connection>()
      const fibers = yield* FiberSet.make<void>()
      let isDraining = false

      /** A defect of one connection ends that one, and not the checks of the others. */
      const check = (connection: Connection) =>
        Effect.catchAllCause(Effect.sync(connection.check), (cause) =>
          Effect.logError("realtime.defect", cause).pipe(
            Effect.zipRight(Effect.sync(() => connection.terminate("defect"))),
            Effect.catchAllCause(() => Effect.void),
          ),
        )

      const isOpen = () => connections.size > 0
      const watchClients = yield* watchWhile(
        isOpen,
        () => checkInterval,
        Effect.suspend(() => Effect.forEach([...connections], check, { discard: true })),
      )

      const endRevoked = Effect.gen(function* () {
        const checked = [...connections]
        if (checked.length === 0) return
        const valid = yield* keys.validOf([...new Set(checked.map(({ user }) => user.keyId))])
        for (const connection of checked) if (!valid.has(connection.user.keyId)) connection.end(revoked)
      })

      const watchKeys = yield* watchWhile(
        isOpen,
        () => keyCheckInterval,
        Effect.catchAllCause(endRevoked, (cause) => Effect.logWarning("realtime.keys_not_checked", cause)),
      )

      const place = ({ id }: SignedIn) =>
        Effect.acquireRelease(
          places
            .acquire(id, 1, (effect) => effect)
            .pipe(
              Effect.mapError((limit) =>
                limit === "user"
                  ? new TooManyConnections({ most: settings.maxRealtimeSessionsPerUser })
                  : new Overloaded({ reason: "realtime sessions", retryAfter: 1 }),
              ),
            ),
          () => Effect.sync(() => places.giveBack(id, 1)),
        )

      const logEnd = (connection: Connection) =>
        Effect.suspend(() =>
          Option.match(connection.summary(), {
            onNone: () => Effect.void,
            onSome: (summary) =>
              Effect.zipRight(
                Effect.annotateLogs(Effect.logInfo("realtime.closed"), summary),
                countConnection(summary),
              ),
          }),
        )

      /** Runs a connection until its socket is gone and its session has released everything. */
      const serve = <E>(
        connection: Connection,
        open: (wire: Wire) => Effect.Effect<RealtimeSession, E, Scope.Scope>,
        ready: Deferred.Deferred<void, E | TooManyConnections | Overloaded>,
      ) =>
        Effect.gen(function* () {
          yield* place(connection.user)
          yield* Effect.acquireRelease(
            Effect.suspend(() => {
              connections.add(connection)
              watchClients()
              watchKeys()
              return recordOpenConnections(connections.size)
            }),
            () =>
              Effect.suspend(() => {
                connections.delete(connection)
                return recordOpenConnections(connections.size)
              }),
          )
          yield* Effect.scoped(
            Effect.gen(function* () {
              connection.begin(yield* open(connection.wire))
              yield* Deferred.succeed(ready, undefined)
              yield* connection.ended
            }),
          ).pipe(
            Effect.onExit((exit) =>
              Effect.sync(() => {
                // An end with a farewell is still on its way to the client.
                if (Exit.isFailure(exit)) connection.terminate(isDraining ? "shutdown" : "defect")
              }),
            ),
          )
          yield* connection.gone
        }).pipe(
          Effect.scoped,
          Effect.catchAllCause((cause) =>
            Effect.flatMap(Deferred.failCause(ready, cause), (isRefusal) =>
              isRefusal || Cause.isInterruptedOnly(cause)
                ? Effect.void
                : Effect.logError("realtime.defect", cause),
            ),
          ),
          Effect.ensuring(logEnd(connection)),
        )

      const connect = <E>(
        user: SignedIn,
        open: (wire: Wire) => Effect.Effect<RealtimeSession, E, Scope.Scope>,
        upgrade: (handlers: SocketHandlers) => boolean,
      ) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const refused = new Overloaded({ reason: "shutdown", retryAfter: 1 })
            if (isDraining) return yield* refused
            const connection = makeConnection(user, limits, now)
            const ready = yield* Deferred.make<void, E | TooManyConnections | Overloaded>()
            const fiber = yield* FiberSet.run(fibers, Effect.interruptible(serve(connection, open, ready)))
            yield* Effect.onInterrupt(restore(Deferred.await(ready)), () => Fiber.interrupt(fiber))
            if (isDraining) {
              connection.terminate("shutdown")
              return yield* refused
            }
            const isUpgraded = upgrade(connection.handlers)
            if (!isUpgraded) connection.terminate("lost")
            else yield* Effect.logInfo("realtime.opened")
            return isUpgraded
          }),
        )

      const drain = Effect.gen(function* () {
        isDraining = true
        yield* Effect.forEach(
          connections,
          (connection) =>
            Effect.raceFirst(
              connection.session()?.drain ?? Effect.void,
              // The client may leave first, or the session die.
              Effect.exit(connection.ended),
            ).pipe(Effect.ensuring(Effect.sync(() => connection.end(stopping)))),
          { concurrency: "unbounded", discard: true },
        )
        yield* FiberSet.awaitEmpty(fibers)
      })

      const terminate = Effect.gen(function* () {
        isDraining = true
        for (const connection of connections) connection.terminate("shutdown")
        // A session that is still opening ends by this alone.
        yield* Effect.timeoutOption(Fiber.interruptAll([...fibers]), releaseTimeout)
      })

      const size = Effect.sync(() => ({ connections: connections.size, users: places.size().users }))

      return { connect, drain, terminate, size }
    }),
  )
}

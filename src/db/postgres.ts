import * as Path from "@effect/platform/Path"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Duration, Effect, Fiber, Layer, Option, type Redacted, Schedule, String as Str } from "effect"
import { Settings } from "../config.ts"
import { connectionFailure } from "./connection-failure.ts"
import { joinEmbedded, startEmbedded } from "./embedded.ts"
import {
  type DatabaseError,
  DatabaseNotReady,
  DatabaseUnavailable,
  isConnectionLost,
  isDatabaseAway,
  isRolledBack,
  isSqlError,
  sqlState,
  translateSqlError,
} from "./errors.ts"
import { migrate } from "./migrations.ts"
import { makePool } from "./pool.ts"
import { problemOf, readServer } from "./server.ts"
import { type Target, targetOf } from "./target.ts"

/** How long the start waits for a database that is starting too (a compose file starts both at once). */
const startTimeout = Duration.seconds(30)

const connect = (settings: Settings["Type"], target: Target) =>
  Layer.unwrapScoped(
    Effect.map(makePool({ target, size: settings.databasePoolSize }), (pool) =>
      PgClient.layerFromPool({
        acquire: Effect.succeed(pool),
        transformResultNames: Str.snakeToCamel,
        transformQueryNames: Str.camelToSnake,
        transformJson: false,
      }),
    ),
  ).pipe(
    Layer.tapError((error) => (isDatabaseAway(error) ? Effect.logInfo("database.waiting") : Effect.void)),
    Layer.retry(
      Schedule.spaced("500 millis").pipe(Schedule.upTo(startTimeout), Schedule.whileInput(isDatabaseAway)),
    ),
    Layer.catchAll((error) => Layer.fail(notReady(error))),
  )

const notReady = (error: SqlError) => {
  const { advice, mayPass, problem } = connectionFailure(error)
  const refusal =
    sqlState(error) === undefined ? "The database cannot be used" : "The database refused the connection"
  const opening = mayPass
    ? `The database did not answer within ${Duration.toSeconds(startTimeout)} s`
    : refusal
  return new DatabaseNotReady({ message: `${opening} (${problem}): ${Str.uncapitalize(advice)}` })
}

/** Fails on a database that the service cannot run on. */
const requireUsable = Effect.flatMap(readServer, (server) => {
  const found = problemOf(server)
  return found === undefined
    ? Effect.void
    : new DatabaseNotReady({ message: `The database ${found.problem}. ${found.advice}` })
}).pipe(Effect.catchIf(isSqlError, notReady))

const layerOn = <E, R>(
  embedded: (options: { readonly dataDir: string }) => Effect.Effect<Redacted.Redacted, E, R>,
) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const settings = yield* Settings
      const path = yield* Path.Path
      const url = Option.isSome(settings.databaseUrl)
        ? settings.databaseUrl.value
        : yield* embedded({ dataDir: path.resolve(settings.dataDir) })
      return Layer.tap(connect(settings, yield* targetOf(url)), (context) =>
        Effect.provide(Effect.zipRight(requireUsable, migrate), context),
      )
    }),
  )

/**
 * A pool of connections to the service's PostgreSQL, with the schema up to date. The database is DATABASE_URL if set,
 * otherwise the embedded server, which stops with this layer.
 */
export const layer = layerOn(startEmbedded)

/** Like `layer`, for a command that may run beside the service: it uses the embedded server of the running service. */
export const layerBeside = layerOn(joinEmbedded)

/**
 * The pause before the one retry. What breaks one connection of the pool usually breaks all of them, and an immediate
 * retry could get one whose end is not yet known.
 */
const retryOnce = Schedule.intersect(Schedule.recurs(1), Schedule.spaced("50 millis"))

/** The service's statements take milliseconds. A longer one means that the database hangs. */
const timeout = Duration.seconds(10)

/** `disconnect`: interrupting a statement cancels it on the server, and on a dead connection that never returns. */
const withTimeout = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.disconnect,
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () =>
        new DatabaseUnavailable({ cause: `no answer within ${Duration.toSeconds(timeout)} s` }),
    }),
  )

/**
 * One statement that may run twice, such as a read. It is retried once if the server rolled it back, and on a lost
 * connection, so that the first request after a database restart succeeds.
 */
export const query = <A, E, R>(
  effect: Effect.Effect<A, E | SqlError, R>,
): Effect.Effect<A, Exclude<E, SqlError> | DatabaseError, R> =>
  effect.pipe(
    Effect.retry({ schedule: retryOnce, while: (error) => isConnectionLost(error) || isRolledBack(error) }),
    Effect.catchIf(isSqlError, translateSqlError),
    withTimeout,
  )

/**
 * A transaction. It is retried once if the server rolled it back, and on a lost connection if BEGIN failed: after BEGIN,
 * a statement or the COMMIT may have succeeded. A repeatable one is retried on every lost connection, and must itself
 * detect that it was committed.
 */
export const transaction = <A, E, R>(
  sql: SqlClient,
  effect: Effect.Effect<A, E | SqlError, R>,
  { isRepeatable } = { isRepeatable: false },
): Effect.Effect<A, Exclude<E, SqlError> | DatabaseError, R> =>
  Effect.suspend(() => {
    let begun = false
    const body = Effect.zipRight(
      Effect.sync(() => {
        begun = true
      }),
      effect,
    )
    return sql.withTransaction(body).pipe(
      // @effect/sql turns a failed COMMIT or ROLLBACK into a defect; turn it back into an error.
      Effect.catchSomeDefect((defect) =>
        Option.map(Option.liftPredicate(isSqlError)(defect), (error) => Effect.fail(error)),
      ),
      Effect.retry({
        schedule: retryOnce,
        while: (error) => isRolledBack(error) || ((isRepeatable || !begun) && isConnectionLost(error)),
      }),
      Effect.catchIf(isSqlError, translateSqlError),
      withTimeout,
    )
  })

/**
 * Like `Effect.uninterruptible`, but timeouts inside `effect` still work, such as the 10 s of `query` and `transaction`.
 */
export const uninterruptibleWithTimeout = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptible(Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), Fiber.join))

import * as Path from "@effect/platform/Path"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as PgClient from "@effect/sql-pg/PgClient"
import {
  Duration,
  Effect,
  Fiber,
  Layer,
  Option,
  type Redacted,
  Schedule,
  Schema,
  String as Str,
} from "effect"
import { Settings } from "../config.ts"
import { joinEmbedded, startEmbedded } from "./embedded.ts"
import {
  type DatabaseError,
  DatabaseUnavailable,
  isConnectionLost,
  isDatabaseAway,
  isRolledBack,
  isSqlError,
  translateSqlError,
} from "./errors.ts"
import { migrate } from "./migrations.ts"
import { makePool } from "./pool.ts"

/** The start gave up: the sentence says what is wrong and what to do. */
export class DatabaseNotReady extends Schema.TaggedError<DatabaseNotReady>()("DatabaseNotReady", {
  message: Schema.String,
}) {}

/** How long the start waits for a server that is itself starting (a compose file starts both at once). */
const startPatience = Duration.seconds(30)

const connect = (settings: Settings["Type"], url: Redacted.Redacted) =>
  PgClient.layerFromPool({
    acquire: makePool({ url, size: settings.databasePoolSize }),
    transformResultNames: Str.snakeToCamel,
    transformQueryNames: Str.camelToSnake,
    transformJson: false,
  }).pipe(
    Layer.tapError((error) => (isDatabaseAway(error) ? Effect.logInfo("database.waiting") : Effect.void)),
    Layer.retry(
      Schedule.spaced("500 millis").pipe(Schedule.upTo(startPatience), Schedule.whileInput(isDatabaseAway)),
    ),
    Layer.catchAll((error) => Layer.fail(notReady(error))),
  )

const notReady = (error: SqlError) => {
  const said = error.cause instanceof Error ? error.cause.message || error.cause.name : error.message
  return new DatabaseNotReady({
    message: isDatabaseAway(error)
      ? `The database did not answer within ${Duration.toSeconds(startPatience)} s (${said}): check DATABASE_URL and that PostgreSQL runs there.`
      : `The database refused the service (${said}): check the user, password and database name in DATABASE_URL.`,
  })
}

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
      return Layer.tap(connect(settings, url), (context) => Effect.provide(migrate, context))
    }),
  )

/**
 * One pool of connections to the one PostgreSQL of the service, its schema up to date: DATABASE_URL where it is
 * given, else the embedded server, which then stops with this layer.
 */
export const layer = layerOn(startEmbedded)

/** The same for a command that may run beside the service: it uses the embedded server of a service that runs. */
export const layerBeside = layerOn(joinEmbedded)

/**
 * Once more, a moment later: what ends one connection ends the others of the pool too, and a second try at once could
 * be given another one of which that is not yet known.
 */
const onceMore = Schedule.intersect(Schedule.recurs(1), Schedule.spaced("50 millis"))

/** The service's statements take milliseconds; one that takes longer than this has a database that hangs. */
const patience = Duration.seconds(10)

/** A statement that is given up is cancelled, and one on a dead connection would be waited for with that as well. */
const withPatience = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(
    Effect.disconnect,
    Effect.timeoutFail({
      duration: patience,
      onTimeout: () =>
        new DatabaseUnavailable({ cause: `no answer within ${Duration.toSeconds(patience)} s` }),
    }),
  )

/**
 * One statement that may be carried out twice, as a read may: tried once more on a lost connection, so that the request
 * after a database restart works, and where the server undid it.
 */
export const query = <A, E, R>(
  effect: Effect.Effect<A, E | SqlError, R>,
): Effect.Effect<A, Exclude<E, SqlError> | DatabaseError, R> =>
  effect.pipe(
    Effect.retry({ schedule: onceMore, while: (error) => isConnectionLost(error) || isRolledBack(error) }),
    Effect.catchIf(isSqlError, translateSqlError),
    withPatience,
  )

/**
 * All or nothing. Tried once more where the server undid it, and on a lost connection: one that is not repeatable only
 * where BEGIN itself failed, since past that a statement, or the COMMIT, may have been carried out. A repeatable one finds
 * out itself that it was.
 */
export const transaction = <A, E, R>(
  sql: SqlClient,
  effect: Effect.Effect<A, E | SqlError, R>,
  { isRepeatable } = { isRepeatable: false },
): Effect.Effect<A, Exclude<E, SqlError> | DatabaseError, R> =>
  Effect.suspend(() => {
    let begun = false
    const marked = Effect.zipRight(
      Effect.sync(() => {
        begun = true
      }),
      effect,
    )
    return sql.withTransaction(marked).pipe(
      // The library dies of a COMMIT or a ROLLBACK that fails, as each does on a connection that is gone.
      Effect.catchSomeDefect((defect) =>
        Option.map(Option.liftPredicate(isSqlError)(defect), (error) => Effect.fail(error)),
      ),
      Effect.retry({
        schedule: onceMore,
        while: (error) => isRolledBack(error) || ((isRepeatable || !begun) && isConnectionLost(error)),
      }),
      Effect.catchIf(isSqlError, translateSqlError),
      withPatience,
    )
  })

/**
 * Not to be interrupted from outside, as `Effect.uninterruptible` has it; but what gives up on itself within, as all
 * here do after 10 s, still can.
 */
export const undisturbed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.uninterruptible(Effect.flatMap(Effect.forkDaemon(Effect.interruptible(effect)), Fiber.join))

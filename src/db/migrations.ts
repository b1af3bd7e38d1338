import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Migrator from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Schema } from "effect"
import { isSqlError } from "./errors.ts"

/** A migration could not be carried out; nothing of it is left in the database. */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
  message: Schema.String,
}) {}

const table = "schema_migrations"

const nameOf = (id: number, name: string) => `${String(id).padStart(4, "0")}_${name}`

const folder = new URL("../../migrations", import.meta.url)

/** The files of `migrations/` in the order of their numbers: `0001_initial_schema.sql` is number 1. */
const load = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = yield* path.fromFileUrl(folder)
  const files = (yield* fs.readDirectory(root)).toSorted()
  return files.flatMap((file): ReadonlyArray<Migrator.ResolvedMigration> => {
    const [, number, name] = /^(\d+)_(\w+)\.sql$/.exec(file) ?? []
    if (number === undefined || name === undefined) return []
    const run = Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* sql.unsafe(yield* fs.readFileString(path.join(root, file)))
    })
    return [[Number(number), name, Effect.succeed(run)]]
  })
}).pipe(Effect.orDie)

/**
 * Migrations that this database lacks, and those that it has of a later version of the service: their names. Reads only.
 */
export const pending = Effect.gen(function* () {
  const sql = yield* SqlClient
  const known = yield* load
  const [found] = yield* sql<{ isThere: boolean }>`select to_regclass(${table}) is not null as "isThere"`
  const done =
    found?.isThere === true
      ? yield* sql<{
          id: number
          name: string
        }>`select migration_id as id, name from ${sql(table)} order by 1`
      : []
  const doneIds = new Set(done.map(({ id }) => id))
  const knownIds = new Set(known.map(([id]) => id))
  return {
    missing: known.filter(([id]) => !doneIds.has(id)).map(([id, name]) => nameOf(id, name)),
    foreign: done.filter(({ id }) => !knownIds.has(id)).map(({ id, name }) => nameOf(id, name)),
  }
})

/**
 * Brings the schema up to date, in one transaction that locks the migrator's table, so several processes may start
 * at once. The one moment the lock cannot cover is the making of that table, hence the further tries. Answers the names
 * of what it carried out.
 */
export const migrate = Migrator.make({})({ loader: load, table }).pipe(
  Effect.retry({ times: 3, while: isSqlError }),
  Effect.map((done) => done.map(([id, name]) => nameOf(id, name))),
  Effect.tap((done) =>
    done.length === 0 ? Effect.void : Effect.logInfo("migration.applied").pipe(Effect.annotateLogs({ done })),
  ),
  // An older version may go on where a newer one has only added to the schema, as while it is replaced.
  Effect.tap(() =>
    Effect.flatMap(pending, ({ foreign }) =>
      foreign.length === 0
        ? Effect.void
        : Effect.annotateLogs(Effect.logWarning("migration.schema_newer"), { foreign }),
    ),
  ),
  Effect.catchAllDefect(Effect.fail),
  Effect.mapError(
    (error) =>
      new MigrationFailed({
        message: `The database's schema could not be brought up to date: ${reasons(error)}`,
      }),
  ),
)

/** An error's message and those of its causes: the migrator names the file, the driver what was wrong in it. */
const reasons = (error: unknown): string =>
  error instanceof Error
    ? [error.message, ...(error.cause === undefined ? [] : [reasons(error.cause)])].join(": ")
    : `${error}`

import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Migrator from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Schema } from "effect"
import { isSqlError } from "./errors.ts"
import { findAll, findOne } from "./rows.ts"

/** A migration failed and was rolled back. */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>()("MigrationFailed", {
  message: Schema.String,
}) {}

const table = "schema_migrations"

const nameOf = (id: number, name: string) => `${String(id).padStart(4, "0")}_${name}`

const folder = new URL("../../migrations", import.meta.url)

/** The files of `migrations/` in the order of their numbers. `0001_initial_schema.sql` has the number 1. */
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

/** Named as it is decoded: the doctor reads with a connection that does not rename columns. */
const TableExists = Schema.Struct({ tableExists: Schema.Boolean })
const Applied = Schema.Struct({ id: Schema.Int, name: Schema.String })

/**
 * The names of the migrations that this database lacks, and of those that a later version of the service applied.
 * Only reads.
 */
export const pending = Effect.gen(function* () {
  const sql = yield* SqlClient
  const known = yield* load
  const { tableExists } = yield* findOne(
    TableExists,
    sql`select to_regclass(${table}) is not null as "tableExists"`,
  )
  const applied = tableExists
    ? yield* findAll(Applied, sql`select migration_id as id, name from ${sql(table)} order by 1`)
    : []
  const appliedIds = new Set(applied.map(({ id }) => id))
  const knownIds = new Set(known.map(([id]) => id))
  return {
    missing: known.filter(([id]) => !appliedIds.has(id)).map(([id, name]) => nameOf(id, name)),
    foreign: applied.filter(({ id }) => !knownIds.has(id)).map(({ id, name }) => nameOf(id, name)),
  }
})

/**
 * Applies the missing migrations in one transaction, and returns their names. The transaction locks the migrator's
 * table, so several processes may start at once. Creating that table happens before the lock, hence the retries.
 */
export const migrate = Migrator.make({})({ loader: load, table }).pipe(
  Effect.retry({ times: 3, while: isSqlError }),
  Effect.map((done) => done.map(([id, name]) => nameOf(id, name))),
  Effect.tap((done) =>
    done.length === 0 ? Effect.void : Effect.logInfo("migration.applied").pipe(Effect.annotateLogs({ done })),
  ),
  // An older version may run on a newer schema, for example during a rolling update: migrations only add to it.
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
        message: `The database could not be migrated: ${messages(error)}`,
      }),
  ),
)

/** The messages of an error and its causes: the migrator's names the file, the driver's what is wrong in it. */
const messages = (error: unknown): string =>
  error instanceof Error
    ? [error.message, ...(error.cause === undefined ? [] : [messages(error.cause)])].join(": ")
    : `${error}`

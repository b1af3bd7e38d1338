import { resolve } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Duration, Effect, Option, Redacted, Schema } from "effect"
import type { Settings } from "../../config.ts"
import { joinEmbedded } from "../../db/embedded.ts"
import { installedBinaries, serverFolder } from "../../db/embedded-home.ts"
import { isDatabaseAway, isSqlError } from "../../db/errors.ts"
import { pending } from "../../db/migrations.ts"
import { findOne } from "../../db/rows.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"

const check = "database"

const minimumVersion = 15

const Server = Schema.Struct({
  major: Schema.Int,
  version: Schema.String,
  encoding: Schema.String,
  now: Schema.DateFromSelf,
})

/** Whether the server is new enough, and its schema the one of this service. */
const look = Effect.fnUntraced(function* (where: string) {
  const sql = yield* SqlClient.SqlClient
  const askedAt = Date.now()
  const server = yield* findOne(
    Server,
    sql`select current_setting('server_version_num')::int / 10000 as major, current_setting('server_version') as version,
        pg_encoding_to_char(encoding) as encoding, clock_timestamp() as now
      from pg_database where datname = current_database()`,
  )
  const aheadMs = server.now.getTime() - (askedAt + Date.now()) / 2
  const finding = (found: Finding): Finding => ({ ...found, aheadMs })
  if (server.major < minimumVersion) {
    return finding(
      problem(
        check,
        `PostgreSQL ${server.version} at ${where}`,
        `Use PostgreSQL ${minimumVersion} or newer.`,
      ),
    )
  }
  const found = `PostgreSQL ${server.version.split(" ")[0]} at ${where}`
  if (server.encoding !== "UTF8") {
    return finding(
      problem(check, `${found}, in ${server.encoding}`, "Create the database again with ENCODING 'UTF8'."),
    )
  }
  const { missing, foreign } = yield* pending
  if (foreign.length > 0) {
    return finding(
      warning(
        check,
        `${found}; its schema is newer than this service`,
        "Start the newer version of the service.",
      ),
    )
  }
  if (missing.length > 0) {
    return finding(
      warning(
        check,
        `${found}; its schema lacks ${missing.join(", ")}`,
        "Start the service, which migrates the schema, or run voice-agent migrate.",
      ),
    )
  }
  return finding(ok(check, `${found}, schema up to date`))
})

const connection = (url: Redacted.Redacted) =>
  PgClient.layer({
    url,
    maxConnections: 1,
    connectTimeout: Duration.seconds(3),
    applicationName: "voice-agent doctor",
  })

/** The host, port and database of a URL, without its password. */
const addressOf = (url: Redacted.Redacted) => {
  const { host, pathname } = new URL(Redacted.value(url))
  return `${host}${pathname}`
}

const explain = (address: string) => (error: unknown) => {
  const cause = isSqlError(error) ? error.cause : error
  const isAway = isSqlError(error) && isDatabaseAway(error)
  return Effect.succeed(
    problem(
      check,
      `${address}: ${messageOf(cause)}`,
      isAway
        ? "Check that PostgreSQL runs there, and that DATABASE_URL is right."
        : "Check the user, password and database name in DATABASE_URL.",
    ),
  )
}

/** Checks DATABASE_URL or the embedded server, without creating one. */
export const checkDatabase = Effect.fn("doctor.database")(function* ({
  databaseUrl,
  dataDir,
}: Settings["Type"]) {
  if (Option.isSome(databaseUrl)) {
    const address = addressOf(databaseUrl.value)
    return yield* look(address).pipe(
      Effect.provide(connection(databaseUrl.value)),
      Effect.timeout("10 seconds"),
      Effect.catchAll(explain(address)),
    )
  }
  const fs = yield* FileSystem.FileSystem
  const folder = resolve(dataDir)
  const exists = yield* Effect.orElseSucceed(fs.exists(`${serverFolder(folder)}/postgres`), () => false)
  if (!exists) {
    return yield* Effect.match(installedBinaries, {
      onFailure: (error) => problem(check, messageOf(error), "Set DATABASE_URL instead."),
      onSuccess: ({ version }) => ok(check, `embedded ${version} in ${dataDir}, created at the first start`),
    })
  }
  return yield* Effect.flatMap(joinEmbedded({ dataDir: folder }), (url) =>
    Effect.provide(look(`${dataDir}, embedded`), connection(url)),
  ).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(
        problem(check, messageOf(error), "Read postgres.log in that folder, or set DATABASE_URL."),
      ),
    ),
  )
})

import { resolve } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Duration, Effect, Option, Redacted } from "effect"
import type { Settings } from "../../config.ts"
import { joinEmbedded } from "../../db/embedded.ts"
import { installedBinaries, serverFolder } from "../../db/embedded-home.ts"
import { isDatabaseAway, isSqlError } from "../../db/errors.ts"
import { pending } from "../../db/migrations.ts"
import { type Finding, ok, problem, warning, wordsOf } from "./finding.ts"

const check = "database"

const oldest = 15

interface Server {
  readonly version: number
  readonly shown: string
  readonly encoding: string
  readonly now: Date
}

/** What the server is, whether it is new enough, and whether its schema is the one that this service knows. */
const look = Effect.fnUntraced(function* (where: string) {
  const sql = yield* SqlClient.SqlClient
  const askedAt = Date.now()
  const [server] = yield* sql<Server>`
    select current_setting('server_version_num')::int / 10000 as version, current_setting('server_version') as shown,
      pg_encoding_to_char(encoding) as encoding, clock_timestamp() as now
    from pg_database where datname = current_database()`
  const aheadMs = server === undefined ? 0 : server.now.getTime() - (askedAt + Date.now()) / 2
  const finding = (found: Finding): Finding => ({ ...found, aheadMs })
  if (server === undefined || server.version < oldest) {
    return finding(
      problem(check, `PostgreSQL ${server?.shown} at ${where}`, `Use PostgreSQL ${oldest} or newer.`),
    )
  }
  const found = `PostgreSQL ${server.shown.split(" ")[0]} at ${where}`
  if (server.encoding !== "UTF8") {
    return finding(
      problem(check, `${found}, in ${server.encoding}`, "Make the database anew with ENCODING 'UTF8'."),
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
        "Nothing, if the service is to start now: it brings the schema up to date. Else: migrate.",
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

/** Where a URL leads, without its password. */
const placeOf = (url: Redacted.Redacted) => {
  const { host, pathname } = new URL(Redacted.value(url))
  return `${host}${pathname}`
}

const sayWhy = (place: string) => (error: unknown) => {
  const cause = isSqlError(error) ? error.cause : error
  const isAway = isSqlError(error) && isDatabaseAway(error)
  return Effect.succeed(
    problem(
      check,
      `${place}: ${wordsOf(cause)}`,
      isAway
        ? "See whether PostgreSQL runs there, and whether DATABASE_URL is right."
        : "See whether the user, password and database name in DATABASE_URL are right.",
    ),
  )
}

/** DATABASE_URL, or the service's own server: where there is none yet, none is made. */
export const checkDatabase = Effect.fn("doctor.database")(function* ({
  databaseUrl,
  dataDir,
}: Settings["Type"]) {
  if (Option.isSome(databaseUrl)) {
    const place = placeOf(databaseUrl.value)
    return yield* look(place).pipe(
      Effect.provide(connection(databaseUrl.value)),
      Effect.timeout("10 seconds"),
      Effect.catchAll(sayWhy(place)),
    )
  }
  const fs = yield* FileSystem.FileSystem
  const folder = resolve(dataDir)
  const isThere = yield* Effect.orElseSucceed(fs.exists(`${serverFolder(folder)}/postgres`), () => false)
  if (!isThere) {
    return yield* Effect.match(installedBinaries, {
      onFailure: (error) => problem(check, wordsOf(error), "Without it the service needs a DATABASE_URL."),
      onSuccess: ({ version }) => ok(check, `embedded ${version} in ${dataDir}, made at the first start`),
    })
  }
  return yield* Effect.flatMap(joinEmbedded({ dataDir: folder }), (url) =>
    Effect.provide(look(`${dataDir}, embedded`), connection(url)),
  ).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(problem(check, wordsOf(error), "See postgres.log in that folder, or set DATABASE_URL.")),
    ),
  )
})

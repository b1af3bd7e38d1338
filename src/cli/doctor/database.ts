import { resolve } from "node:path"
import * as FileSystem from "@effect/platform/FileSystem"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Layer, Option, Redacted } from "effect"
import type { Settings } from "../../config.ts"
import { connectionFailure } from "../../db/connection-failure.ts"
import { joinEmbedded } from "../../db/embedded.ts"
import { installedBinaries, serverFolder } from "../../db/embedded-home.ts"
import { isSqlError } from "../../db/errors.ts"
import { pending } from "../../db/migrations.ts"
import { makePool } from "../../db/pool.ts"
import { problemOf, readServer } from "../../db/server.ts"
import { targetOf } from "../../db/target.ts"
import { storedLessons } from "../../providers/lessons.ts"
import { type Finding, messageOf, ok, problem, warning } from "./finding.ts"
import { checkStored } from "./stored.ts"

const check = "database"

/** Whether the service can run on the server, and its schema is the one of this service. */
const look = Effect.fnUntraced(function* (where: string) {
  const askedAt = Date.now()
  const server = yield* readServer
  const aheadMs = server.now.getTime() - (askedAt + Date.now()) / 2
  const finding = (found: Finding): Finding => ({ ...found, aheadMs })
  const found = `PostgreSQL ${server.version} at ${where}`
  const unusable = problemOf(server)
  if (unusable !== undefined) {
    return finding(problem(check, `${found}: the database ${unusable.problem}`, unusable.advice))
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
        "Start the service, which migrates the schema, or run ./voice-agent migrate.",
      ),
    )
  }
  return finding(ok(check, `${found}, schema up to date`))
})

/** The state of the database, what the service learned about its providers, and what does not fit the settings. */
const examine = (where: string, settings: Settings["Type"]) =>
  Effect.flatMap(look(where), (finding) =>
    finding.state === "ok"
      ? Effect.all({
          finding: Effect.succeed(finding),
          lessons: storedLessons,
          stored: checkStored(settings),
        })
      : Effect.succeed(withoutLessons(finding)),
  )

const withoutLessons = (finding: Finding) => ({ finding, lessons: [], stored: [] })

const connection = (url: Redacted.Redacted) =>
  Layer.unwrapEffect(
    Effect.map(targetOf(url), ({ config, ways }) =>
      PgClient.layerFromPool({
        acquire: makePool({
          target: { ways, config: { ...config, application_name: "voice-agent doctor" } },
          size: 1,
        }),
      }),
    ),
  )

/** The host, port and database of a URL, without its password. */
const addressOf = (url: Redacted.Redacted) => {
  const { host, pathname } = new URL(Redacted.value(url))
  return `${host}${pathname}`
}

const explain = (address: string) => (error: unknown) => {
  if (!isSqlError(error)) return problem(check, `${address}: ${messageOf(error)}`, "Correct DATABASE_URL.")
  const failure = connectionFailure(error)
  return problem(check, `${address}: ${failure.problem}`, failure.advice)
}

/** Checks DATABASE_URL or the embedded server, without creating one. */
export const checkDatabase = Effect.fn("doctor.database")(function* (settings: Settings["Type"]) {
  const { databaseUrl, dataDir } = settings
  if (Option.isSome(databaseUrl)) {
    const address = addressOf(databaseUrl.value)
    return yield* examine(address, settings).pipe(
      Effect.provide(connection(databaseUrl.value)),
      Effect.timeout("10 seconds"),
      Effect.catchAll((error) => Effect.succeed(withoutLessons(explain(address)(error)))),
    )
  }
  const fs = yield* FileSystem.FileSystem
  const folder = resolve(dataDir)
  const exists = yield* Effect.orElseSucceed(fs.exists(`${serverFolder(folder)}/postgres`), () => false)
  if (!exists) {
    return yield* Effect.match(installedBinaries, {
      onFailure: (error) => problem(check, messageOf(error), "Set DATABASE_URL instead."),
      onSuccess: ({ version }) =>
        ok(check, `embedded ${version} in ${serverFolder(folder)}, created at the first start`),
    }).pipe(Effect.map(withoutLessons))
  }
  return yield* Effect.flatMap(joinEmbedded({ dataDir: folder }), (url) =>
    Effect.provide(examine(`${serverFolder(folder)}, embedded`, settings), connection(url)),
  ).pipe(
    Effect.scoped,
    Effect.catchAll((error) =>
      Effect.succeed(
        withoutLessons(
          problem(check, messageOf(error), "Read postgres.log in that folder, or set DATABASE_URL."),
        ),
      ),
    ),
  )
})

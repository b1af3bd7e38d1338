import { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Schema } from "effect"
import { findOne } from "./rows.ts"

const minimumVersion = 15

const Server = Schema.Struct({
  major: Schema.Int,
  version: Schema.String,
  encoding: Schema.String,
  isStandby: Schema.Boolean,
  isReadOnly: Schema.Boolean,
  now: Schema.DateFromSelf,
})

/** What the service must know of the server and of its database. Named as it is decoded. */
export const readServer = Effect.gen(function* () {
  const sql = yield* SqlClient
  return yield* findOne(
    Server,
    sql`select current_setting('server_version_num')::int / 10000 as major,
        split_part(current_setting('server_version'), ' ', 1) as version,
        current_setting('server_encoding') as encoding, clock_timestamp() as now,
        pg_is_in_recovery() as "isStandby", current_setting('transaction_read_only') = 'on' as "isReadOnly"`,
  )
})

/** Why the service cannot run on a server, if it cannot: `problem` is a clause without its subject, `advice` a sentence. */
export const problemOf = ({ encoding, isReadOnly, isStandby, major, version }: typeof Server.Type) => {
  if (major < minimumVersion) {
    return { problem: `is PostgreSQL ${version}`, advice: `Use PostgreSQL ${minimumVersion} or newer.` }
  }
  if (encoding !== "UTF8") {
    return {
      problem: `is in ${encoding}, which cannot store every language`,
      advice:
        "Create another one in UTF-8 and set DATABASE_URL to it: create database NAME encoding 'UTF8' locale 'C' template template0.",
    }
  }
  if (isStandby) {
    return {
      problem: "is a standby, which can only read",
      advice: "Set DATABASE_URL to the primary server.",
    }
  }
  if (isReadOnly) {
    return {
      problem: "can only be read",
      advice: "Set default_transaction_read_only of the database and of the role to off.",
    }
  }
  return undefined
}

import { join, resolve } from "node:path"
import * as SqlClient from "@effect/sql/SqlClient"
import { Effect, Option, Schema } from "effect"
import type { Settings } from "../../config.ts"
import { keyIds } from "../../db/encryption.ts"
import { query } from "../../db/postgres.ts"
import { findAll } from "../../db/rows.ts"
import { otherCurrencies } from "../../usage/other-currencies.ts"
import { type Finding, messageOf, warning } from "./finding.ts"

const Row = Schema.Struct({ keyId: Schema.String, count: Schema.Int })

const checkCurrencies = (settings: Settings["Type"]) =>
  Effect.map(otherCurrencies(settings), (found) =>
    Option.toArray(found).map(
      ({ currencies, hint }): Finding => warning("limits", `this month has costs in ${currencies}`, hint),
    ),
  )

/** Whether the stored secrets can be decrypted. Nothing is decrypted: each names its key. */
const checkSecrets = Effect.fnUntraced(function* (settings: Settings["Type"]) {
  const sql = yield* SqlClient.SqlClient
  const stored = yield* query(
    findAll(
      Row,
      sql`select split_part(value, '.', 2) as "keyId", count(*)::int as count
        from (select value from secrets union all select secret from webhooks union all
          select secret from webhook_old_secrets where expires_at > now()) as stored (value) group by 1`,
    ),
  )
  if (stored.length === 0) return []
  const ids = yield* keyIds(settings)
  const lost = stored.filter(({ keyId }) => !ids.includes(keyId)).reduce((sum, { count }) => sum + count, 0)
  if (lost === 0) return []
  const file = join(resolve(settings.dataDir), "encryption.key")
  return [
    warning(
      "encryption",
      `the key of ${lost} stored secret${lost === 1 ? "" : "s"} of tools and webhooks is missing`,
      `Put the file back at ${file}, or set ENCRYPTION_KEY or ENCRYPTION_PREVIOUS_KEYS to the earlier key. Without it, users have to store their secrets again, and to rotate those of their webhooks.`,
    ),
  ]
})

/** What the database has that does not fit the settings. */
export const checkStored = (settings: Settings["Type"]) =>
  Effect.map(
    Effect.all([
      checkCurrencies(settings),
      Effect.catchTag(checkSecrets(settings), "EncryptionUnavailable", ({ reason }) =>
        Effect.succeed([warning("encryption", messageOf(reason), "Correct the key file.")]),
      ),
    ]),
    (found) => found.flat(),
  )

import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, type Redacted, Schema } from "effect"
import { Settings } from "../config.ts"
import { Encryption, type EncryptionUnavailable } from "../db/encryption.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst } from "../db/rows.ts"
import { makeUrlCheck } from "../outbound/target.ts"
import { newId, parseId, type UserId, WebhookId } from "../schema.ts"
import { endPending } from "./end-pending.ts"
import { TooManyWebhookSecrets, TooManyWebhooks, WebhookNotFound, WebhookUrlRefused } from "./errors.ts"
import { type NewWebhook, orderedEvents, Webhook, type WebhookChanges } from "./model.ts"
import { WebhookSignal } from "./signal.ts"
import { makeSecret } from "./signature.ts"

/** Webhooks per user. Each costs a row per event. */
const maxStored = 20

/** Old secrets of a webhook. Each adds a signature of 47 characters to a header. */
const maxOldSecrets = 5

const Found = Schema.Struct({ id: WebhookId })

/** Binds a secret to its row: it cannot be decrypted in the place of another one. */
export const secretContext = (id: WebhookId) => `webhook ${id}`

/** The webhooks of users. An `id` is the text that a client sent. */
export class Webhooks extends Context.Tag("voice-agent/Webhooks")<
  Webhooks,
  {
    /** The secret is in no other result. */
    readonly create: (
      userId: UserId,
      webhook: NewWebhook,
    ) => Effect.Effect<
      { readonly webhook: Webhook; readonly secret: Redacted.Redacted },
      TooManyWebhooks | WebhookUrlRefused | EncryptionUnavailable | DatabaseError
    >
    /** In the order of their creation. */
    readonly list: (userId: UserId) => Effect.Effect<ReadonlyArray<Webhook>, DatabaseError>
    readonly get: (userId: UserId, id: string) => Effect.Effect<Webhook, WebhookNotFound | DatabaseError>
    /** Disabling one ends its pending deliveries as failed. Enabling it forgets its failures. */
    readonly update: (
      userId: UserId,
      id: string,
      changes: WebhookChanges,
    ) => Effect.Effect<Webhook, WebhookNotFound | WebhookUrlRefused | DatabaseError>
    /**
     * Returns a new secret, which is in no other result. The old one signs too for so long; then the hourly clean-up deletes
     * it. After 0 s, none of the old ones does.
     */
    readonly rotateSecret: (
      userId: UserId,
      id: string,
      graceSeconds: number,
    ) => Effect.Effect<
      { readonly webhook: Webhook; readonly secret: Redacted.Redacted },
      WebhookNotFound | TooManyWebhookSecrets | EncryptionUnavailable | DatabaseError
    >
    /** With its deliveries. */
    readonly remove: (userId: UserId, id: string) => Effect.Effect<void, WebhookNotFound | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Webhooks,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { encrypt } = yield* Encryption
      const signal = yield* WebhookSignal
      const faultOf = makeUrlCheck((yield* Settings).outbound)
      const checkUrl = (url: string) =>
        Option.match(faultOf(url), {
          onNone: () => Effect.void,
          onSome: (reason) => new WebhookUrlRefused({ reason }),
        })
      const columns = sql`id, url, events, transcripts, enabled, disabled_reason, failing_since, created_at, updated_at,
        (select max(expires_at) from webhook_old_secrets where webhook_id = webhooks.id and expires_at > now())
          as old_secrets_expire_at`
      const orNotFound = Effect.mapError(() => new WebhookNotFound())
      const owned = (userId: UserId, id: string) =>
        orNotFound(
          Effect.map(parseId(WebhookId, id), (parsed) => sql`id = ${parsed} and user_id = ${userId}`),
        )
      const listOf = (events: ReadonlyArray<string>) =>
        sql`string_to_array(${orderedEvents(events).join()}, ',')`

      const create = Effect.fn("Webhooks.create")(function* (
        userId: UserId,
        { url, events, transcripts = false, enabled = true }: NewWebhook,
      ) {
        yield* checkUrl(url)
        const id = newId(WebhookId)
        const secret = makeSecret()
        const stored = yield* encrypt(secret, secretContext(id))
        // The lock puts requests of one user in order, so that none passes the limit.
        const created = Effect.zipRight(
          sql`select 1 from users where id = ${userId} for no key update`,
          findFirst(
            Webhook,
            sql`insert into webhooks (id, user_id, url, events, secret, transcripts, enabled)
              select ${id}::uuid, ${userId}::uuid, ${url}, ${listOf(events)}, ${stored}, ${transcripts}::boolean,
                ${enabled}::boolean
              where (select count(*) from webhooks where user_id = ${userId}) < ${maxStored}
              returning ${columns}`,
          ),
        )
        const webhook = yield* transaction(sql, created)
        if (Option.isNone(webhook)) return yield* new TooManyWebhooks({ max: maxStored })
        yield* signal.wake
        return { webhook: webhook.value, secret }
      })

      const list = Effect.fn("Webhooks.list")((userId: UserId) =>
        query(
          findAll(
            Webhook,
            sql`select ${columns} from webhooks where user_id = ${userId} order by created_at, id`,
          ),
        ),
      )

      const get = Effect.fn("Webhooks.get")(function* (userId: UserId, id: string) {
        const where = yield* owned(userId, id)
        return yield* orNotFound(
          yield* query(findFirst(Webhook, sql`select ${columns} from webhooks where ${where}`)),
        )
      })

      const update = Effect.fn("Webhooks.update")(function* (
        userId: UserId,
        id: string,
        { url, events, transcripts, enabled }: WebhookChanges,
      ) {
        if (url !== undefined) yield* checkUrl(url)
        const where = yield* owned(userId, id)
        const set = [
          ...(url === undefined ? [] : [sql`url = ${url}`]),
          ...(transcripts === undefined ? [] : [sql`transcripts = ${transcripts}`]),
          ...(events === undefined
            ? []
            : [
                sql`events = ${listOf(events)}`,
                // A new subscription is not told of sessions that expired before it.
                sql`sessions_checked_at = case when enabled and 'session.expired' = any (events) then sessions_checked_at
                  else now() end`,
              ]),
          ...(enabled === undefined ? [] : [sql`enabled = ${enabled}`, sql`disabled_reason = null`]),
        ]
        const enabling = sql`update webhooks set failing_since = null, sessions_checked_at = now()
          where ${where} and not enabled returning id`
        const changed = Effect.gen(function* () {
          if (enabled === true) {
            // What was recorded as it was disabled is not sent late.
            const webhook = yield* findFirst(Found, enabling)
            yield* Effect.transposeMapOption(webhook, ({ id }) => endPending(sql, id))
          }
          const row = yield* findFirst(
            Webhook,
            sql`update webhooks set ${sql.csv(set)}, updated_at = now() where ${where} returning ${columns}`,
          )
          if (enabled === false)
            yield* Effect.transposeMapOption(row, (webhook) => endPending(sql, webhook.id))
          return row
        })
        if (set.length === 0) return yield* get(userId, id)
        const webhook = yield* orNotFound(yield* transaction(sql, changed))
        yield* signal.wake
        return webhook
      })

      const rotateSecret = Effect.fn("Webhooks.rotateSecret")(function* (
        userId: UserId,
        id: string,
        graceSeconds: number,
      ) {
        const webhookId = yield* orNotFound(parseId(WebhookId, id))
        const secret = makeSecret()
        const stored = yield* encrypt(secret, secretContext(webhookId))
        const rotated = Effect.gen(function* () {
          // The lock puts rotations in order, so that no secret is lost between two.
          const owner = sql`select 1 from webhooks where id = ${webhookId} and user_id = ${userId} for no key update`
          if ((yield* owner).length === 0) return Option.none()
          if (graceSeconds === 0) yield* sql`delete from webhook_old_secrets where webhook_id = ${webhookId}`
          else {
            const kept = yield* sql`insert into webhook_old_secrets (webhook_id, secret, expires_at)
              select id, secret, now() + make_interval(secs => ${graceSeconds}) from webhooks
              where id = ${webhookId} and ${maxOldSecrets} > (
                select count(*) from webhook_old_secrets where webhook_id = ${webhookId} and expires_at > now()
              ) returning 1`
            if (kept.length === 0) return yield* new TooManyWebhookSecrets({ max: maxOldSecrets })
          }
          return yield* findFirst(
            Webhook,
            sql`update webhooks set secret = ${stored}, updated_at = now() where id = ${webhookId} returning ${columns}`,
          )
        })
        const webhook = yield* orNotFound(yield* transaction(sql, rotated))
        return { webhook, secret }
      })

      const remove = Effect.fn("Webhooks.remove")(function* (userId: UserId, id: string) {
        const where = yield* owned(userId, id)
        const removed = yield* transaction(
          sql,
          findFirst(Found, sql`delete from webhooks where ${where} returning id`),
        )
        yield* orNotFound(removed)
      })

      return { create, list, get, update, rotateSecret, remove }
    }),
  )
}

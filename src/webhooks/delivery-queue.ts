import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { DeliveryId, Time, UserId, WebhookId } from "../schema.ts"
import { endPending, endQueuedOfDisabled } from "./end-pending.ts"
import { testType } from "./events.ts"
import { Chosen, chooseInTurn, type RunningAttempt } from "./in-turn.ts"

/**
 * How long an attempt belongs to its process. It takes 15 s at most, and its outcome is recorded within 20 s; after that the
 * process counts as gone.
 */
export const lease = Duration.minutes(1)

/** Deliveries that become due in one look, so that it takes milliseconds. */
const maxQueued = 1000

/** Before every user. */
const noUser = "00000000-0000-0000-0000-000000000000"

/** After such a time without a success, a webhook is disabled at its next failure. */
const failingFor = Duration.days(3)

/** An attempt of this process, and what it sends. */
const Claimed = Schema.Struct({
  id: DeliveryId,
  webhookId: WebhookId,
  userId: UserId,
  /** Of the attempt. */
  claim: Schema.UUID,
  url: Schema.String,
  /** Encrypted. */
  secret: Schema.String,
  /** Encrypted. They sign too. */
  oldSecrets: Schema.Array(Schema.String),
  type: Schema.String,
  occurredAt: Time,
  data: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  /** This one included. */
  attempts: Schema.Int,
  /** Whether the webhook asks for what was said. */
  transcripts: Schema.Boolean,
})
export type Claimed = typeof Claimed.Type

/** What came of an attempt, and what follows. */
export interface AttemptRecord {
  readonly status: number | null
  readonly answer: string | null
  readonly error: string | null
  /** Nothing, or another attempt after so long. */
  readonly then: "delivered" | "failed" | Duration.Duration
}

export type DisabledReason = "gone" | "failing"

/** What was said in a turn. */
const Words = Schema.Struct({
  transcript: Schema.NullOr(Schema.String),
  response: Schema.NullOr(Schema.String),
})

const Look = Schema.Struct({ isDue: Schema.Boolean, isUsed: Schema.Boolean })
const Failing = Schema.Struct({ isFailing: Schema.Boolean })
const Disabled = Schema.Struct({ id: WebhookId })

/** The deliveries that are due, shared by all processes of the service. */
export class DeliveryQueue extends Context.Tag("voice-agent/DeliveryQueue")<
  DeliveryQueue,
  {
    /** Queues what has become due. Returns whether anything is due, and whether there are webhooks at all. */
    readonly look: Effect.Effect<typeof Look.Type, DatabaseError>
    /**
     * Takes up to `free` attempts that are due, from users in turn. `running`: those of this process. `isContended`: another
     * process was faster with some of them, so others may be due.
     */
    readonly claim: (
      free: number,
      running: ReadonlyArray<RunningAttempt>,
    ) => Effect.Effect<
      { readonly taken: ReadonlyArray<Claimed>; readonly isContended: boolean },
      DatabaseError
    >
    /**
     * Records what came of an attempt. Returns true if it failed and the webhook has failed for 3 days. May be repeated. The
     * outcome of an attempt that was taken for lost counts no more.
     */
    readonly record: (attempt: Claimed, record: AttemptRecord) => Effect.Effect<boolean, DatabaseError>
    /** What was said in the turn that a delivery tells of. None if it is deleted. */
    readonly words: (attempt: Claimed) => Effect.Effect<Option.Option<typeof Words.Type>, DatabaseError>
    /** Leaves an attempt that was not finished to any process, at once. */
    readonly giveBack: (attempt: Claimed) => Effect.Effect<void, DatabaseError>
    /** Returns false if it is disabled already, or gone. */
    readonly disable: (id: WebhookId, reason: DisabledReason) => Effect.Effect<boolean, DatabaseError>
    /** Stores a secret that was encrypted with a newer key. */
    readonly renewSecret: (attempt: Claimed, renewed: string) => Effect.Effect<void, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    DeliveryQueue,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const after = (duration: Duration.Duration) =>
        sql`now() + make_interval(secs => ${Duration.toSeconds(duration)})`

      const look = query(
        findOne(
          Look,
          sql`with queued as (
              update webhook_deliveries as delivery set queued_for = webhook.user_id
              from (
                select id from webhook_deliveries
                where state = 'pending' and queued_for is null and next_attempt_at <= now()
                order by next_attempt_at limit ${maxQueued} for update skip locked
              ) as due, webhooks as webhook
              where delivery.id = due.id and webhook.id = delivery.webhook_id
              returning 1
            )
            select exists (select from queued)
              or exists (select from webhook_deliveries where queued_for is not null) as is_due,
              (select id from webhooks order by id limit 1) is not null as is_used`,
        ),
      ).pipe(Effect.withSpan("DeliveryQueue.look"))

      /** The user whose turn was the last one in this process. */
      let last: string = noUser

      const claim = Effect.fn("DeliveryQueue.claim")(function* (
        free: number,
        running: ReadonlyArray<RunningAttempt>,
      ) {
        const choose = (options: Parameters<typeof chooseInTurn>[1]) =>
          query(findAll(Chosen, chooseInTurn(sql, options)))
        const first = yield* choose({ free, running, after: last, each: 1 })
        if (first.length === 0) {
          // Otherwise it would be due for ever.
          yield* query(endQueuedOfDisabled(sql))
          return { taken: [], isContended: false }
        }
        last = first.at(-1)?.userId ?? last
        const left = free - first.length
        // Everyone is served: what is left is for those that have more.
        const more =
          left > 0 && first.some(({ hasMore }) => hasMore)
            ? yield* choose({
                free: left,
                running: [...running, ...first],
                after: last,
                each: left,
                except: first.map(({ id }) => id),
              })
            : []
        const chosen = [...first, ...more]
        // Not `query`: a repeat would leave the deliveries of the first try to nobody for as long as the lease.
        const taken = yield* transaction(
          sql,
          findAll(
            Claimed,
            sql`with mine as (
                select id from webhook_deliveries
                where ${sql.in(
                  "id",
                  chosen.map(({ id }) => id),
                )} and queued_for is not null
                for update skip locked
              )
              update webhook_deliveries as delivery
              set attempts = attempts + 1, claim = gen_random_uuid(), attempted_at = now(), queued_for = null,
                next_attempt_at = ${after(lease)}
              from mine, webhooks as webhook
              where delivery.id = mine.id and webhook.id = delivery.webhook_id
              returning delivery.id, webhook_id, user_id, claim, url, secret, type, occurred_at, data, attempts, transcripts,
                array(
                  select old.secret from webhook_old_secrets as old
                  where old.webhook_id = webhook.id and old.expires_at > now()
                ) as old_secrets`,
          ),
        )
        return { taken, isContended: taken.length < chosen.length }
      })

      const record = Effect.fn("DeliveryQueue.record")(function* (
        { id, claim, webhookId, type }: Claimed,
        { status, answer, error, then }: AttemptRecord,
      ) {
        const isOver = then === "delivered" || then === "failed"
        yield* query(sql`update webhook_deliveries set ${sql.update({ status, answer, error })},
            state = ${isOver ? then : "pending"}, next_attempt_at = ${isOver ? null : after(then)},
            queued_for = null, ended_at = ${isOver ? sql`now()` : null}
          where id = ${id} and claim = ${claim} ${then === "delivered" ? sql`` : sql`and state = 'pending'`}`)
        // A test tells of the setting up, not of the service that the webhook gives.
        if (type === testType) return false
        if (then === "delivered") {
          yield* query(
            sql`update webhooks set failing_since = null where id = ${webhookId} and failing_since is not null`,
          )
          return false
        }
        yield* query(
          sql`update webhooks set failing_since = now() where id = ${webhookId} and failing_since is null`,
        )
        const failing = yield* query(
          findFirst(
            Failing,
            sql`select coalesce(failing_since <= now() - make_interval(secs => ${Duration.toSeconds(failingFor)}), false)
                as is_failing
              from webhooks where id = ${webhookId}`,
          ),
        )
        return Option.exists(failing, ({ isFailing }) => isFailing)
      })

      const words = Effect.fn("DeliveryQueue.words")(({ data }: Claimed) =>
        query(
          findFirst(Words, sql`select transcript, response from turns where id = ${`${data.turnId}`}::uuid`),
        ),
      )

      const giveBack = Effect.fn("DeliveryQueue.giveBack")(({ id, claim, userId }: Claimed) =>
        Effect.asVoid(
          query(sql`update webhook_deliveries
            set attempts = greatest(0, attempts - 1), next_attempt_at = now(), queued_for = ${userId}, claim = null
            where id = ${id} and claim = ${claim} and state = 'pending'`),
        ),
      )

      const disable = Effect.fn("DeliveryQueue.disable")((id: WebhookId, reason: DisabledReason) =>
        transaction(
          sql,
          findFirst(
            Disabled,
            sql`update webhooks set enabled = false, disabled_reason = ${reason}, updated_at = now()
              where id = ${id} and enabled returning id`,
          ).pipe(
            Effect.tap(Effect.transposeMapOption((webhook) => endPending(sql, webhook.id))),
            Effect.map(Option.isSome),
          ),
        ),
      )

      const renewSecret = Effect.fn("DeliveryQueue.renewSecret")(
        ({ webhookId, secret }: Claimed, renewed: string) =>
          Effect.asVoid(
            query(
              sql`update webhooks set secret = ${renewed} where id = ${webhookId} and secret = ${secret}`,
            ),
          ),
      )

      return { look, claim, record, words, giveBack, disable, renewSecret }
    }),
  )
}

import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { DeliveryId, Time, WebhookId } from "../schema.ts"
import { endPending } from "./end-pending.ts"
import { testType } from "./events.ts"

/**
 * How long an attempt belongs to its process. It takes 15 s at most, and its outcome is recorded within 20 s; after that the
 * process counts as gone.
 */
const lease = Duration.minutes(1)

/** Attempts of one process for one webhook at a time. A webhook that fails gets one: it must not hold up others. */
const attemptsPerWebhook = { working: 4, failing: 1 }

/** After such a time without a success, a webhook is disabled at its next failure. */
const failingFor = Duration.days(3)

/** An attempt of this process, and what it sends. */
const Claimed = Schema.Struct({
  id: DeliveryId,
  webhookId: WebhookId,
  /** Of the attempt. */
  claim: Schema.UUID,
  url: Schema.String,
  /** Encrypted. */
  secret: Schema.String,
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

const Upcoming = Schema.Struct({ isUsed: Schema.Boolean, seconds: Schema.NullOr(Schema.Number) })
const Failing = Schema.Struct({ isFailing: Schema.Boolean })
const Disabled = Schema.Struct({ id: WebhookId })

/** The deliveries that are due, shared by all processes of the service. */
export class DeliveryQueue extends Context.Tag("voice-agent/DeliveryQueue")<
  DeliveryQueue,
  {
    /** Takes up to `limit` attempts that are due. `running`: those of this process, by webhook. */
    readonly claim: (
      limit: number,
      running: ReadonlyMap<WebhookId, number>,
    ) => Effect.Effect<ReadonlyArray<Claimed>, DatabaseError>
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
    /** Whether there are webhooks at all, and how long until the next attempt is due that is not due now. */
    readonly upcoming: Effect.Effect<
      { readonly isUsed: boolean; readonly next: Option.Option<Duration.Duration> },
      DatabaseError
    >
  }
>() {
  static readonly layer = Layer.effect(
    DeliveryQueue,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const after = (duration: Duration.Duration) =>
        sql`now() + make_interval(secs => ${Duration.toSeconds(duration)})`

      /** The webhooks with pending deliveries: one step in the index for each, however many it has. */
      const waiting = sql`waiting as (
          (select webhook_id from webhook_deliveries where state = 'pending' order by webhook_id limit 1)
          union all
          select (
            select next.webhook_id from webhook_deliveries as next
            where state = 'pending' and next.webhook_id > waiting.webhook_id order by next.webhook_id limit 1
          ) from waiting where webhook_id is not null
        )`

      const claim = Effect.fn("DeliveryQueue.claim")(
        (limit: number, running: ReadonlyMap<WebhookId, number>) =>
          // Not `query`: a repeat would leave the deliveries of the first try to nobody for as long as the lease.
          transaction(
            sql,
            findAll(
              Claimed,
              sql`with recursive ${waiting}, chosen as (
                select due.id, url, secret, transcripts from waiting
                -- The limits keep the planner from reading whole tables.
                cross join lateral (select * from webhooks where id = waiting.webhook_id and enabled limit 1) as webhook
                cross join lateral (
                  select id, next_attempt_at from webhook_deliveries
                  where webhook_id = webhook.id and state = 'pending' and next_attempt_at <= now()
                  order by next_attempt_at
                  limit greatest(0, case when failing_since is null then ${attemptsPerWebhook.working}::int
                    else ${attemptsPerWebhook.failing}::int end
                    - coalesce((${JSON.stringify(Object.fromEntries(running))}::jsonb ->> webhook.id::text)::int, 0))
                  for update skip locked
                ) as due
                order by next_attempt_at limit ${limit}
              )
              update webhook_deliveries as d
              set attempts = attempts + 1, claim = gen_random_uuid(), attempted_at = now(), next_attempt_at = ${after(lease)}
              from chosen where d.id = chosen.id
              returning d.id, webhook_id, claim, url, secret, type, occurred_at, data, attempts, transcripts`,
            ),
          ),
      )

      const record = Effect.fn("DeliveryQueue.record")(function* (
        { id, claim, webhookId, type }: Claimed,
        { status, answer, error, then }: AttemptRecord,
      ) {
        const isOver = then === "delivered" || then === "failed"
        yield* query(sql`update webhook_deliveries set ${sql.update({ status, answer, error })},
            state = ${isOver ? then : "pending"}, next_attempt_at = ${isOver ? null : after(then)},
            ended_at = ${isOver ? sql`now()` : null}
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

      const giveBack = Effect.fn("DeliveryQueue.giveBack")(({ id, claim }: Claimed) =>
        Effect.asVoid(
          query(sql`update webhook_deliveries
            set attempts = greatest(0, attempts - 1), next_attempt_at = now(), claim = null
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

      const upcoming = query(
        findOne(
          Upcoming,
          sql`with recursive ${waiting}
            select (select id from webhooks order by id limit 1) is not null as is_used,
              extract(epoch from min(next_attempt_at) - now())::float8 as seconds
            from waiting cross join lateral (
              select next_attempt_at from webhook_deliveries
              where webhook_id = waiting.webhook_id and state = 'pending' and next_attempt_at > now()
              order by next_attempt_at limit 1
            ) as next`,
        ),
      ).pipe(
        Effect.map(({ isUsed, seconds }) => ({
          isUsed,
          next: Option.map(Option.fromNullable(seconds), Duration.seconds),
        })),
        Effect.withSpan("DeliveryQueue.upcoming"),
      )

      return { claim, record, words, giveBack, disable, renewSecret, upcoming }
    }),
  )
}

import * as SqlClient from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Duration, Effect, Layer, Option, Schema } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { query, transaction } from "../db/postgres.ts"
import { findAll, findFirst, findOne } from "../db/rows.ts"
import { DeliveryId, parseId, UnknownPosition, type UserId, type WebhookId } from "../schema.ts"
import { lease } from "./delivery-queue.ts"
import { DeliveryNotFound, TooManyReplays, WebhookDisabled, type WebhookNotFound } from "./errors.ts"
import { testType } from "./events.ts"
import { Delivery, type DeliveryState, type ReplayRange } from "./model.ts"
import { WebhookSignal } from "./signal.ts"
import { Webhooks } from "./webhooks.ts"

/** How long a delivery stays in the log after its end. */
export const deliveryRetention = Duration.days(7)

/**
 * Replays of a user that may wait to be sent. They hold up nobody: users take turns, and new events go first. The bound is for
 * the database, and for one replay to take no longer than a statement may.
 */
const maxReplays = 10_000

const Position = Schema.Struct({ sequence: Schema.String })
const Count = Schema.Struct({ count: Schema.Int })

/** A delivery with its position in the log, and the webhook that it belongs to. */
const LoggedDelivery = Schema.Struct({
  ...Delivery.fields,
  webhookId: Schema.UUID,
  sequence: Schema.String,
})

interface DeliveryPage {
  readonly limit: number
  /** The id of a delivery: only earlier ones. */
  readonly before: Option.Option<string>
  readonly state: Option.Option<typeof DeliveryState.Type>
}

/** What was sent to webhooks, and what is to be sent. Ids are the texts that a client sent. */
export class DeliveryLog extends Context.Tag("voice-agent/DeliveryLog")<
  DeliveryLog,
  {
    /** Latest first. */
    readonly list: (
      userId: UserId,
      webhookId: string,
      page: DeliveryPage,
    ) => Effect.Effect<ReadonlyArray<Delivery>, WebhookNotFound | UnknownPosition | DatabaseError>
    /** Sends a delivery once more, at once, with all of its retries. */
    readonly replay: (
      userId: UserId,
      webhookId: string,
      deliveryId: string,
    ) => Effect.Effect<Delivery, WebhookNotFound | DeliveryNotFound | WebhookDisabled | DatabaseError>
    /**
     * The same for the deliveries of events in a range of time, the oldest first, without pending ones that are due soon, until
     * 10,000 replays of the user wait to be sent. Returns their number.
     */
    readonly replayAll: (
      userId: UserId,
      webhookId: string,
      range: ReplayRange,
    ) => Effect.Effect<number, WebhookNotFound | WebhookDisabled | TooManyReplays | DatabaseError>
    /** Sends an event that tells of nothing. */
    readonly test: (
      userId: UserId,
      webhookId: string,
    ) => Effect.Effect<Delivery, WebhookNotFound | WebhookDisabled | DatabaseError>
    /** The next `limit` deliveries of a webhook after the position `after`, oldest first, for the export. */
    readonly page: (
      webhookId: WebhookId,
      after: string,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<typeof LoggedDelivery.Type>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    DeliveryLog,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      const webhooks = yield* Webhooks
      const signal = yield* WebhookSignal
      const columns = sql`id, type, occurred_at, data, state, attempts, attempted_at, next_attempt_at, status, answer, error`
      // A new series of attempts. The outcome of one that still runs does not count.
      const again = (userId: UserId) =>
        sql`state = 'pending', attempts = 0, next_attempt_at = now(), queued_for = ${userId}, is_replay = true, claim = null,
          ended_at = null`

      /**
       * Part of a transaction: the lock keeps the webhook enabled until its COMMIT. Nothing may be pending at a disabled one.
       */
      const requireEnabled = Effect.fnUntraced(function* (id: WebhookId) {
        const enabled = yield* sql`select 1 from webhooks where id = ${id} and enabled for share`
        if (enabled.length === 0) return yield* new WebhookDisabled()
      })

      const positionOf = Effect.fnUntraced(function* (webhookId: WebhookId, id: string) {
        const found = yield* query(
          findFirst(
            Position,
            sql`select sequence from webhook_deliveries where webhook_id = ${webhookId} and id = ${id}::uuid`,
          ),
        )
        return yield* Effect.mapError(
          found,
          () => new UnknownPosition({ field: "before", is: "delivery id" }),
        )
      })

      const list = Effect.fn("DeliveryLog.list")(function* (
        userId: UserId,
        webhookId: string,
        { limit, before, state }: DeliveryPage,
      ) {
        const { id } = yield* webhooks.get(userId, webhookId)
        const position = yield* Effect.transposeMapOption(before, (delivery) => positionOf(id, delivery))
        return yield* query(
          findAll(
            Delivery,
            sql`select ${columns} from webhook_deliveries
              where webhook_id = ${id}
                and ${Option.match(position, { onNone: () => sql`true`, onSome: ({ sequence }) => sql`sequence < ${sequence}` })}
                and ${Option.match(state, { onNone: () => sql`true`, onSome: (state) => sql`state = ${state}` })}
              order by sequence desc limit ${limit}`,
          ),
        )
      })

      const replay = Effect.fn("DeliveryLog.replay")(function* (
        userId: UserId,
        webhookId: string,
        deliveryId: string,
      ) {
        const { id: webhook } = yield* webhooks.get(userId, webhookId)
        const replayed = Effect.gen(function* () {
          yield* requireEnabled(webhook)
          const id = yield* Effect.mapError(parseId(DeliveryId, deliveryId), () => new DeliveryNotFound())
          return yield* findFirst(
            Delivery,
            sql`update webhook_deliveries set ${again(userId)} where id = ${id} and webhook_id = ${webhook} returning ${columns}`,
          )
        })
        const delivery = yield* transaction(sql, replayed)
        if (Option.isNone(delivery)) return yield* new DeliveryNotFound()
        yield* signal.wake
        return delivery.value
      })

      const replayAll = Effect.fn("DeliveryLog.replayAll")(function* (
        userId: UserId,
        webhookId: string,
        { from, to, state }: ReplayRange,
      ) {
        const { id: webhook } = yield* webhooks.get(userId, webhookId)
        // What is due sooner may be under way, and would be sent twice.
        const hurried =
          state === "pending"
            ? sql`and next_attempt_at > now() + make_interval(secs => ${Duration.toSeconds(lease)})`
            : sql``
        const waiting = findOne(
          Count,
          sql`select count(*)::int as count from webhooks join webhook_deliveries on webhook_id = webhooks.id
            where user_id = ${userId} and state = 'pending' and is_replay`,
        )
        const replayed = Effect.gen(function* () {
          // The lock puts requests of one user in order, so that none passes the limit.
          yield* sql`select 1 from users where id = ${userId} for no key update`
          yield* requireEnabled(webhook)
          const room = maxReplays - (yield* waiting).count
          if (room <= 0) return yield* new TooManyReplays({ max: maxReplays })
          return yield* findOne(
            Count,
            sql`with chosen as (
                select id from webhook_deliveries
                where webhook_id = ${webhook} and state = ${state} and occurred_at >= ${from}
                  and occurred_at < ${Option.getOrElse(to, () => new Date())} and type <> ${testType}
                  ${hurried}
                order by sequence limit ${room}
                for update
              ), replayed as (
                update webhook_deliveries set ${again(userId)} where id in (select id from chosen) returning 1
              )
              select count(*)::int as count from replayed`,
          )
        })
        const { count } = yield* transaction(sql, replayed)
        yield* signal.wake
        return count
      })

      const test = Effect.fn("DeliveryLog.test")(function* (userId: UserId, webhookId: string) {
        const { id: webhook } = yield* webhooks.get(userId, webhookId)
        const sent = findOne(
          Delivery,
          sql`insert into webhook_deliveries ${sql.insert({ webhookId: webhook, queuedFor: userId, type: testType, data: pg.json({ webhookId: webhook }) })}
            returning ${columns}`,
        )
        const delivery = yield* transaction(sql, Effect.zipRight(requireEnabled(webhook), sent))
        yield* signal.wake
        return delivery
      })

      const page = Effect.fn("DeliveryLog.page")((webhookId: WebhookId, after: string, limit: number) =>
        query(
          findAll(
            LoggedDelivery,
            sql`select ${columns}, webhook_id, sequence from webhook_deliveries
              where webhook_id = ${webhookId} and sequence > ${after}
              order by sequence limit ${limit}`,
          ),
        ),
      )

      return { list, replay, replayAll, test, page }
    }),
  )
}

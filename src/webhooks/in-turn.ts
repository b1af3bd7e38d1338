import type * as SqlClient from "@effect/sql/SqlClient"
import type { Fragment } from "@effect/sql/Statement"
import { Schema } from "effect"
import { DeliveryId, UserId, WebhookId } from "../schema.ts"

/** Attempts of one process for one webhook at a time. A webhook that fails gets one: it must not hold up others. */
const attemptsPerWebhook = { working: 4, failing: 1 }

/** An attempt that this process makes. */
export interface RunningAttempt {
  readonly userId: UserId
  readonly webhookId: WebhookId
}

const countsOf = (ids: ReadonlyArray<string>): string => {
  const counts: Record<string, number> = {}
  for (const id of ids) counts[id] = (counts[id] ?? 0) + 1
  return JSON.stringify(counts)
}

/** A due delivery. `hasMore`: its user has others that could be sent, too. */
export const Chosen = Schema.Struct({
  id: DeliveryId,
  webhookId: WebhookId,
  userId: UserId,
  hasMore: Schema.Boolean,
})

/**
 * A statement that chooses up to `free` due deliveries besides `except`, as rows of `Chosen`. It locks nothing.
 *
 * Users take turns: it begins with the user after `after`, and goes round once; a turn is `each` deliveries at most. Nobody
 * gets more attempts of this process than are left for others, as with the dynamic limit of limits/fair-permits.ts: one user
 * alone gets a half. Of a user's webhooks, those with the fewest attempts under way go first; of a webhook, new events go
 * before replays.
 *
 * It takes a few steps in an index for each user and webhook that it visits, and ends when `free` are found.
 */
export const chooseInTurn = (
  sql: SqlClient.SqlClient,
  {
    free,
    running,
    after,
    each,
    except = [],
  }: {
    readonly free: number
    readonly running: ReadonlyArray<RunningAttempt>
    readonly after: string
    readonly each: number
    readonly except?: ReadonlyArray<DeliveryId>
  },
) => {
  const ofUsers = sql`${countsOf(running.map(({ userId }) => userId))}::jsonb`
  const ofWebhooks = sql`${countsOf(running.map(({ webhookId }) => webhookId))}::jsonb`
  const nextUser = (where: Fragment) => sql`(
    select queued_for from webhook_deliveries where queued_for is not null and ${where} order by queued_for limit 1)`
  return sql`with recursive visited as (
      select 0 as turn, ${after}::uuid as user_id, false as is_second_lap, array[]::uuid[] as ids, false as has_more,
        ${free}::int as free
      union all
      select visited.turn + 1, next.user_id, next.is_second_lap, chosen.ids[:${each}::int], cardinality(chosen.ids) > ${each}::int,
        visited.free - least(cardinality(chosen.ids), ${each}::int)
      from visited
      -- Without their limits, the planner repeats these look-ups in each expression.
      cross join lateral (
        select user_id, visited.is_second_lap or user_id <= visited.user_id as is_second_lap
        from (
          select coalesce(
            ${nextUser(sql`queued_for > visited.user_id`)},
            case when not visited.is_second_lap then ${nextUser(sql`true`)} end
          ) as user_id limit 1
        ) as found
        limit 1
      ) as next
      cross join lateral (
        select coalesce((${ofUsers} ->> next.user_id::text)::int, 0) as running limit 1
      ) as own
      cross join lateral (
        select array(
          select due.id
          from (
            select webhook.id, under_way.running, case when failing_since is null
              then ${attemptsPerWebhook.working}::int else ${attemptsPerWebhook.failing}::int end as bound
            from webhooks as webhook
            cross join lateral (
              select coalesce((${ofWebhooks} ->> webhook.id::text)::int, 0) as running
            ) as under_way
            where webhook.user_id = next.user_id and webhook.enabled
            order by under_way.running, random()
          ) as webhook
          cross join lateral (
            select id from webhook_deliveries
            where queued_for = next.user_id and webhook_id = webhook.id
              ${except.length === 0 ? sql`` : sql`and not ${sql.in("id", except)}`}
            order by is_replay, next_attempt_at limit greatest(0, webhook.bound - webhook.running)
          ) as due
          limit least(${each}::int + 1, visited.free, greatest((own.running = 0)::int, (visited.free - own.running + 1) / 2))
        ) as ids limit 1
      ) as chosen
      where visited.free > 0 and next.user_id is not null
        and not (next.is_second_lap and next.user_id > ${after}::uuid)
    )
    select id, webhook_id, user_id, has_more
    from visited cross join unnest(ids) as chosen_id join webhook_deliveries on id = chosen_id
    order by turn`
}

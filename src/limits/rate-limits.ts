import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"

/** A token bucket: `limit` requests at once, of which one comes back every `windowSeconds / limit` seconds. */
export interface Policy {
  readonly name: string
  /** 0: no limit. */
  readonly limit: number
  readonly windowSeconds: number
}

/** What is limited: the first two per user, the others per client network. */
export type Limited = "turns" | "requests" | "registrations" | "logins" | "wrongKeys"

/** What is left of a policy after a request was counted. */
export interface Quota {
  readonly policy: Policy
  readonly remaining: number
  /** Seconds until the whole limit is available again; rounded up. */
  readonly secondsToWhole: number
}

/** The limit is used up. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  policy: Schema.Struct({ name: Schema.String, limit: Schema.Number, windowSeconds: Schema.Number }),
  /** Seconds until the next request is allowed; rounded up, at least 1. */
  retryAfter: Schema.Number,
}) {}

/** `wholeIn`: seconds until the whole limit is available again. */
const Counted = Schema.Struct({ isTaken: Schema.Boolean, wholeIn: Schema.Number })

/** Seconds. Times in PostgreSQL are whole µs, and so may add up to a little more than the window. */
const tolerance = 0.001

/** A request that is not counted in time is allowed. It needs the database too, and reports its state itself. */
const timeout = "1 second"

/** Rate limits that all processes share, in the database and by its clock. */
export class RateLimits extends Context.Tag("voice-agent/RateLimits")<
  RateLimits,
  {
    /**
     * Counts a request of a user or network. None if there is no limit, or if the database did not answer: the request
     * is then allowed.
     */
    readonly take: (what: Limited, who: string) => Effect.Effect<Option.Option<Quota>, RateLimited>
  }
>() {
  static readonly layer = Layer.effect(
    RateLimits,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { rateLimits } = yield* Settings
      const policies: { readonly [what in Limited]: Policy } = {
        turns: { name: "turns", limit: rateLimits.turns, windowSeconds: 60 },
        requests: { name: "requests", limit: rateLimits.requests, windowSeconds: 60 },
        registrations: { name: "registrations", limit: rateLimits.registrations, windowSeconds: 3600 },
        logins: { name: "logins", limit: rateLimits.logins, windowSeconds: 60 },
        wrongKeys: { name: "wrong-keys", limit: rateLimits.wrongKeys, windowSeconds: 60 },
      }

      /** Writes nothing when the limit is used up, so that refused requests do not extend the wait. */
      const count = ({ name, limit, windowSeconds }: Policy, who: string) => {
        const each = sql`make_interval(secs => ${windowSeconds / limit}::float8)`
        const latest = sql`make_interval(secs => ${windowSeconds - windowSeconds / limit + tolerance}::float8)`
        return sql`with taken as (
            insert into rate_limits as mine (policy, who, whole_at) values (${name}, ${who}, now() + ${each})
            on conflict (policy, who) do update set whole_at = greatest(mine.whole_at, now()) + ${each}
              where mine.whole_at <= now() + ${latest}
            returning whole_at
          )
          select true as is_taken, extract(epoch from whole_at - now())::float8 as whole_in from taken
          union all
          select false, extract(epoch from whole_at - now())::float8 from rate_limits
          where policy = ${name} and who = ${who} and not exists (select 1 from taken)`
      }

      const take = Effect.fn("RateLimits.take")(function* (what: Limited, who: string) {
        const policy = policies[what]
        const { limit, windowSeconds } = policy
        if (limit === 0) return Option.none<Quota>()
        const counted = yield* query(findFirst(Counted, count(policy, who))).pipe(
          Effect.disconnect,
          Effect.timeout(timeout),
          Effect.tapErrorCause((cause) =>
            Effect.annotateLogs(Effect.logWarning("ratelimit.unavailable", cause), { policy: policy.name }),
          ),
          Effect.option,
        )
        if (Option.isNone(counted)) return Option.none<Quota>()
        const secondsEach = windowSeconds / limit
        // No row: another request took the last one at the same moment.
        const { isTaken, wholeIn } = Option.getOrElse(counted.value, () => ({
          isTaken: false,
          wholeIn: windowSeconds,
        }))
        if (!isTaken) {
          const wait = wholeIn + secondsEach - windowSeconds
          return yield* new RateLimited({ policy, retryAfter: Math.max(1, Math.ceil(wait - tolerance)) })
        }
        return Option.some<Quota>({
          policy,
          remaining: Math.max(0, Math.floor((windowSeconds - wholeIn + 2 * tolerance) / secondsEach)),
          secondsToWhole: Math.ceil(wholeIn),
        })
      })

      return { take }
    }),
  )
}

import * as SqlClient from "@effect/sql/SqlClient"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import { query } from "../db/postgres.ts"

/** So many within so many seconds: all at once, or as they come back one by one. */
export interface Policy {
  readonly name: string
  /** 0: not limited. */
  readonly limit: number
  readonly windowSeconds: number
}

/** What is limited, and by whom it is counted: the first two by user, the others by client network. */
export type Limited = "turns" | "requests" | "registrations" | "logins" | "wrongKeys"

/** What is left after a request was counted. */
export interface Quota {
  readonly policy: Policy
  readonly remaining: number
  /** Until all of it is there again; rounded up. */
  readonly secondsToWhole: number
}

/** Nothing is left. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  policy: Schema.Struct({ name: Schema.String, limit: Schema.Number, windowSeconds: Schema.Number }),
  /** Seconds until there is one again; rounded up, at least 1. */
  retryAfter: Schema.Number,
}) {}

const Taken = Schema.Array(Schema.Struct({ isTaken: Schema.Boolean, wholeIn: Schema.Number }))

/** In seconds. Times in PostgreSQL are whole µs, and so may sum up to a little more than the window. */
const tolerance = 0.001

/** A count that takes longer is done without: what it counts for needs the database, too, and says so itself. */
const patience = "1 second"

/** Allowances that all processes share, in the database and by its clock. */
export class RateLimits extends Context.Tag("RateLimits")<
  RateLimits,
  {
    /**
     * Counts one, by one statement. None where it is not limited, or the database is away: who can't be counted is
     * let through.
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

      /** Nothing is written where nothing is left, so that who asks in vain never waits the longer for it. */
      const count = ({ name, limit, windowSeconds }: Policy, who: string) => {
        const each = sql`make_interval(secs => ${windowSeconds / limit}::float8)`
        const most = sql`make_interval(secs => ${windowSeconds - windowSeconds / limit + tolerance}::float8)`
        return sql`with taken as (
            insert into rate_limits as mine (policy, who, whole_at) values (${name}, ${who}, now() + ${each})
            on conflict (policy, who) do update set whole_at = greatest(mine.whole_at, now()) + ${each}
              where mine.whole_at <= now() + ${most}
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
        const rows = yield* query(count(policy, who)).pipe(
          Effect.flatMap(Schema.decodeUnknown(Taken)),
          Effect.disconnect,
          Effect.timeout(patience),
          Effect.tapErrorCause((cause) =>
            Effect.annotateLogs(Effect.logWarning("ratelimit.unavailable", cause), { policy: policy.name }),
          ),
          Effect.option,
        )
        if (Option.isNone(rows)) return Option.none<Quota>()
        const secondsEach = windowSeconds / limit
        // None: another used up the last one in the same moment.
        const { isTaken, wholeIn } = rows.value[0] ?? { isTaken: false, wholeIn: windowSeconds }
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

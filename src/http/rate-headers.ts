import { Effect, Option } from "effect"
import type { Limited, Policy, Quota, RateLimited, RateLimits } from "../limits/rate-limits.ts"

/** Where Elysia takes the headers of an answer from, whatever the answer becomes. */
export interface Answering {
  readonly headers: Record<string, string | number>
}

/** As draft-ietf-httpapi-ratelimit-headers-10 has them; both are structured fields (RFC 9651). */
const fields = ({ name, limit, windowSeconds }: Policy, remaining: number, seconds: number) => ({
  "ratelimit-policy": `"${name}";q=${limit};w=${windowSeconds}`,
  ratelimit: `"${name}";r=${remaining};t=${seconds}`,
})

/** Of an answer whose request was counted: what is left, and when all of it is there again. */
const quotaHeaders = ({ policy, remaining, secondsToWhole }: Quota) =>
  fields(policy, remaining, secondsToWhole)

/** Of a refusal: when there is one again, which Retry-After says as well. */
export const limitHeaders = ({ policy, retryAfter }: RateLimited) => fields(policy, 0, retryAfter)

/** Counts one, and has the answer say what is left. */
export const counted = (
  limits: RateLimits["Type"],
  answer: Answering,
  what: Limited,
  who: string,
): Effect.Effect<void, RateLimited> =>
  Effect.map(limits.take(what, who), (quota) => {
    if (Option.isSome(quota)) Object.assign(answer.headers, quotaHeaders(quota.value))
  })

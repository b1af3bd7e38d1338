import { Effect, Option } from "effect"
import type { Limited, Policy, Quota, RateLimited, RateLimits } from "../limits/rate-limits.ts"

/** Elysia's `set`. Its headers are added to every response, also to an error. */
export interface ResponseHeaders {
  readonly headers: Record<string, string | number>
}

/** As in draft-ietf-httpapi-ratelimit-headers-10; both are structured fields (RFC 9651). */
const fields = ({ name, limit, windowSeconds }: Policy, remaining: number, seconds: number) => ({
  "ratelimit-policy": `"${name}";q=${limit};w=${windowSeconds}`,
  ratelimit: `"${name}";r=${remaining};t=${seconds}`,
})

/** For a response whose request was counted: the remaining requests, and when the quota is full again. */
const quotaHeaders = ({ policy, remaining, secondsToWhole }: Quota) =>
  fields(policy, remaining, secondsToWhole)

/** For a refusal: when the next request is allowed, which is also in Retry-After. */
export const limitHeaders = ({ policy, retryAfter }: RateLimited) => fields(policy, 0, retryAfter)

/** Takes one from the quota of `who`, and adds the remaining quota to the response's headers. */
export const takeQuota = (
  limits: RateLimits["Type"],
  response: ResponseHeaders,
  what: Limited,
  who: string,
): Effect.Effect<void, RateLimited> =>
  Effect.map(limits.take(what, who), (quota) => {
    if (Option.isSome(quota)) Object.assign(response.headers, quotaHeaders(quota.value))
  })

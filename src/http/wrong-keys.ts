import { Clock, Context, Effect, Layer, type Redacted } from "effect"
import { hashApiKey } from "../accounts/api-key.ts"
import { InvalidApiKey } from "../accounts/errors.ts"
import { RateLimited, RateLimits } from "../limits/rate-limits.ts"
import { type ResponseHeaders, takeQuota } from "./rate-headers.ts"

/** Entries per map; the oldest is evicted first. */
const maxEntries = 10_000

const put = <K, V>(map: Map<K, V>, key: K, value: V) => {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > maxEntries && oldest !== undefined) map.delete(oldest)
}

const make = Effect.map(RateLimits, (limits) => {
  /** By network; `until`: when its next try is due, in ms since 1970. */
  const blocked = new Map<string, { readonly until: number; readonly refusal: RateLimited }>()
  /** Hashes of keys that were valid. */
  const valid = new Map<string, true>()

  const guard = <A, E>(
    response: ResponseHeaders,
    network: string,
    key: Redacted.Redacted,
    authenticate: Effect.Effect<A, E | InvalidApiKey>,
  ): Effect.Effect<A, E | InvalidApiKey | RateLimited> =>
    Effect.gen(function* () {
      const hash = hashApiKey(key)
      const block = valid.has(hash) ? undefined : blocked.get(network)
      const left = block === undefined ? 0 : block.until - (yield* Clock.currentTimeMillis)
      if (block !== undefined && left > 0) {
        const { policy } = block.refusal
        return yield* new RateLimited({ policy, retryAfter: Math.max(1, Math.ceil(left / 1000)) })
      }
      blocked.delete(network)
      const user = yield* authenticate.pipe(
        Effect.tapError((error) => {
          if (!(error instanceof InvalidApiKey)) return Effect.void
          valid.delete(hash)
          return Effect.tapError(takeQuota(limits, response, "wrongKeys", network), (refusal) =>
            Effect.map(Clock.currentTimeMillis, (now) =>
              put(blocked, network, { until: now + refusal.retryAfter * 1000, refusal }),
            ),
          )
        }),
      )
      put(valid, hash, true)
      return user
    })
  return { guard }
})

/**
 * Slows down the guessing of keys. After too many wrong keys, a network is refused without a database look-up until its
 * next try is due. A key that was valid before still works, so that other users behind the same address are not locked
 * out. One for all routes.
 */
export class WrongKeys extends Context.Tag("voice-agent/WrongKeys")<
  WrongKeys,
  Effect.Effect.Success<typeof make>
>() {
  static readonly layer = Layer.effect(WrongKeys, make)
}

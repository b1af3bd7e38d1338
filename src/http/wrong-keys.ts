import { Clock, Effect, type Redacted } from "effect"
import { hashApiKey } from "../accounts/api-key.ts"
import { InvalidApiKey } from "../accounts/model.ts"
import { RateLimited, type RateLimits } from "../limits/rate-limits.ts"
import { type Answering, counted } from "./rate-headers.ts"

/** Networks and keys that are remembered at a time; the first to come is the first to be forgotten. */
const remembered = 10_000

const remember = <K, V>(memory: Map<K, V>, key: K, value: V) => {
  memory.delete(key)
  memory.set(key, value)
  const [oldest] = memory.keys()
  if (memory.size > remembered && oldest !== undefined) memory.delete(oldest)
}

/**
 * Keeps keys from being guessed at full speed. Whoever sent too many wrong ones is refused, right or wrong, without a
 * look at the database, until the next try is due. A key that was right before is no guess: others behind the same
 * address are not kept from theirs.
 */
export const makeWrongKeys = (limits: RateLimits["Type"]) => {
  /** By network: when its next try is due (ms), and what it is told until then. */
  const barred = new Map<string, { readonly until: number; readonly refusal: RateLimited }>()
  /** Hashes of keys that were right. */
  const right = new Map<string, true>()

  const guard = <A, E>(
    answer: Answering,
    network: string,
    key: Redacted.Redacted,
    authenticate: Effect.Effect<A, E | InvalidApiKey>,
  ): Effect.Effect<A, E | InvalidApiKey | RateLimited> =>
    Effect.gen(function* () {
      const hash = hashApiKey(key)
      const bar = right.has(hash) ? undefined : barred.get(network)
      const left = bar === undefined ? 0 : bar.until - (yield* Clock.currentTimeMillis)
      if (bar !== undefined && left > 0) {
        const { policy } = bar.refusal
        return yield* new RateLimited({ policy, retryAfter: Math.max(1, Math.ceil(left / 1000)) })
      }
      barred.delete(network)
      const user = yield* authenticate.pipe(
        Effect.tapError((error) => {
          if (!(error instanceof InvalidApiKey)) return Effect.void
          right.delete(hash)
          return Effect.tapError(counted(limits, answer, "wrongKeys", network), (refusal) =>
            Effect.map(Clock.currentTimeMillis, (now) =>
              remember(barred, network, { until: now + refusal.retryAfter * 1000, refusal }),
            ),
          )
        }),
      )
      remember(right, hash, true)
      return user
    })
  return { guard }
}

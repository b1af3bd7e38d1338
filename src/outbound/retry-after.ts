import { Duration, Option } from "effect"

/** A day, in ms. A longer wait is cut to it. */
const MAX_MS = 86_400_000

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** "1s", "6m0s", "12ms", "1h2m3.5s" */
const durationMs = (text: string): number | undefined => {
  if (!/^(?:\d+(?:\.\d+)?(?:ms|[smhd]))+$/.test(text)) return undefined
  const parts = text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)
  return Array.from(parts, ([, count, unit = ""]) => Number(count) * (unitMs[unit] ?? 0)).reduce(
    (a, b) => a + b,
  )
}

/** Numbers from here on are times since 1970 in seconds, or in ms. */
const EPOCH_SECONDS = 1e9
const EPOCH_MS = 1e12

const numberMs = (value: number): number => {
  if (value >= EPOCH_MS) return value - Date.now()
  return value >= EPOCH_SECONDS ? 1000 * value - Date.now() : 1000 * value
}

/** Seconds, a duration, a time since 1970, or a date. */
const waitMs = (value: string | null): number | undefined => {
  if (value === null) return undefined
  const text = value.trim()
  if (/^\d+(?:\.\d+)?$/.test(text)) return numberMs(Number(text))
  const ms = durationMs(text) ?? Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? undefined : ms
}

const LIMITS = ["requests", "tokens"]
const KINDS = ["x-ratelimit", "ratelimit", "x-rate-limit"]

/** Undefined: the header is absent, or no number. */
const remainingOf = (value: string | null): number | undefined => {
  const remaining = value === null || value.trim() === "" ? Number.NaN : Number(value)
  return Number.isNaN(remaining) ? undefined : remaining
}

/**
 * When the limit that was reached ends. Of several whose `remaining` is 0, the last one; of none, the last one that says
 * nothing of what remains. A limit with something left was not the one that was reached.
 */
const resetMs = (headers: Headers): number | undefined => {
  const limits = LIMITS.flatMap((limit) => {
    const ms = waitMs(headers.get(`x-ratelimit-reset-${limit}`))
    const remaining = remainingOf(headers.get(`x-ratelimit-remaining-${limit}`))
    return ms === undefined ? [] : [{ ms, remaining }]
  })
  for (const left of [0, undefined]) {
    const reached = limits.filter(({ remaining }) => remaining === left)
    if (reached.length > 0) return Math.max(...reached.map(({ ms }) => ms))
  }
  for (const kind of KINDS) {
    const ms = waitMs(headers.get(`${kind}-reset`))
    if (ms !== undefined) return (remainingOf(headers.get(`${kind}-remaining`)) ?? 0) > 0 ? undefined : ms
  }
  return undefined
}

/** OpenAI's own header has more exact milliseconds. */
const ownMs = (headers: Headers): number | undefined => {
  const ms = Number(headers.get("retry-after-ms") ?? Number.NaN)
  return ms >= 0 ? ms : undefined
}

/** How long a refused client has to wait. `isRateLimit`: the headers of the rate limit count, for want of Retry-After. */
export const parseRetryAfter = (
  headers: Headers | undefined,
  isRateLimit: boolean,
): Option.Option<Duration.Duration> => {
  if (headers === undefined) return Option.none()
  const ms =
    ownMs(headers) ?? waitMs(headers.get("retry-after")) ?? (isRateLimit ? resetMs(headers) : undefined)
  return Option.map(Option.fromNullable(ms), (wait) => Duration.millis(Math.min(Math.max(0, wait), MAX_MS)))
}

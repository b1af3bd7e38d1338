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
const RESETS = ["x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"]

/** When the limit that was reached ends. Of several, the last one, unless `remaining` says which it was. */
const resetMs = (headers: Headers): number | undefined => {
  const all = LIMITS.flatMap((limit) => {
    const ms = waitMs(headers.get(`x-ratelimit-reset-${limit}`))
    const isReached = Number(headers.get(`x-ratelimit-remaining-${limit}`) ?? Number.NaN) === 0
    return ms === undefined ? [] : [{ ms, isReached }]
  })
  const reached = all.filter(({ isReached }) => isReached)
  const limits = (reached.length > 0 ? reached : all).map(({ ms }) => ms)
  if (limits.length > 0) return Math.max(...limits)
  return RESETS.map((name) => waitMs(headers.get(name))).find((ms) => ms !== undefined)
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

import { fileURLToPath } from "node:url"
import { Duration, Effect, Option, Schedule, ScheduleDecision, ScheduleInterval } from "effect"
import { AttemptFailed, brokeOff, cutOff, refused, wrongBytes } from "./attempt.ts"
import type { DownloadError } from "./errors.ts"
import { complete, type Digest, discard, findKept, type Kept, noteOrigin, openWriter } from "./partial.ts"
import { request } from "./request.ts"
import type { Location } from "./source.ts"
import { transfer } from "./transfer.ts"

/** A file to download. */
export interface Target {
  /** Absolute. Until the file is complete, it is beside this path. */
  readonly path: string
  /** Bytes, exactly. */
  readonly size: number
  readonly digest: Digest
}

/** Called with the bytes that the file has so far, once per chunk. */
export type OnProgress = (received: number) => void

/** Called before the pause after a failed attempt. */
export type OnPause = (reason: string, seconds: number) => void

/** Attempts in a row that bring no progress, after which a source is given up. */
const maxFailures = 5
/** The same, of a server that has never answered: most likely there is no network. */
const maxUnanswered = 2
/** All pauses in a row. A server that asks for more is given up at once. */
const maxPause = Duration.seconds(60)
/** How long a server may send nothing: hubs take up to 10 s for the first byte of a large file. */
const stallTimeout = Duration.seconds(30)
/** More than this counts as progress, so that a server cannot keep a download going by a byte at a time. */
const leastProgress = 64 * 1024

/**
 * Pauses of 1 s, 2 s, 4 s, 8 s after failures without progress, or as long as the server asks for; and up to 20 % more.
 * Together they last a minute at most.
 */
const retryPolicy = (onPause: OnPause): Schedule.Schedule<AttemptFailed, AttemptFailed> =>
  Schedule.makeWithState(
    { failures: 0, pauses: Duration.zero },
    (now: number, failure: AttemptFailed, before: { failures: number; pauses: Duration.Duration }) => {
      const earlier = failure.hasGained ? { failures: 0, pauses: Duration.zero } : before
      const failures = earlier.failures + 1
      const pause = Duration.max(
        Duration.seconds(2 ** (failures - 1)),
        Option.getOrElse(failure.retryAfter, () => Duration.zero),
      )
      const pauses = Duration.sum(earlier.pauses, pause)
      const isWorth =
        failure.isRetryable &&
        failures < (failure.hasAnswer ? maxFailures : maxUnanswered) &&
        Duration.lessThanOrEqualTo(pauses, maxPause)
      if (isWorth) onPause(failure.reason, Math.ceil(Duration.toSeconds(pause)))
      const decision = isWorth
        ? ScheduleDecision.continueWith(ScheduleInterval.after(now + Duration.toMillis(pause)))
        : ScheduleDecision.done
      return Effect.succeed([{ failures, pauses }, failure, decision] as const)
    },
  ).pipe(Schedule.jitteredWith({ min: 1, max: 1.2 }))

/** Opens a source behind the bytes that are kept, or at its start. */
const open = async (location: Location, kept: Kept, signal: AbortSignal) => {
  if (!URL.canParse(location.url)) throw refused(location, "this is no URL")
  if (location.url.startsWith("file:")) {
    const file = Bun.file(fileURLToPath(location.url))
    if (!(await file.exists())) throw refused(location, "there is no such file")
    return { body: file.stream(), from: 0, total: file.size, etag: null }
  }
  const range = kept.size === 0 ? {} : { range: `bytes=${kept.size}-` }
  const condition = kept.size === 0 || kept.etag === undefined ? {} : { "if-range": kept.etag }
  const answer = await request(location, { ...range, ...condition }, signal)
  const etag = answer.headers.get("etag")
  const encoding = answer.headers.get("content-encoding") ?? "identity"
  const length = Number(answer.headers.get("content-length") ?? Number.NaN)
  if (answer.status === 200) {
    // fetch decodes the body; the length and the ETag are of the encoded bytes.
    if (encoding !== "identity") return { body: answer.body, from: 0, total: undefined, etag: null }
    return { body: answer.body, from: 0, total: Number.isNaN(length) ? undefined : length, etag }
  }
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.headers.get("content-range") ?? "") ?? []
  const isOther = kept.etag !== undefined && etag !== null && etag !== kept.etag
  if (answer.status === 416 || Number(first) !== kept.size || isOther || encoding !== "identity") {
    await answer.body?.cancel()
    return undefined
  }
  return { body: answer.body, from: kept.size, total: Number(total), etag: etag ?? kept.etag ?? null }
}

/** One attempt. Returns the file's hash. Rejects with AttemptFailed, or with whatever breaks a connection. */
const attempt = async (
  location: Location,
  { path, size, digest }: Target,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<string> => {
  const kept = await findKept(path, location.url, size, digest)
  const isWhole = kept.size === size && size > 0
  const source = isWhole
    ? { body: null, from: size, total: size, etag: null }
    : await open(location, kept, signal)
  if (source === undefined) {
    await discard(path)
    throw cutOff(location, "the server's file has changed")
  }
  const { body, from, total, etag } = source
  if (total !== undefined && total !== size) {
    await body?.cancel()
    if (from > 0) await discard(path)
    throw wrongBytes(location, `has ${total} bytes instead of ${size}`, from > 0)
  }
  if (!isWhole) await noteOrigin(path, location.url, etag)
  const writer = await openWriter(path, from, digest)
  let received = from
  try {
    onProgress(received)
    if (body !== null) {
      for await (const chunk of body) {
        signal.throwIfAborted()
        received += chunk.length
        if (received > size) break
        await writer.write(chunk)
        onProgress(received)
      }
    }
    if (received < size) throw cutOff(location, `${received} of ${size} bytes arrived`)
    const hash = await writer.finish()
    if (received > size || hash !== (digest.expected ?? hash)) {
      await discard(path)
      const how =
        received > size
          ? `has more than ${size} bytes`
          : `has another ${digest.algorithm} hash than it should have`
      throw wrongBytes(location, how, from > 0)
    }
    await complete(path)
    return hash
  } finally {
    await writer.close()
  }
}

/**
 * Downloads a file and returns its hash. It resumes what an earlier call left, retries broken connections, and never
 * gives wrong bytes the file's name. An interruption keeps what has arrived.
 */
export const download = (
  location: Location,
  target: Target,
  onProgress: OnProgress,
  onPause: OnPause = () => undefined,
): Effect.Effect<string, DownloadError> => {
  let best = 0
  let hasAnswer = false
  const once = Effect.suspend(() => {
    const before = best
    let last = 0
    return transfer(
      stallTimeout,
      (move, signal) =>
        attempt(
          location,
          target,
          (received) => {
            last = received
            hasAnswer = true
            move()
            onProgress(received)
          },
          signal,
        ),
      {
        failure: (cause) => (cause instanceof AttemptFailed ? cause : brokeOff(location, cause)),
        stall: (seconds) => cutOff(location, `nothing arrived for ${seconds} s`),
      },
    ).pipe(
      Effect.mapError((failure) => {
        best = Math.max(best, last)
        hasAnswer ||= failure.error._tag !== "SourceUnreachable"
        return new AttemptFailed({ ...failure, hasGained: best - before >= leastProgress, hasAnswer })
      }),
    )
  })
  return Effect.mapError(Effect.retry(once, retryPolicy(onPause)), ({ error }) => error)
}

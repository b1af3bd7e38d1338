import { Data, Duration, Option } from "effect"
import {
  DiskFull,
  type DownloadError,
  SourceRefused,
  SourceUnreachable,
  StoreUnusable,
  WrongBytes,
} from "./errors.ts"
import type { Location } from "./source.ts"

/** Why one attempt at a download ended. */
export class AttemptFailed extends Data.TaggedError("AttemptFailed")<{
  readonly error: DownloadError
  /** What went wrong, for the progress. */
  readonly reason: string
  readonly isRetryable: boolean
  /** The server's Retry-After. */
  readonly retryAfter: Option.Option<Duration.Duration>
  /** Whether the attempt brought the file further than any before. */
  readonly hasGained: boolean
  /** Whether this or an earlier attempt got an answer. */
  readonly hasAnswer: boolean
}> {}

const failed = (error: DownloadError, isRetryable: boolean, reason = "") =>
  new AttemptFailed({
    error,
    reason,
    isRetryable,
    retryAfter: Option.none(),
    hasGained: false,
    hasAnswer: true,
  })

/** A location for people: no credentials, no query. */
const nameOf = ({ url }: Location): string => {
  if (!URL.canParse(url)) return `"${url.replace(/^(\w+:\/\/)?[^/]*@/, "$1")}"`
  const { protocol, host, pathname } = new URL(url)
  return protocol === "file:" ? decodeURIComponent(pathname) : `${host}${pathname}`
}

const hostOf = ({ url }: Location) => new URL(url).host

const codeOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return `${cause}`
  return "code" in cause && typeof cause.code === "string" ? cause.code : cause.message
}

/** No connection, or one that broke. */
export const unreachable = (location: Location, cause: unknown) => {
  const reason = `could not be reached (${codeOf(cause)})`
  return failed(
    new SourceUnreachable({
      message: `${hostOf(location)} ${reason}. Check the network, ${location.advice}.`,
    }),
    true,
    `${hostOf(location)} ${reason}`,
  )
}

/** The connection ended before the file. */
export const cutOff = (location: Location, reason: string) =>
  failed(
    new SourceUnreachable({
      message: `The download of ${nameOf(location)} broke off: ${reason}. Run the command again; it goes on where it stopped.`,
    }),
    true,
    reason,
  )

/** A transfer that broke, by what was thrown: Bun's messages are for programmers, and quote the whole URL. */
export const brokeOff = (location: Location, cause: unknown) =>
  location.url.startsWith("file:")
    ? refused(location, `the file cannot be read (${codeOf(cause)})`)
    : cutOff(location, codeOf(cause))

/** The server answers, but not with the file. */
export const refused = (location: Location, reason: string) =>
  failed(
    new SourceRefused({ message: `${nameOf(location)}: ${reason}. Check the address, ${location.advice}.` }),
    false,
  )

/** A time for people, rounded up. The reader of Retry-After cuts it to a day. */
const timeText = (time: Duration.Duration): string => {
  if (Duration.greaterThanOrEqualTo(time, Duration.days(1))) return "a day or more"
  const [count, unit] = Duration.lessThan(time, Duration.minutes(2))
    ? [Duration.toSeconds(time), "second"]
    : Duration.lessThan(time, Duration.hours(2))
      ? [Duration.toMinutes(time), "minute"]
      : [Duration.toHours(time), "hour"]
  const whole = Math.ceil(count)
  return `${whole} ${unit}${whole === 1 ? "" : "s"}`
}

/** The server answers that it cannot send the file now. */
export const busy = (location: Location, status: number, retryAfter: Option.Option<Duration.Duration>) => {
  const what = status === 429 ? "gets too many requests" : "has trouble"
  const wait = Option.match(retryAfter, {
    onNone: () => "",
    onSome: (time) => ` and asks to wait ${timeText(time)}`,
  })
  const reason = `the server ${what} (status ${status})${wait}`
  const message = `${nameOf(location)}: ${reason}. Run the command again later, ${location.advice}.`
  return new AttemptFailed({ ...failed(new SourceRefused({ message }), true, reason), retryAfter })
}

/** The bytes are not those of the manifest. Worth a retry only if some of them were from an earlier attempt. */
export const wrongBytes = (location: Location, how: string, isRetryable = false) =>
  failed(
    new WrongBytes({
      message: `${nameOf(location)} ${how}, so it was not installed. Try again later, or use another source with --from.`,
    }),
    isRetryable,
    how,
  )

/** The reason of a failure of the disk. */
export const ofDisk = (path: string, cause: unknown) => {
  const code = codeOf(cause)
  if (code === "ENOSPC" || code === "EDQUOT") {
    return failed(
      new DiskFull({ message: `The disk of ${path} is full. Free space there, and run the command again.` }),
      false,
    )
  }
  if (code === "ENOTDIR" || code === "EEXIST" || code === "EISDIR") {
    return failed(
      new StoreUnusable({
        message: `${path} cannot be used (${code}): a file or a link that leads nowhere is in the place of a folder, or a folder in that of a file. Move it away, or set DATA_DIR to another folder.`,
      }),
      false,
    )
  }
  return failed(
    new StoreUnusable({
      message: `${path} cannot be written (${code}). Make it writable for this user, or set DATA_DIR to another folder.`,
    }),
    false,
  )
}

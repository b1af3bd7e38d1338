import { Data, type Duration, Option } from "effect"
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
  readonly isRetryable: boolean
  /** The server's Retry-After. */
  readonly retryAfter: Option.Option<Duration.Duration>
  /** Whether the attempt brought the file further than any before. */
  readonly hasGained: boolean
  /** Whether this or an earlier attempt got an answer. */
  readonly hasAnswer: boolean
}> {}

const failed = (error: DownloadError, isRetryable: boolean) =>
  new AttemptFailed({ error, isRetryable, retryAfter: Option.none(), hasGained: false, hasAnswer: true })

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
export const unreachable = (location: Location, cause: unknown) =>
  failed(
    new SourceUnreachable({
      message: `${hostOf(location)} could not be reached (${codeOf(cause)}). Check the network, ${location.advice}.`,
    }),
    true,
  )

/** The connection ended before the file. */
export const cutOff = (location: Location, reason: string) =>
  failed(
    new SourceUnreachable({
      message: `The download of ${nameOf(location)} broke off: ${reason}. Run the command again; it goes on where it stopped.`,
    }),
    true,
  )

/** A transfer that broke, by what was thrown: Bun's messages are for programmers, and quote the whole URL. */
export const brokeOff = (location: Location, cause: unknown) =>
  location.url.startsWith("file:")
    ? refused(location, `the file cannot be read (${codeOf(cause)})`)
    : cutOff(location, codeOf(cause))

/** The server answers, but not with the file. */
export const refused = (location: Location, reason: string, isRetryable = false) =>
  failed(
    new SourceRefused({ message: `${nameOf(location)}: ${reason}. Check the address, ${location.advice}.` }),
    isRetryable,
  )

/** The bytes are not those of the manifest. Worth a retry only if some of them were from an earlier attempt. */
export const wrongBytes = (location: Location, how: string, isRetryable = false) =>
  failed(
    new WrongBytes({
      message: `${nameOf(location)} ${how}, so it was not installed. Try again later, or use another source with --from.`,
    }),
    isRetryable,
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
  return failed(
    new StoreUnusable({
      message: `${path} cannot be written (${code}). Make it writable for this user, or set DATA_DIR to another folder.`,
    }),
    false,
  )
}

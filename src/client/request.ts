/** A call of the API as the parts of the client see it. */
import type { Reader } from "./read.ts"

interface Request<A> {
  readonly body?: unknown
  readonly read: Reader<A>
  /** Whether sending the request twice is safe. Default: true for every method but POST. */
  readonly isIdempotent?: boolean
  /** A status besides 2xx whose body is a result. */
  readonly expectedStatus?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends a request, with retries where they are safe, and reads its answer. */
export type Call = <A>(method: string, path: string, request: Request<A>) => Promise<A>

/** The given parameters as a query, with its question mark. */
export const queryOf = (parameters: Readonly<Record<string, string | number | undefined>>) => {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  return given.length === 0 ? "" : `?${given.join("&")}`
}

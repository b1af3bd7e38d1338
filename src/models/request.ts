import { Duration, Option, Redacted } from "effect"
import { parseRetryAfter } from "../outbound/retry-after.ts"
import { busy, refused, unreachable } from "./attempt.ts"
import type { Location } from "./source.ts"

/** As many as browsers follow at least. */
const maxRedirects = 20

/** Where a redirect leads. Throws AttemptFailed if it is not followed. */
const targetOf = (location: Location, url: URL, answer: Response): URL => {
  const to = answer.headers.get("location") ?? ""
  if (!URL.canParse(to, url.href)) throw refused(location, "a redirect without a valid target")
  const target = new URL(to, url)
  if (target.protocol !== "https:" && target.protocol !== url.protocol) {
    throw refused(location, `a redirect from ${url.protocol}// to ${target.protocol}//`)
  }
  return target
}

/** That of the location, or the user and password in its URL, which fetch refuses. */
const authorizationOf = ({ url, authorization }: Location): string | undefined => {
  if (authorization !== undefined) return Redacted.value(authorization)
  const { username, password } = new URL(url)
  if (username === "") return undefined
  return `Basic ${btoa(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`)}`
}

/** None if the server does not ask to wait. */
const waitOf = ({ headers }: Response) =>
  Option.filter(parseRetryAfter(headers, false), Duration.greaterThan(Duration.zero))

const isTransient = (status: number) => status === 408 || status === 425 || status === 429 || status >= 500

const explain = (status: number) => {
  if (status === 401 || status === 403) return `the server asks for other credentials (status ${status})`
  return status === 404 || status === 410 ? `there is no such file (status ${status})` : `status ${status}`
}

/**
 * Requests a file, following redirects. Answers with a 200, 206 or 416. `headers` go to every server, the
 * authorization to the first origin only. Throws AttemptFailed.
 */
export const request = async (
  location: Location,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Response> => {
  let url = new URL(location.url)
  const { origin } = url
  const own = authorizationOf(location)
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    const authorization = own === undefined || url.origin !== origin ? {} : { authorization: own }
    url.username = ""
    url.password = ""
    const answer = await fetch(url, {
      // Compressed bytes would have another size and hash.
      headers: { ...headers, "accept-encoding": "identity", ...authorization },
      redirect: "manual",
      signal,
    }).catch((cause) => {
      throw unreachable({ ...location, url: url.href }, cause)
    })
    const { status } = answer
    if (status === 200 || status === 206 || status === 416) return answer
    await answer.body?.cancel()
    if (status < 300 || status >= 400 || status === 304) {
      throw isTransient(status) ? busy(location, status, waitOf(answer)) : refused(location, explain(status))
    }
    url = targetOf(location, url, answer)
  }
  throw refused(location, "too many redirects")
}

import { RedirectRefused } from "./errors.ts"

/** A request that may be redirected. */
export interface OutboundRequest {
  readonly url: string
  readonly method: string
  /** Sent to the origin of the URL. After a redirect to another one, only those that tell nothing of the caller. */
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
}

/** A server that needs more has no address to be sure of. */
export const maxRedirects = 3

/** Headers that say what is sent and expected. All others may have secrets. */
const neutralHeaders = ["accept", "accept-language", "content-type", "user-agent"]

const keep = (headers: Readonly<Record<string, string>>, isKept: (name: string) => boolean) =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => isKept(name.toLowerCase())))

/** As RFC 9110, section 15.4, and browsers: a GET after a POST, and after all methods with status 303. */
const becomesGet = (status: number, method: string) =>
  status === 303 ? method !== "HEAD" : (status === 301 || status === 302) && method === "POST"

export const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

/** The request that a redirect asks for. Throws RedirectRefused. */
export const redirected = (
  request: OutboundRequest,
  from: URL,
  status: number,
  location: string | undefined,
): OutboundRequest => {
  if (location === undefined || !URL.canParse(location, from.href)) {
    throw new RedirectRefused({ reason: "without a valid target" })
  }
  const to = new URL(location, from)
  if (from.protocol === "https:" && to.protocol !== "https:") {
    throw new RedirectRefused({ reason: "to a URL that does not start with https://" })
  }
  const isGet = becomesGet(status, request.method)
  const own =
    to.origin === from.origin
      ? request.headers
      : keep(request.headers, (name) => neutralHeaders.includes(name))
  return {
    url: to.href,
    method: isGet ? "GET" : request.method,
    headers: isGet ? keep(own, (name) => !name.startsWith("content-")) : own,
    body: isGet ? undefined : request.body,
  }
}

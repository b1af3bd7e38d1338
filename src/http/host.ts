import { Elysia } from "elysia"
import { ValidationFailed } from "./errors.ts"
import { toProblem } from "./problems.ts"
import { Refused } from "./run.ts"

/** As RFC 3986 has a host and its port, and as a URL may have them: a port above 65535 is none. An empty one is allowed. */
const isHost = (host: string) =>
  host === "" ||
  (URL.canParse(`http://${host}`) && /^(\[[\da-f:.]+\]|[\w.~!$&'()*+;=%-]*)(:\d{0,5})?$/i.test(host))

/**
 * Refuses a request that names no host, or several, as RFC 9112 wants it. With such a one Bun gives a URL without an
 * origin, in which Elysia looks for the path in the wrong place: a proxy that lets some paths pass would be asked for
 * one, and this service hear another.
 */
export const requireHost = new Elysia({ name: "host" }).onRequest(({ request }) => {
  const host = request.headers.get("host")
  if (host === null || isHost(host)) return
  throw new Refused(toProblem(new ValidationFailed({ message: "Host: must be one host and its port" })))
})

import { Elysia } from "elysia"
import { ValidationFailed } from "./errors.ts"
import { toProblem } from "./problems.ts"
import { Refused } from "./run.ts"

/** A host with an optional port, as in RFC 3986; a port above 65535 is none. An empty header is allowed. */
const isHost = (host: string) =>
  host === "" ||
  (URL.canParse(`http://${host}`) && /^(\[[\da-f:.]+\]|[\w.~!$&'()*+;=%-]*)(:\d{0,5})?$/i.test(host))

/**
 * Refuses a request whose Host header is not one valid host, as RFC 9112 requires. Bun gives such a request a URL without
 * an origin, in which Elysia finds another path than a proxy does: rules of the proxy for paths would not hold.
 */
export const requireHost = new Elysia({ name: "host" }).onRequest(({ request }) => {
  const host = request.headers.get("host")
  if (host === null || isHost(host)) return
  throw new Refused(toProblem(new ValidationFailed({ message: "Invalid Host header." })))
})

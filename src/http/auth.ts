import { Effect, Option, Redacted } from "effect"
import { Elysia } from "elysia"
import { Keys } from "../accounts/keys.ts"
import type { SignedIn } from "../accounts/model.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { networkOf } from "./client-address.ts"
import { Unauthorized } from "./errors.ts"
import { type Answering, counted } from "./rate-headers.ts"
import { makeRun, requestInfo } from "./run.ts"
import { makeWrongKeys } from "./wrong-keys.ts"

/** The key of an Authorization header; the scheme in any letter case, as RFC 7235 has it. */
const bearer = (header: string | null) =>
  Option.map(Option.fromNullable(/^bearer +(\S+)\s*$/i.exec(header ?? "")?.[1]), (key) => Redacted.make(key))

/**
 * Routes that use this plugin know their `user`, and are refused without one, or after too many of what they are counted
 * as. Both before the body is read: Elysia parses before it derives, so the parse hook asks first, and both share one
 * look-up.
 */
export const signedIn = Effect.fnUntraced(function* (countedAs: "turns" | "requests") {
  const run = yield* makeRun
  const keys = yield* Keys
  const limits = yield* RateLimits
  const wrongKeys = makeWrongKeys(limits)
  const asked = new WeakMap<Request, Promise<SignedIn>>()
  const authenticate = (request: Request, answer: Answering): Promise<SignedIn> => {
    const known = asked.get(request)
    if (known !== undefined) return known
    const key = bearer(request.headers.get("authorization"))
    const user = run(
      request,
      Effect.gen(function* () {
        if (Option.isNone(key)) return yield* new Unauthorized()
        const network = networkOf(requestInfo(request).ip)
        const user = yield* wrongKeys.guard(answer, network, key.value, keys.authenticate(key.value))
        yield* counted(limits, answer, countedAs, user.id)
        return user
      }),
    )
    asked.set(request, user)
    return user
  }
  return new Elysia({ name: "signed-in", seed: countedAs })
    .onParse({ as: "scoped" }, async ({ request, set }) => {
      await authenticate(request, set)
    })
    .derive({ as: "scoped" }, async ({ request, set }) => ({ user: await authenticate(request, set) }))
})

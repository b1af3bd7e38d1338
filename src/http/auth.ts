import { Effect, Option, Redacted } from "effect"
import { Elysia } from "elysia"
import type { InvalidApiKey } from "../accounts/errors.ts"
import { Keys } from "../accounts/keys.ts"
import type { SignedIn } from "../accounts/model.ts"
import type { DatabaseError } from "../db/errors.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { networkOf } from "./client-address.ts"
import { Unauthorized } from "./errors.ts"
import { type ResponseHeaders, takeQuota } from "./rate-headers.ts"
import { makeRun, requestInfo } from "./run.ts"
import { WrongKeys } from "./wrong-keys.ts"

/** The key in an Authorization header. The scheme is case-insensitive (RFC 9110). */
export const bearer = (header: string | null) =>
  Option.map(Option.fromNullable(/^bearer +(\S+)\s*$/i.exec(header ?? "")?.[1]), (key) => Redacted.make(key))

/** Authenticates by `lookUp`, and rate-limits. After too many wrong keys it refuses without a look-up. */
export const makeAuthenticate = Effect.gen(function* () {
  const limits = yield* RateLimits
  const wrongKeys = yield* WrongKeys
  return <A extends SignedIn>(
    request: Request,
    response: ResponseHeaders,
    policy: "turns" | "requests",
    key: Option.Option<Redacted.Redacted>,
    lookUp: (key: Redacted.Redacted) => Effect.Effect<A, InvalidApiKey | DatabaseError>,
  ) =>
    Effect.gen(function* () {
      if (Option.isNone(key)) return yield* new Unauthorized()
      const network = networkOf(requestInfo(request).ip)
      const user = yield* wrongKeys.guard(response, network, key.value, lookUp(key.value))
      yield* takeQuota(limits, response, policy, user.id)
      return user
    })
})

/**
 * Authenticates and rate-limits before the body is read, and gives the routes after it their `user`. Elysia runs `parse`
 * before `derive`, so the parse hook does the look-up and `derive` reuses it.
 */
export const signedIn = Effect.fnUntraced(function* (policy: "turns" | "requests") {
  const run = yield* makeRun
  const keys = yield* Keys
  const authenticate = yield* makeAuthenticate
  const lookups = new WeakMap<Request, Promise<SignedIn>>()
  const userOf = (request: Request, response: ResponseHeaders): Promise<SignedIn> => {
    const known = lookups.get(request)
    if (known !== undefined) return known
    const key = bearer(request.headers.get("authorization"))
    const user = run(request, authenticate(request, response, policy, key, keys.authenticate))
    lookups.set(request, user)
    return user
  }
  return new Elysia({ name: "signed-in", seed: policy })
    .onParse({ as: "scoped" }, async ({ request, set }) => {
      await userOf(request, set)
    })
    .derive({ as: "scoped" }, async ({ request, set }) => ({ user: await userOf(request, set) }))
})

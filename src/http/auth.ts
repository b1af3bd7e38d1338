import { Effect, Option, Redacted } from "effect"
import { Elysia } from "elysia"
import { Keys } from "../users/keys.ts"
import type { SignedIn } from "../users/model.ts"
import { Unauthorized } from "./errors.ts"
import { makeRun } from "./run.ts"

/** The key of an Authorization header; the scheme in any letter case, as RFC 7235 has it. */
const bearer = (header: string | null) =>
  Option.map(Option.fromNullable(/^bearer +(\S+)\s*$/i.exec(header ?? "")?.[1]), (key) => Redacted.make(key))

/**
 * Routes that use this plugin know their `user`, and are refused without one. The key is checked before the body is
 * read: Elysia parses before it derives, so the parse hook asks first, and both share one look-up.
 */
export const signedIn = Effect.gen(function* () {
  const run = yield* makeRun
  const keys = yield* Keys
  const asked = new WeakMap<Request, Promise<SignedIn>>()
  const authenticate = (request: Request): Promise<SignedIn> => {
    const known = asked.get(request)
    if (known !== undefined) return known
    const key = bearer(request.headers.get("authorization"))
    const user = run(
      request,
      Option.isNone(key) ? Effect.fail(new Unauthorized()) : keys.authenticate(key.value),
    )
    asked.set(request, user)
    return user
  }
  return new Elysia({ name: "signed-in" })
    .onParse({ as: "scoped" }, async ({ request }) => {
      await authenticate(request)
    })
    .derive({ as: "scoped" }, async ({ request }) => ({ user: await authenticate(request) }))
})

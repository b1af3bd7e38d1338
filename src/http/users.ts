import { Effect, Option, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { keyNotice } from "../accounts/api-key.ts"
import { Keys } from "../accounts/keys.ts"
import { authorizeRegistration, RegistrationRequest } from "../accounts/registration.ts"
import { Users } from "../accounts/users.ts"
import { Settings } from "../config.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { formOrJsonBody, maxPublicBodyBytes } from "./body.ts"
import { networkOf } from "./client-address.ts"
import * as operations from "./openapi/operations/users.ts"
import { LoggedIn, Registered } from "./payloads.ts"
import { takeQuota } from "./rate-headers.ts"
import { makeRun, requestInfo } from "./run.ts"

/** The message must not repeat the value, which may be a key. */
const ApiKey = Schema.Trim.pipe(
  Schema.minLength(1, { message: () => ({ message: "must be an API key", override: true }) }),
)

const Login = Schema.Struct({ apiKey: ApiKey }).annotations({ message: () => "must be an object" })

const encodeRegistered = Schema.encodeSync(Registered)
const encodeLoggedIn = Schema.encodeSync(LoggedIn)

/** For responses that contain a key or personal data. */
export const noStore = { "cache-control": "no-store" }

/** Registration, on both its paths, and login. */
export const usersRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const users = yield* Users
  const keys = yield* Keys
  const { registration } = yield* Settings
  const limits = yield* RateLimits
  /** Rate-limits by client network, before the body is read. */
  const rateLimited = (what: "registrations" | "logins") =>
    new Elysia({ name: "counted-by-network", seed: what }).onParse(
      { as: "scoped" },
      async ({ request, set }) => {
        await run(request, takeQuota(limits, set, what, networkOf(requestInfo(request).ip)))
      },
    )
  const body = Schema.standardSchemaV1(RegistrationRequest)

  const register = (request: Request, { email, registrationToken }: RegistrationRequest) =>
    run(
      request,
      Effect.gen(function* () {
        const token = registrationToken ?? request.headers.get("x-registration-token")
        yield* authorizeRegistration(registration, Option.fromNullable(token))
        const { userId, apiKey } = yield* users.register(email)
        const body = encodeRegistered({ userId, apiKey: Redacted.value(apiKey), message: keyNotice })
        return Response.json(body, { status: 201, headers: noStore })
      }),
    )

  const registrationRoutes = new Elysia()
    .use(rateLimited("registrations"))
    .use(yield* formOrJsonBody(maxPublicBodyBytes))
    .post("/users/register", ({ request, body }) => register(request, body), {
      body,
      detail: operations.register,
    })
    .post("/auth/register", ({ request, body }) => register(request, body), {
      body,
      detail: operations.registerByAuth,
    })

  const loginRoutes = new Elysia()
    .use(rateLimited("logins"))
    .use(yield* formOrJsonBody(maxPublicBodyBytes))
    .post(
      "/auth/login",
      ({ request, body: { apiKey } }) =>
        run(
          request,
          Effect.map(keys.authenticate(Redacted.make(apiKey)), ({ id, email }) =>
            Response.json(encodeLoggedIn({ token: apiKey, userId: id, email }), { headers: noStore }),
          ),
        ),
      { body: Schema.standardSchemaV1(Login), detail: operations.login },
    )

  return new Elysia().use(registrationRoutes).use(loginRoutes)
})

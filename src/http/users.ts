import { Effect, Option, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { keyNotice } from "../accounts/api-key.ts"
import { Keys } from "../accounts/keys.ts"
import { makeAdmission, Registration } from "../accounts/registration.ts"
import { Users } from "../accounts/users.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { fields, mostOfAnyone } from "./body.ts"
import { networkOf } from "./client-address.ts"
import * as operations from "./openapi/operations/users.ts"
import { counted } from "./rate-headers.ts"
import { makeRun, requestInfo } from "./run.ts"

/** What a wrong field is told never repeats it: it may be a key. */
const ApiKey = Schema.Trim.pipe(
  Schema.minLength(1, { message: () => ({ message: "must be an API key", override: true }) }),
)

const Login = Schema.Struct({ apiKey: ApiKey }).annotations({ message: () => "must be an object" })

/** Answers with a key in them are kept nowhere. */
export const notKept = { "cache-control": "no-store" }

/** Registration, on both its paths, and login. */
export const usersRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const users = yield* Users
  const keys = yield* Keys
  const admit = yield* makeAdmission
  const limits = yield* RateLimits
  /** Before their body is read: nobody there has shown a key. */
  const countedAs = (what: "registrations" | "logins") =>
    new Elysia({ name: "counted-by-network", seed: what }).onParse(
      { as: "scoped" },
      async ({ request, set }) => {
        await run(request, counted(limits, set, what, networkOf(requestInfo(request).ip)))
      },
    )
  const body = Schema.standardSchemaV1(Registration)

  const register = (request: Request, { email, registrationToken }: typeof Registration.Type) =>
    run(
      request,
      Effect.gen(function* () {
        yield* admit(Option.fromNullable(registrationToken ?? request.headers.get("x-registration-token")))
        const { userId, apiKey } = yield* users.register(email)
        const answer = { userId, apiKey: Redacted.value(apiKey), message: keyNotice }
        return Response.json(answer, { status: 201, headers: notKept })
      }),
    )

  const registering = new Elysia()
    .use(countedAs("registrations"))
    .use(yield* fields(mostOfAnyone))
    .post("/users/register", ({ request, body }) => register(request, body), {
      body,
      detail: operations.register,
    })
    .post("/auth/register", ({ request, body }) => register(request, body), {
      body,
      detail: operations.registerByAuth,
    })

  const loggingIn = new Elysia()
    .use(countedAs("logins"))
    .use(yield* fields(mostOfAnyone))
    .post(
      "/auth/login",
      ({ request, body: { apiKey } }) =>
        run(
          request,
          Effect.map(keys.authenticate(Redacted.make(apiKey)), ({ id, email }) =>
            Response.json({ token: apiKey, userId: id, email }, { headers: notKept }),
          ),
        ),
      { body: Schema.standardSchemaV1(Login), detail: operations.login },
    )

  return new Elysia().use(registering).use(loggingIn)
})

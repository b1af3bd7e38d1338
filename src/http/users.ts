import { Effect, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { Registration, Users } from "../users/users.ts"
import { fields } from "./body.ts"
import { makeRun } from "./run.ts"

/** What a wrong field is told never repeats it: it may be a key. */
const ApiKey = Schema.Trim.pipe(
  Schema.minLength(1, { message: () => ({ message: "must be an API key", override: true }) }),
)

const Login = Schema.Struct({ apiKey: ApiKey }).annotations({ message: () => "must be an object" })

/** Answers with a key in them are kept nowhere. */
const headers = { "cache-control": "no-store" }

const keyNotice = "API key created. Save this key securely - it will not be shown again."

/** Registration, on both its paths, and login. */
export const usersRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const users = yield* Users
  const body = Schema.standardSchemaV1(Registration)

  const register = (request: Request, email: string) =>
    run(
      request,
      Effect.map(users.register(email), ({ userId, apiKey }) =>
        Response.json(
          { userId, apiKey: Redacted.value(apiKey), message: keyNotice },
          { status: 201, headers },
        ),
      ),
    )

  return new Elysia()
    .use(yield* fields)
    .post("/users/register", ({ request, body }) => register(request, body.email), { body })
    .post("/auth/register", ({ request, body }) => register(request, body.email), { body })
    .post(
      "/auth/login",
      ({ request, body: { apiKey } }) =>
        run(
          request,
          Effect.map(users.authenticate(Redacted.make(apiKey)), ({ id, email }) =>
            Response.json({ token: apiKey, userId: id, email }, { headers }),
          ),
        ),
      { body: Schema.standardSchemaV1(Login) },
    )
})

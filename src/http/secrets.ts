import { Effect, Either, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { SecretNotFound } from "../accounts/errors.ts"
import { SecretName, SecretValue } from "../accounts/model.ts"
import { Secrets } from "../accounts/secrets.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { ValidationFailed } from "./errors.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/secrets.ts"
import { OneSecret, SecretList } from "./payloads.ts"
import { makeRun } from "./run.ts"
import { strictBody } from "./strict-body.ts"

const encodeSecret = Schema.encodeSync(OneSecret)
const encodeSecrets = Schema.encodeSync(SecretList)

const isName = Schema.is(SecretName)

const nameOf = (text: string) =>
  isName(text) ? Either.right(text) : Either.left(new ValidationFailed({ message: operations.wrongName }))

/** The secrets of the signed-in user's tools. */
export const secretsRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const secrets = yield* Secrets

  return new Elysia({ prefix: "/users/me/secrets" })
    .use(yield* signedIn("requests"))
    .get(
      "",
      ({ request, user }) =>
        run(
          request,
          Effect.map(secrets.list(user.id), (list) => encodeSecrets({ secrets: list })),
        ),
      { detail: operations.list },
    )
    .delete(
      "/:name",
      ({ request, user, params }) =>
        run(
          request,
          isName(params.name)
            ? Effect.map(secrets.remove(user.id, params.name), noContent)
            : new SecretNotFound(),
        ),
      { ...noBody, detail: operations.remove },
    )
    .use(yield* formOrJsonBody())
    .put(
      "/:name",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(
            Effect.flatMap(nameOf(params.name), (name) =>
              secrets.put(user.id, name, Redacted.make(body.value)),
            ),
            ({ isNew, ...secret }) => Response.json(encodeSecret({ secret }), { status: isNew ? 201 : 200 }),
          ),
        ),
      { body: strictBody(SecretValue), detail: operations.put },
    )
})

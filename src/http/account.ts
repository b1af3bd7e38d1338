import { Effect, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { keyNotice } from "../accounts/api-key.ts"
import { isSameEmail } from "../accounts/email.ts"
import { ApiKeyNotFound } from "../accounts/errors.ts"
import { type NewApiKey as CreatedKey, Keys } from "../accounts/keys.ts"
import { KeyDetails, KeyRotation } from "../accounts/model.ts"
import { Users } from "../accounts/users.ts"
import { Settings } from "../config.ts"
import { AccountExport } from "../conversation/export.ts"
import { ApiKeyId, parseId } from "../schema.ts"
import { takeOf } from "../turn/take.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { ValidationFailed } from "./errors.ts"
import { hangUp } from "./idle.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/account.ts"
import { Account, ApiKeyList, NewApiKey } from "./payloads.ts"
import { makeRun } from "./run.ts"
import { type Answers, streamed } from "./streaming.ts"
import { noStore } from "./users.ts"

const confirmation = "must be this account's e-mail address, to confirm the deletion"

const Confirmation = Schema.Struct({
  email: Schema.String.annotations({ message: () => confirmation, missingMessage: () => confirmation }),
}).annotations({ message: () => "must be an object" })

const encodeAccount = Schema.encodeSync(Account)
const encodeKeys = Schema.encodeSync(ApiKeyList)
const encodeNewKey = Schema.encodeSync(NewApiKey)

const newKeyResponse = ({ id, name, apiKey, expiresAt }: CreatedKey) =>
  Response.json(encodeNewKey({ id, name, apiKey: Redacted.value(apiKey), expiresAt, message: keyNotice }), {
    status: 201,
    headers: noStore,
  })

const keyIdOf = (text: string) => Effect.mapError(parseId(ApiKeyId, text), () => new ApiKeyNotFound())

/** The signed-in user's account, API keys and export. */
export const accountRoutes = Effect.fnUntraced(function* ({ open }: Answers) {
  const run = yield* makeRun
  const users = yield* Users
  const keys = yield* Keys
  const exports = yield* AccountExport
  const { clientTimeout } = yield* Settings

  return new Elysia({ prefix: "/users/me" })
    .use(yield* signedIn("requests"))
    .get("", ({ user: { id, email, createdAt } }) => encodeAccount({ userId: id, email, createdAt }), {
      detail: operations.me,
    })
    .get(
      "/export",
      ({ request, user, server }) =>
        run(
          request,
          streamed(
            {
              signal: request.signal,
              timeout: clientTimeout,
              hangUp: hangUp(server, request),
            },
            open,
            Effect.map(Effect.flatMap(exports.of(user), takeOf), (body) => ({
              headers: {
                ...noStore,
                "content-type": "application/json",
                "content-disposition": 'attachment; filename="voice-agent-export.json"',
              },
              body,
            })),
          ),
        ),
      { detail: operations.exportAll },
    )
    .get(
      "/keys",
      ({ request, user }) =>
        run(
          request,
          Effect.map(keys.list(user.id), (list) =>
            encodeKeys({ keys: list.map((key) => ({ ...key, current: key.id === user.keyId })) }),
          ),
        ),
      { detail: operations.listKeys },
    )
    .delete(
      "/keys/:id",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(
            Effect.flatMap(keyIdOf(params.id), (id) => keys.revoke(user.id, id)),
            noContent,
          ),
        ),
      { ...noBody, detail: operations.revokeKey },
    )
    .use(yield* formOrJsonBody())
    .post(
      "/keys",
      ({ request, user, body }) => run(request, Effect.map(keys.create(user.id, body), newKeyResponse)),
      { body: Schema.standardSchemaV1(KeyDetails), detail: operations.createKey },
    )
    .post(
      "/keys/:id/rotate",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(
            Effect.flatMap(keyIdOf(params.id), (id) => keys.rotate(user.id, id, body.graceSeconds)),
            newKeyResponse,
          ),
        ),
      { body: Schema.standardSchemaV1(KeyRotation), detail: operations.rotateKey },
    )
    .delete(
      "",
      ({ request, user, body }) =>
        run(
          request,
          isSameEmail(body.email, user.email)
            ? Effect.map(users.remove(user.id), noContent)
            : new ValidationFailed({ message: `email: ${confirmation}` }),
        ),
      { body: Schema.standardSchemaV1(Confirmation), detail: operations.remove },
    )
})

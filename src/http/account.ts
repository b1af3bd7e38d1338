import { Effect, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { keyNotice } from "../accounts/api-key.ts"
import { isSameEmail } from "../accounts/email.ts"
import { AccountExport } from "../accounts/export.ts"
import { Keys, type NewApiKey } from "../accounts/keys.ts"
import { ApiKey, KeyDetails, Rotation } from "../accounts/model.ts"
import { Users } from "../accounts/users.ts"
import { Settings } from "../config.ts"
import { signedIn } from "./auth.ts"
import { fields } from "./body.ts"
import { ValidationFailed } from "./errors.ts"
import { hangUp } from "./idle.ts"
import * as operations from "./openapi/operations/account.ts"
import { makeRun } from "./run.ts"
import { type Answers, streamed } from "./streaming.ts"
import { notKept } from "./users.ts"

const confirmation = "must be the e-mail address of this account, to confirm that all of it goes"

const Confirmation = Schema.Struct({
  email: Schema.String.annotations({ message: () => confirmation, missingMessage: () => confirmation }),
}).annotations({ message: () => "must be an object" })

const encodeKey = Schema.encodeSync(ApiKey)

const shownOnce = ({ id, name, apiKey, expiresAt }: NewApiKey) =>
  Response.json(
    { id, name, apiKey: Redacted.value(apiKey), expiresAt, message: keyNotice },
    { status: 201, headers: notKept },
  )

const nothing = () => new Response(null, { status: 204 })

/** Who one is, one's keys, and all that is stored of one. */
export const accountRoutes = Effect.fnUntraced(function* ({ open }: Answers) {
  const run = yield* makeRun
  const users = yield* Users
  const keys = yield* Keys
  const exports = yield* AccountExport
  const { listenerTimeout } = yield* Settings

  return new Elysia({ prefix: "/users/me" })
    .use(yield* signedIn("requests"))
    .get("", ({ user: { id, email, createdAt } }) => ({ userId: id, email, createdAt }), {
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
              timeout: listenerTimeout,
              hangUp: hangUp(server, request),
              open,
            },
            Effect.map(exports.of(user), (body) => ({
              headers: {
                ...notKept,
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
          Effect.map(keys.list(user.id), (list) => ({
            keys: list.map((key) => ({ ...encodeKey(key), current: key.id === user.keyId })),
          })),
        ),
      { detail: operations.listKeys },
    )
    .delete(
      "/keys/:id",
      ({ request, user, params }) => run(request, Effect.map(keys.revoke(user.id, params.id), nothing)),
      // Without this Elysia would parse a body that nobody asks for, and refuse what it can't.
      { parse: () => null, detail: operations.revokeKey },
    )
    .use(yield* fields())
    .post(
      "/keys",
      ({ request, user, body }) => run(request, Effect.map(keys.create(user.id, body), shownOnce)),
      { body: Schema.standardSchemaV1(KeyDetails), detail: operations.createKey },
    )
    .post(
      "/keys/:id/rotate",
      ({ request, user, params, body }) =>
        run(request, Effect.map(keys.rotate(user.id, params.id, body.graceSeconds), shownOnce)),
      { body: Schema.standardSchemaV1(Rotation), detail: operations.rotateKey },
    )
    .delete(
      "",
      ({ request, user, body }) =>
        run(
          request,
          isSameEmail(body.email, user.email)
            ? Effect.map(users.remove(user.id), nothing)
            : new ValidationFailed({ message: `email: ${confirmation}` }),
        ),
      { body: Schema.standardSchemaV1(Confirmation), detail: operations.remove },
    )
})

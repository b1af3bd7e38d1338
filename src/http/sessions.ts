import { Effect, Option, Schema } from "effect"
import { Elysia } from "elysia"
import { History } from "../conversation/history.ts"
import { SessionDetails } from "../conversation/model.ts"
import { RunningTurns } from "../conversation/running-turns.ts"
import { Sessions } from "../conversation/sessions.ts"
import type { UserId } from "../schema.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import * as operations from "./openapi/operations/sessions.ts"
import { MessagePage, OneSession, SessionCreated, SessionPage } from "./payloads.ts"
import { makeRun } from "./run.ts"

const defaultLimit = 20

/** A query parameter from 1 to `max`. */
const limit = (max: number) =>
  Schema.optionalWith(
    Schema.compose(
      Schema.String.pipe(
        Schema.pattern(/^\d+$/, {
          jsonSchema: { type: "integer", minimum: 1, maximum: max, default: defaultLimit },
        }),
      ),
      Schema.NumberFromString,
    ).pipe(
      Schema.between(1, max, {
        message: () => ({ message: `must be a whole number from 1 to ${max}`, override: true }),
      }),
    ),
    { default: () => defaultLimit },
  )

const Cursor = Schema.String.annotations({
  message: () => "must be the nextCursor of an earlier page",
  description: "The `nextCursor` of the previous page.",
})
const Before = Schema.UUID.annotations({
  description: "The id of a message. Only earlier messages are returned.",
  message: () => ({ message: "must be the id of a message", override: true }),
})

const listQuery = Schema.standardSchemaV1(
  Schema.Struct({ limit: limit(100), cursor: Schema.optionalWith(Cursor, { as: "Option" }) }),
)

const messagesQuery = Schema.standardSchemaV1(
  Schema.Struct({ limit: limit(200), before: Schema.optionalWith(Before, { as: "Option" }) }),
)

const body = Schema.standardSchemaV1(SessionDetails)

const encodePage = Schema.encodeSync(SessionPage)
const encodeSession = Schema.encodeSync(OneSession)
const encodeCreated = Schema.encodeSync(SessionCreated)
const encodeMessages = Schema.encodeSync(MessagePage)

/** Sessions and their messages. */
export const sessionsRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const sessions = yield* Sessions
  const history = yield* History
  const turns = yield* RunningTurns

  const remove = (userId: UserId, id: string) =>
    Effect.zipRight(sessions.remove(userId, id), turns.endDeleted(id))

  return new Elysia({ prefix: "/sessions" })
    .use(yield* signedIn("requests"))
    .get(
      "",
      ({ request, user, query }) =>
        run(
          request,
          Effect.map(sessions.list(user.id, query), ({ sessions, nextCursor }) =>
            encodePage({ sessions, nextCursor: Option.getOrNull(nextCursor) }),
          ),
        ),
      { query: listQuery, detail: operations.list },
    )
    .get(
      "/:id",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(sessions.get(user.id, params.id), (session) => encodeSession({ session })),
        ),
      { detail: operations.get },
    )
    .delete(
      "/:id",
      ({ request, user, params }) =>
        run(request, Effect.as(remove(user.id, params.id), new Response(null, { status: 204 }))),
      // Otherwise Elysia parses an unexpected body, and refuses what it cannot parse.
      { parse: () => null, detail: operations.remove },
    )
    .get(
      "/:id/messages",
      ({ request, user, params, query }) =>
        run(
          request,
          Effect.map(history.messages(user.id, params.id, query), (messages) => encodeMessages({ messages })),
        ),
      { query: messagesQuery, detail: operations.messages },
    )
    .use(yield* formOrJsonBody())
    .post(
      "",
      ({ request, user, body }) =>
        run(
          request,
          Effect.map(sessions.create(user.id, body), ({ id, createdAt }) =>
            Response.json(encodeCreated({ sessionId: id, createdAt }), { status: 201 }),
          ),
        ),
      { body, detail: operations.create },
    )
    .patch(
      "/:id",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(sessions.update(user.id, params.id, body), (session) => encodeSession({ session })),
        ),
      { body, detail: operations.update },
    )
})

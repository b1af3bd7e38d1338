import { Effect, Option, Schema } from "effect"
import { Elysia } from "elysia"
import { History } from "../conversation/history.ts"
import { Message, Session, SessionDetails } from "../conversation/model.ts"
import { Sessions } from "../conversation/sessions.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import * as operations from "./openapi/operations/sessions.ts"
import { makeRun } from "./run.ts"

const defaultLimit = 20

const limit = (most: number) =>
  Schema.optionalWith(
    Schema.compose(
      Schema.String.pipe(
        Schema.pattern(/^\d+$/, {
          jsonSchema: { type: "integer", minimum: 1, maximum: most, default: defaultLimit },
        }),
      ),
      Schema.NumberFromString,
    ).pipe(
      Schema.between(1, most, {
        message: () => ({ message: `must be a whole number from 1 to ${most}`, override: true }),
      }),
    ),
    { default: () => defaultLimit },
  )

const Cursor = Schema.String.annotations({
  message: () => "must be the nextCursor of an earlier page",
  description: "The nextCursor of an earlier page: asks for the one after it.",
})
const MessageId = Schema.UUID.annotations({
  description: "The id of a message: asks for those before it.",
  message: () => ({ message: "must be the id of a message", override: true }),
})

const SessionPage = Schema.standardSchemaV1(
  Schema.Struct({ limit: limit(100), cursor: Schema.optionalWith(Cursor, { as: "Option" }) }),
)

const MessagePage = Schema.standardSchemaV1(
  Schema.Struct({ limit: limit(200), before: Schema.optionalWith(MessageId, { as: "Option" }) }),
)

const body = Schema.standardSchemaV1(SessionDetails)

const encodeSession = Schema.encodeSync(Session)
const encodeMessage = Schema.encodeSync(Message)

/** Sessions and what was said in them. */
export const sessionsRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const sessions = yield* Sessions
  const history = yield* History

  return new Elysia({ prefix: "/sessions" })
    .use(yield* signedIn("requests"))
    .get(
      "",
      ({ request, user, query }) =>
        run(
          request,
          Effect.map(sessions.list(user.id, query), (page) => ({
            sessions: page.sessions.map((session) => encodeSession(session)),
            nextCursor: Option.getOrNull(page.nextCursor),
          })),
        ),
      { query: SessionPage, detail: operations.list },
    )
    .get(
      "/:id",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(sessions.get(user.id, params.id), (session) => ({ session: encodeSession(session) })),
        ),
      { detail: operations.get },
    )
    .delete(
      "/:id",
      ({ request, user, params }) =>
        run(request, Effect.as(sessions.remove(user.id, params.id), new Response(null, { status: 204 }))),
      // Without this Elysia would parse a body that nobody asks for, and refuse what it can't.
      { parse: () => null, detail: operations.remove },
    )
    .get(
      "/:id/messages",
      ({ request, user, params, query }) =>
        run(
          request,
          Effect.map(history.messages(user.id, params.id, query), (messages) => ({
            messages: messages.map((message) => encodeMessage(message)),
          })),
        ),
      { query: MessagePage, detail: operations.messages },
    )
    .use(yield* formOrJsonBody())
    .post(
      "",
      ({ request, user, body }) =>
        run(
          request,
          Effect.map(sessions.create(user.id, body), ({ id, createdAt }) =>
            Response.json({ sessionId: id, createdAt }, { status: 201 }),
          ),
        ),
      { body, detail: operations.create },
    )
    .patch(
      "/:id",
      ({ request, user, params, body }) =>
        run(
          request,
          Effect.map(sessions.update(user.id, params.id, body), (session) => ({
            session: encodeSession(session),
          })),
        ),
      { body, detail: operations.update },
    )
})

import { Effect, Option, Schema } from "effect"
import { Elysia } from "elysia"
import { Agents } from "../agent/agents.ts"
import { ClientCalls } from "../conversation/client-calls.ts"
import { History } from "../conversation/history.ts"
import { SessionDetails, type SessionNotFound } from "../conversation/model.ts"
import { RunningTurns } from "../conversation/running-turns.ts"
import { Sessions } from "../conversation/sessions.ts"
import type { DatabaseError } from "../db/errors.ts"
import { configuredId, type UserId } from "../schema.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/sessions.ts"
import { MessagePage, OneSession, OpenToolCalls, SessionCreated, SessionPage } from "./payloads.ts"
import { wholeNumber } from "./query.ts"
import { makeRun } from "./run.ts"

const defaultLimit = 20

const Cursor = Schema.String.annotations({
  message: () => "must be the nextCursor of an earlier page",
  description: "The `nextCursor` of the previous page.",
})
const Before = Schema.UUID.annotations({
  description: "The id of a message. Only earlier messages are returned.",
  message: () => ({ message: "must be the id of a message", override: true }),
})

const listQuery = Schema.standardSchemaV1(
  Schema.Struct({
    limit: wholeNumber(100, defaultLimit),
    cursor: Schema.optionalWith(Cursor, { as: "Option" }),
  }),
)

const messagesQuery = Schema.standardSchemaV1(
  Schema.Struct({
    limit: wholeNumber(200, defaultLimit),
    before: Schema.optionalWith(Before, { as: "Option" }),
  }),
)

const body = Schema.standardSchemaV1(SessionDetails)

const encodePage = Schema.encodeSync(SessionPage)
const encodeSession = Schema.encodeSync(OneSession)
const encodeCreated = Schema.encodeSync(SessionCreated)
const encodeCalls = Schema.encodeSync(OpenToolCalls)
const encodeMessages = Schema.encodeSync(MessagePage)

/** Sessions and their messages. */
export const sessionsRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const sessions = yield* Sessions
  const history = yield* History
  const turns = yield* RunningTurns
  const agents = yield* Agents
  const clientCalls = yield* ClientCalls

  /** The agent that the details name. `current`: the agent of the session, for a change of the version alone. */
  const chosen = (
    userId: UserId,
    { agentId, agentVersion }: SessionDetails,
    current: Effect.Effect<string, SessionNotFound | DatabaseError>,
  ) =>
    agentId === undefined && agentVersion === undefined
      ? Effect.succeed({})
      : Effect.flatMap(agentId === undefined ? current : Effect.succeed(agentId), (id) =>
          Effect.map(agents.choose(userId, { id, version: Option.fromNullable(agentVersion) }), (agent) => ({
            agent,
          })),
        )

  const created = (userId: UserId, details: SessionDetails) =>
    Effect.flatMap(chosen(userId, details, Effect.succeed(configuredId)), (agent) =>
      sessions.create(userId, { ...details, ...agent }),
    )

  const updated = (userId: UserId, id: string, details: SessionDetails) =>
    Effect.flatMap(
      chosen(
        userId,
        details,
        Effect.map(sessions.get(userId, id), ({ agentId }) => agentId),
      ),
      (agent) => sessions.update(userId, id, { ...details, ...agent }),
    )

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
      ({ request, user, params }) => run(request, Effect.map(remove(user.id, params.id), noContent)),
      { ...noBody, detail: operations.remove },
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
    .get(
      "/:id/tool-calls",
      ({ request, user, params }) =>
        run(
          request,
          Effect.map(clientCalls.open(user.id, params.id), ({ turnId, calls }) =>
            encodeCalls({ turnId: Option.getOrNull(turnId), toolCalls: calls }),
          ),
        ),
      { detail: operations.toolCalls },
    )
    .use(yield* formOrJsonBody())
    .post(
      "",
      ({ request, user, body }) =>
        run(
          request,
          Effect.map(created(user.id, body), ({ id, createdAt }) =>
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
          Effect.map(updated(user.id, params.id, body), (session) => encodeSession({ session })),
        ),
      { body, detail: operations.update },
    )
})

import { Effect, Either, Option, Predicate, Schema, Struct } from "effect"
import { Elysia } from "elysia"
import type { Agent } from "../agent/agent.ts"
import { Agents } from "../agent/agents.ts"
import { configuredDefinition } from "../agent/configured.ts"
import { AgentNotFound, AgentReadOnly } from "../agent/errors.ts"
import { type AgentRow, StoredAgents } from "../agent/stored-agents.ts"
import { sha256 } from "../hash.ts"
import { configuredId, type UserId } from "../schema.ts"
import { signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { ValidationFailed } from "./errors.ts"
import { idempotencyKey } from "./idempotency-key.ts"
import { noBody, noContent } from "./no-body.ts"
import * as operations from "./openapi/operations/agents.ts"
import { AgentChanges, NewAgent } from "./payloads.ts"
import { wholeNumber } from "./query.ts"
import { makeRun } from "./run.ts"

type Json = Readonly<Record<string, unknown>>

/** A client may send back what it has read. `warnings`: as the client of the project has them. */
const withoutOwnFields = (body: Json): Json =>
  Struct.omit(body, "id", "version", "createdAt", "updatedAt", "warnings")

const shown = ({ definition, id, version, createdAt, updatedAt }: AgentRow) => ({
  id,
  version,
  ...definition,
  createdAt,
  updatedAt,
})

const shownConfigured = (configured: Agent) => ({
  agent: {
    id: configuredId,
    version: null,
    ...configuredDefinition(configured),
    createdAt: null,
    updatedAt: null,
  },
})

const wrongVersion = new ValidationFailed({ message: operations.wrongVersion })

/** The version that a change is meant for, of the header If-Match or the field `version`. */
const expectedVersion = (
  request: Request,
  { version }: Json,
): Either.Either<Option.Option<number>, ValidationFailed> => {
  const header = request.headers.get("if-match")
  if (header !== null && header.trim() !== "*") {
    const [, number] = /^(?:W\/)?"?(\d{1,9})"?$/.exec(header.trim()) ?? []
    return number === undefined ? Either.left(wrongVersion) : Either.right(Option.some(Number(number)))
  }
  if (version === undefined) return Either.right(Option.none())
  return Predicate.isNumber(version) ? Either.right(Option.some(version)) : Either.left(wrongVersion)
}

const merge = (definition: Json, changes: Json): Json =>
  Object.fromEntries(Object.entries({ ...definition, ...changes }).filter(([, value]) => value !== null))

const versionsQuery = Schema.standardSchemaV1(
  Schema.Struct({
    limit: wholeNumber(100, 20),
    before: Schema.optionalWith(
      Schema.compose(
        Schema.String.pipe(Schema.pattern(/^\d{1,9}$/, { jsonSchema: { type: "integer", minimum: 1 } })),
        Schema.NumberFromString,
      ).annotations({
        description: "A version. Only earlier ones are returned.",
        message: () => ({ message: "must be the number of a version", override: true }),
      }),
      { as: "Option" },
    ),
  }),
)

/** The agents of the signed-in user, and that of the configuration. */
export const agentsRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const agents = yield* Agents
  const stored = yield* StoredAgents

  const list = (userId: UserId) =>
    Effect.map(stored.list(userId), (own) => ({
      agents: [
        { id: configuredId, version: null, name: "Default", createdAt: null, updatedAt: null },
        ...own,
      ],
    }))

  /** `isNew`: a change, after which servers of tools are tried. */
  const answer = (
    userId: UserId,
    row: AgentRow,
    isNew: boolean,
    init: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
  ) =>
    Effect.map(agents.warnings(userId, row.definition, isNew), (warnings) =>
      Response.json(
        { agent: shown(row), ...(warnings.length === 0 ? {} : { warnings }) },
        { ...init, headers: { etag: `"${row.version}"`, ...init.headers } },
      ),
    )

  const create = Effect.fnUntraced(function* (request: Request, userId: UserId, body: Json) {
    const key = yield* idempotencyKey(request)
    const definition = yield* agents.read(withoutOwnFields(body))
    const idempotency = Option.map(key, (key) => ({ key, contentHash: sha256(JSON.stringify(definition)) }))
    const { agent, isReplayed } = yield* stored.create(userId, definition, idempotency)
    return yield* answer(userId, agent, true, {
      status: 201,
      headers: {
        location: `/api/v1/agents/${agent.id}`,
        ...(isReplayed ? { "idempotent-replayed": "true" } : {}),
      },
    })
  })

  const get = (userId: UserId, id: string) =>
    id === configuredId
      ? Effect.succeed(Response.json(shownConfigured(agents.configured)))
      : Effect.flatMap(stored.get(userId, id), (row) => answer(userId, row, false))

  const update = Effect.fnUntraced(function* (request: Request, userId: UserId, id: string, body: Json) {
    if (id === configuredId) return yield* new AgentReadOnly()
    const expected = yield* expectedVersion(request, body)
    const changes = withoutOwnFields(body)
    const row = yield* stored.update(userId, id, {
      expected,
      change: (definition) => agents.read(merge(definition, changes), definition),
    })
    return yield* answer(userId, row, true)
  })

  const remove = (userId: UserId, id: string) =>
    id === configuredId ? new AgentReadOnly() : Effect.map(stored.remove(userId, id), noContent)

  const versions = (userId: UserId, id: string, page: Parameters<typeof stored.versions>[2]) =>
    id === configuredId
      ? new AgentNotFound()
      : Effect.map(stored.versions(userId, id, page), (rows) => ({
          versions: rows.map(({ version, definition, createdAt }) => ({ version, ...definition, createdAt })),
        }))

  return new Elysia({ prefix: "/agents" })
    .use(yield* signedIn("requests"))
    .get("", ({ request, user }) => run(request, list(user.id)), { detail: operations.list })
    .get("/:id", ({ request, user, params }) => run(request, get(user.id, params.id)), {
      detail: operations.get,
    })
    .get(
      "/:id/versions",
      ({ request, user, params, query }) => run(request, versions(user.id, params.id, query)),
      { query: versionsQuery, detail: operations.versions },
    )
    .delete("/:id", ({ request, user, params }) => run(request, remove(user.id, params.id)), {
      ...noBody,
      detail: operations.remove,
    })
    .use(yield* formOrJsonBody())
    .post("", ({ request, user, body }) => run(request, create(request, user.id, body)), {
      body: Schema.standardSchemaV1(NewAgent),
      detail: operations.create,
    })
    .patch(
      "/:id",
      ({ request, user, params, body }) => run(request, update(request, user.id, params.id, body)),
      { body: Schema.standardSchemaV1(AgentChanges), detail: operations.update },
    )
})

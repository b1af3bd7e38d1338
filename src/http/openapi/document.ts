import { Predicate, Schema } from "effect"
import manifest from "../../../package.json" with { type: "json" }
import { isHidden } from "../hidden-route.ts"
import { components } from "../payloads.ts"
import type { Examples } from "./failures.ts"
import { answerHeaders, requestId } from "./headers.ts"
import { type JsonSchema, partsWithReferences, toJsonSchema, withReferences } from "./json-schema.ts"
import { headerParameter, Operation, tags } from "./operation.ts"
import { bodyOf, responsesOf } from "./responses.ts"
import { webhooks } from "./webhooks.ts"

/** The parts of an Elysia route that the document needs. */
export interface Route {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly body?: unknown; readonly query?: unknown; readonly detail?: unknown }
}

/** The path prefix of the API. Routes outside it serve browsers and are not documented. */
const prefix = "/api/v1"

const about = `Send speech and receive a spoken reply. A turn transcribes a recording, generates a reply, speaks it, and saves both
messages in a session.

**Errors.** Every error is \`{error, message, requestId}\`. Responses with status 429 and 503 also have \`retryAfter\`. Each
operation lists its errors. In addition, an unknown path is 404 \`NOT_FOUND\`, and a method that a path does not support is
405 \`METHOD_NOT_ALLOWED\` with the header \`Allow\`.

**Conventions.** Every response has an \`X-Request-Id\`. Every GET also works as HEAD. Times are ISO 8601 in UTC. In the bodies of
requests about users, API keys and sessions, and of messages, the service ignores unknown fields. In those about agents, tool
results, secrets, webhooks and Realtime client secrets, an unknown field is 400 \`VALIDATION_ERROR\`. Browsers can call the API from any
origin, unless the operator sets \`CORS_ORIGIN\`.

**Completed turns.** A response body that ends normally means that the turn is saved. For an event stream, it also ends
without an \`error\` event. The connection of a turn that fails midway is reset.`

/** A route's description, if it has one. */
const operationOf = ({ hooks }: Route): Operation | undefined =>
  Predicate.hasProperty(hooks.detail, "operation") && hooks.detail.operation instanceof Operation
    ? hooks.detail.operation
    : undefined

const schemaOf = (value: unknown): JsonSchema | undefined =>
  Schema.isSchema(value) ? toJsonSchema(value) : undefined

const propertiesOf = (schema: JsonSchema): ReadonlyArray<readonly [name: string, schema: JsonSchema]> =>
  Predicate.isRecord(schema.properties)
    ? Object.entries(schema.properties).flatMap(([name, each]) =>
        Predicate.isRecord(each) ? [[name, each] as const] : [],
      )
    : []

const isRequired = (schema: JsonSchema, name: string) =>
  Array.isArray(schema.required) && schema.required.includes(name)

const parametersOf = (path: string, query: JsonSchema | undefined, { described }: Operation) => [
  ...[...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => {
    const given = described.path?.[name]
    return {
      name,
      in: "path",
      required: true,
      ...(typeof given === "object"
        ? given
        : { description: given, schema: { type: "string", format: "uuid" } }),
    }
  }),
  ...(query === undefined ? [] : propertiesOf(query)).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: query !== undefined && isRequired(query, name),
    ...(description === undefined ? {} : { description }),
    schema,
  })),
  ...(described.headers ?? []).map(headerParameter),
  { $ref: "#/components/parameters/RequestId" },
]

/** A form cannot hold objects. */
const asForm = (schema: JsonSchema): JsonSchema => ({
  ...schema,
  properties: Object.fromEntries(propertiesOf(schema).filter(([, { type }]) => type !== "object")),
})

const requestBodyOf = (body: JsonSchema | undefined, { described }: Operation) => {
  if (described.body !== undefined) return { required: true, content: bodyOf(described.body) }
  if (body === undefined) return undefined
  const { example } = described
  return {
    required: Array.isArray(body.required),
    content: {
      "application/json": { schema: body, ...(example === undefined ? {} : { example }) },
      "application/x-www-form-urlencoded": { schema: asForm(body) },
    },
  }
}

const operationObject = (route: Route, operation: Operation, examples: Examples) => {
  const { id, tag, summary, description, isPublic = false } = operation.described
  const [body, query] = [schemaOf(route.hooks.body), schemaOf(route.hooks.query)]
  const requestBody = requestBodyOf(body, operation)
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(isPublic ? { security: [] } : {}),
    parameters: parametersOf(route.path, query, operation),
    ...(requestBody === undefined ? {} : { requestBody }),
    responses: responsesOf(operation, { body: body !== undefined, query: query !== undefined }, examples),
  }
}

/** "/api/v1/sessions/:id" as "/sessions/{id}". */
const templateOf = (path: string) => path.slice(prefix.length).replace(/:(\w+)/g, "{$1}")

const named = Object.entries(components).map(([name, schema]) => [name, toJsonSchema(schema)] as const)
const namesBySchema = new Map(named.map(([name, schema]) => [JSON.stringify(schema), name]))

/** The API's routes with their descriptions, in the order of the descriptions. Throws for a route without one. */
const describedRoutes = (routes: ReadonlyArray<Route>) =>
  routes
    .filter((route) => route.path.startsWith(prefix) && !isHidden(route))
    .map((route) => {
      const operation = operationOf(route)
      if (operation === undefined) throw new Error(`${route.method} ${route.path} is not described`)
      return { route, operation }
    })
    .toSorted((a, b) => a.operation.position - b.operation.position)

/** The ids of all operations, in the order of their descriptions. `paths` groups them by path instead. */
export const operationIds = (routes: ReadonlyArray<Route>): ReadonlyArray<string> =>
  describedRoutes(routes).map(({ operation }) => operation.described.id)

/** The OpenAPI 3.1 document of the API's routes, from their Schemas and descriptions. Throws for a route without one. */
export const makeDocument = (routes: ReadonlyArray<Route>, examples: Examples): JsonSchema => {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { route, operation } of describedRoutes(routes)) {
    const path = templateOf(route.path)
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: operationObject(route, operation, examples),
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Voice Agent",
      version: manifest.version,
      summary: manifest.description,
      description: about,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: prefix, description: "This service." }],
    security: [{ apiKey: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths: withReferences(paths, namesBySchema),
    webhooks: withReferences(webhooks, namesBySchema),
    components: {
      schemas: Object.fromEntries(
        named.map(([name, schema]) => [name, partsWithReferences(schema, namesBySchema)]),
      ),
      headers: answerHeaders,
      parameters: { RequestId: headerParameter(requestId) },
      securitySchemes: {
        apiKey: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "sk_…",
          description: "The API key from registration: `Authorization: Bearer sk_…`.",
        },
      },
    },
  }
}

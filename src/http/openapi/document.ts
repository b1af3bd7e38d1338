import { Predicate, Schema } from "effect"
import manifest from "../../../package.json" with { type: "json" }
import { components } from "../payloads.ts"
import type { Examples } from "./failures.ts"
import { answerHeaders, requestId } from "./headers.ts"
import { type JsonSchema, partsWithReferences, toJsonSchema, withReferences } from "./json-schema.ts"
import { type HeaderParameter, Operation, tags } from "./operation.ts"
import { bodyOf, responsesOf } from "./responses.ts"

/** As much of one of Elysia's routes as the document needs. */
export interface Route {
  readonly method: string
  readonly path: string
  readonly hooks: { readonly body?: unknown; readonly query?: unknown; readonly detail?: unknown }
}

/** Where the API begins; what is elsewhere is for browsers. */
export const prefix = "/api/v1"

const about = `Send speech, get a spoken answer: a turn hears a recording, thinks of a reply, speaks it, and remembers
both in a session.

Every answer has an X-Request-Id, and every error is \`{error, message, requestId}\`, on 429 and 503 with \`retryAfter\`.
Beside the errors that each operation names, a path that is none is 404 \`NOT_FOUND\`, and a method that a path does not
take 405 \`METHOD_NOT_ALLOWED\` with \`Allow\`; whatever can be got has its HEAD, too. Times are ISO 8601 in UTC. Members of
a body that are not named here are ignored.

Pages of any origin may ask, unless the operator has listed some (CORS_ORIGIN). An answer's body that ends cleanly, and
of an event stream without an \`error\`, means that the turn is saved; one that could not be finished is broken off.`

/** What a route was described by; undefined where it was not. */
export const operationOf = ({ hooks }: Route): Operation | undefined =>
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

const headerParameter = ({ name, description, schema }: HeaderParameter) => ({
  name,
  in: "header",
  description,
  schema,
})

const parametersOf = (path: string, query: JsonSchema | undefined, { described }: Operation) => [
  ...[...path.matchAll(/:(\w+)/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    description: described.path?.[name],
    schema: { type: "string", format: "uuid" },
  })),
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

/** A form holds texts: no objects. */
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

/** "/sessions/:id/" as the document has it. */
const templateOf = (path: string) => path.slice(prefix.length).replace(/:(\w+)/g, "{$1}")

const named = Object.entries(components).map(([name, schema]) => [name, toJsonSchema(schema)] as const)
const namesBySchema = new Map(named.map(([name, schema]) => [JSON.stringify(schema), name]))

/**
 * The OpenAPI 3.1 document of the API's routes, from their Schemas and from what each is described by. Throws where one
 * is not described.
 */
export const makeDocument = (routes: ReadonlyArray<Route>, examples: Examples): JsonSchema => {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    if (!route.path.startsWith(prefix)) continue
    const operation = operationOf(route)
    // A test asks for the document: no route goes without a word.
    if (operation === undefined) throw new Error(`${route.method} ${route.path} is not described`)
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
    servers: [{ url: prefix, description: "The service that gave this document." }],
    security: [{ apiKey: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths: withReferences(paths, namesBySchema),
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
          description: "The API key that a registration gives: `Authorization: Bearer sk_…`.",
        },
      },
    },
  }
}

/** Checks a service's responses against its own OpenAPI document. */
import { expect } from "bun:test"
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js"
import addFormats from "ajv-formats"
import { Predicate, Schema } from "effect"
import { eventsIn } from "../support/events.ts"

const Json = Schema.Record({ key: Schema.String, value: Schema.Unknown })
type Json = typeof Json.Type
const by = <A, I>(value: Schema.Schema<A, I>) => Schema.Record({ key: Schema.String, value })
const Content = by(Schema.Struct({ schema: Json, example: Schema.optional(Schema.Unknown) }))

const Operation = Schema.Struct({
  operationId: Schema.String,
  security: Schema.optional(Schema.Array(Schema.Unknown)),
  requestBody: Schema.optional(Schema.Struct({ content: Content })),
  responses: by(
    Schema.Struct({
      headers: by(Schema.Struct({ $ref: Schema.String })),
      content: Schema.optional(Content),
    }),
  ),
})

const Document = Schema.Struct({
  openapi: Schema.Literal("3.1.0"),
  servers: Schema.Array(Schema.Struct({ url: Schema.String })),
  paths: by(by(Operation)),
  components: Schema.Struct({
    schemas: by(Json),
    headers: by(Schema.Struct({ required: Schema.optional(Schema.Boolean), schema: Json })),
  }),
})

export interface Documented {
  readonly id: string
  readonly method: string
  /** For example "/sessions/{id}". */
  readonly path: string
  readonly operation: typeof Operation.Type
}

type Answered = Pick<Response, "status" | "headers" | "text">

/** The error codes of a schema, if it is an error's. */
const codesOf = ({ properties }: Json): ReadonlyArray<unknown> | undefined => {
  const error = Predicate.isRecord(properties) ? properties.error : undefined
  return Predicate.isRecord(error) && Array.isArray(error.enum) ? error.enum : undefined
}

/** Every documented outcome of an operation: "getSession 200 application/json", "getSession 404 NOT_FOUND". */
const outcomesOf = ({ id, operation }: Documented): ReadonlyArray<string> =>
  Object.entries(operation.responses).flatMap(([status, { content }]) =>
    content === undefined
      ? [`${id} ${status}`]
      : Object.entries(content).flatMap(([type, { schema }]) =>
          (codesOf(schema) ?? [type]).map((what) => `${id} ${status} ${what}`),
        ),
  )

/** A schema that forbids undocumented fields. Clients accept them, but the service must document what it sends. */
const closed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(closed)
  if (!Predicate.isRecord(value)) return value
  const parts = Object.fromEntries(Object.entries(value).map(([key, each]) => [key, closed(each)]))
  return Predicate.isRecord(value.properties) ? { ...parts, unevaluatedProperties: false } : parts
}

/** The API's own headers. */
const isOwn = (name: string) =>
  /^(x-(?!accel|content)|ratelimit|retry-after|server-timing|idempotent|www-)/.test(name)

export const readContract = async (url: string) => {
  const answer = await fetch(new URL("/openapi.json", url))
  expect(answer.headers.get("content-type")).toBe("application/json")
  const raw: unknown = await answer.json()
  const document = Schema.decodeUnknownSync(Document)(raw)
  const operations: ReadonlyArray<Documented> = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      id: operation.operationId,
      method: method.toUpperCase(),
      path,
      operation,
    })),
  )

  // Each schema checks a few values only: optimizing its code costs more time than it saves.
  const ajv = new Ajv2020({ strict: false, allErrors: true, code: { optimize: false } })
  addFormats(ajv)
  // The references of all schemas point to this document.
  const absolute = (schema: unknown): Json =>
    JSON.parse(JSON.stringify(closed(schema)).replaceAll('"#/components/', '"document#/components/'))
  ajv.addSchema({ $id: "document", components: { schemas: absolute(document.components.schemas) } })
  /** By their schema as JSON. */
  const compiled = new Map<string, ValidateFunction>()
  const flaws = (schema: unknown, value: unknown): string => {
    const json = JSON.stringify(schema)
    const validate = compiled.get(json) ?? ajv.compile(absolute(schema))
    compiled.set(json, validate)
    return validate(value) ? "" : ajv.errorsText(validate.errors)
  }

  const operationOf = (id: string): Documented => {
    const found = operations.find((each) => each.id === id)
    if (found === undefined) throw new Error(`${id} is no operation`)
    return found
  }

  const checkHeaders = (documented: ReadonlyArray<string>, { headers }: Answered) => {
    for (const name of documented) {
      const { required = false, schema } = document.components.headers[name] ?? { schema: {} }
      const value = headers.get(name)
      if (value === null) expect([name, required]).toEqual([name, false])
      else
        expect([name, flaws(schema, schema.type === "integer" ? Number(value) : value)]).toEqual([name, ""])
    }
    const known = documented.map((name) => name.toLowerCase())
    expect([...headers.keys()].filter((name) => isOwn(name) && !known.includes(name))).toEqual([])
  }

  const checkEvents = (schema: Json, text: string) => {
    const schemas = Schema.decodeUnknownSync(by(Json))(schema["x-events"])
    const events = eventsIn(Buffer.from(text))
    expect(events.length).toBeGreaterThan(2)
    for (const { event, data } of events)
      expect([event, flaws(schemas[event] ?? false, data)]).toEqual([event, ""])
  }

  const seen = new Set<string>()
  /** Fails if a response differs from the document. Returns its body. */
  const check = async (id: string, answer: Answered): Promise<unknown> => {
    const text = await answer.text()
    const documented = operationOf(id).operation.responses[answer.status]
    if (documented === undefined) throw new Error(`${id} does not answer ${answer.status}: ${text}`)
    checkHeaders(Object.keys(documented.headers), answer)
    const { content } = documented
    if (content === undefined) {
      expect(text).toBe("")
      seen.add(`${id} ${answer.status}`)
      return undefined
    }
    const type = (answer.headers.get("content-type") ?? "").replace(/;.*$/, "")
    const schema = content[type]?.schema
    if (schema === undefined) throw new Error(`${id} ${answer.status} is not documented as ${type}`)
    expect(text).not.toBe("")
    if (type === "text/event-stream") checkEvents(schema, text)
    const body: unknown = type === "application/json" ? JSON.parse(text) : text
    if (type === "application/json") expect(`${id} ${answer.status}: ${flaws(schema, body)}`).toEndWith(": ")
    const isError = codesOf(schema) !== undefined && Predicate.hasProperty(body, "error")
    seen.add(`${id} ${answer.status} ${isError ? body.error : type}`)
    return body
  }

  return {
    raw,
    operations,
    operationOf,
    check,
    /** The operations that have this outcome: "401 UNAUTHORIZED". */
    having: (outcome: string) =>
      operations.filter((each) => outcomesOf(each).includes(`${each.id} ${outcome}`)),
    /** What is documented and was not checked yet. */
    unseen: () => operations.flatMap(outcomesOf).filter((outcome) => !seen.has(outcome)),
  }
}
export type Contract = Awaited<ReturnType<typeof readContract>>

/**
 * Writes the client's model: a TypeScript interface and a reader for each payload, from the Schemas of src/http/payloads.ts.
 */
import { join } from "node:path"
import { Predicate, type Schema } from "effect"
import { makeExamples } from "../../src/http/openapi/failures.ts"
import { type JsonSchema, partsWithReferences, toJsonSchema } from "../../src/http/openapi/json-schema.ts"
import {
  AudioChunk,
  components,
  OpenToolCalls,
  ReplyDelta,
  ToolCall,
  Transcript,
  TurnCompleted,
  TurnFailed,
  TurnStarted,
} from "../../src/http/payloads.ts"
import { defect, toProblem } from "../../src/http/problems.ts"

export const modelFile = join(import.meta.dir, "../../src/client/model.ts")

const { Check, ProviderCheck, Readiness, Registered, LoggedIn, Timings, Usage } = components
const { Session, SessionDetails, SessionPage, SessionCreated, OneSession } = components
const { Message, MessagePage } = components
const { UsageEntry, UsageTotal, UsageMonth, UsageReport } = components
const { AgentTool, AgentDefinition, Agent, OneAgent, ListedAgent, AgentList, AgentVersion, AgentVersions } =
  components
const { NewWebhook, WebhookChanges, Webhook, OneWebhook, WebhookList, WebhookCreated } = components
const { Memory, MemoryList, Secret, OneSecret, SecretList } = components
const { Delivery, OneDelivery, DeliveryList, Replayed } = components

/** The payloads that the client sends; it reads all the others. */
const requests: Readonly<Record<string, Schema.Schema.All>> = {
  SessionDetails,
  AgentDefinition,
  NewWebhook,
  WebhookChanges,
}

const responses: Readonly<Record<string, Schema.Schema.All>> = {
  Timings,
  Usage,
  TurnStarted,
  Transcript,
  ReplyDelta,
  AudioChunk,
  ToolCall,
  OpenToolCalls,
  TurnCompleted,
  TurnFailed,
  Session,
  SessionPage,
  SessionCreated,
  OneSession,
  Message,
  MessagePage,
  Check,
  ProviderCheck,
  Readiness,
  Registered,
  LoggedIn,
  AgentTool,
  Agent,
  OneAgent,
  ListedAgent,
  AgentList,
  AgentVersion,
  AgentVersions,
  Memory,
  MemoryList,
  Secret,
  OneSecret,
  SecretList,
  UsageEntry,
  UsageTotal,
  UsageMonth,
  UsageReport,
  Webhook,
  OneWebhook,
  WebhookList,
  WebhookCreated,
  Delivery,
  OneDelivery,
  DeliveryList,
  Replayed,
}

/** Parts of other payloads that are payloads, too. */
const events = ["ToolCall"]

const schemas = Object.entries({ ...requests, ...responses }).map(
  ([name, schema]) => [name, toJsonSchema(schema)] as const,
)
const namesBySchema = new Map(schemas.map(([name, schema]) => [JSON.stringify(schema), name]))

const isObject = Predicate.isRecord
const objects = (value: unknown): ReadonlyArray<JsonSchema> =>
  Array.isArray(value) ? value.filter(isObject) : []
const nameOf = ($ref: string) => $ref.replace(/^.*\//, "")

interface Field {
  readonly name: string
  readonly schema: JsonSchema
  readonly isOptional: boolean
}

const fieldsOf = ({ properties, required }: JsonSchema): ReadonlyArray<Field> | undefined =>
  isObject(properties)
    ? Object.entries(properties).flatMap(([name, schema]) =>
        isObject(schema)
          ? [{ name, schema, isOptional: !(Array.isArray(required) && required.includes(name)) }]
          : [],
      )
    : undefined

const isNull = ({ type }: JsonSchema) => type === "null"

/** A schema as TypeScript: its type, and the expression that reads it. Fails on what no payload uses so far. */
const translate = (schema: JsonSchema): { readonly type: string; readonly reader: string } => {
  const { $ref, anyOf, enum: values, type, items } = schema
  if (typeof $ref === "string") return { type: nameOf($ref), reader: `read${nameOf($ref)}` }
  const members = objects(anyOf)
  if (members.some(isNull)) {
    const inner = translateAny(members.filter((member) => !isNull(member)))
    return { type: `${inner.type} | null`, reader: `orNull(${inner.reader})` }
  }
  if (members.length > 0) return translateAny(members)
  if (Array.isArray(values)) {
    return { type: `Open<${values.map((each) => JSON.stringify(each)).join(" | ")}>`, reader: "text" }
  }
  if (isObject(items)) {
    const inner = translate(items)
    return { type: `ReadonlyArray<${inner.type}>`, reader: `listOf(${inner.reader})` }
  }
  const fields = fieldsOf(schema)
  if (fields?.length === 0 && isObject(schema.additionalProperties)) {
    const { type } = schema.additionalProperties
    return type === "string"
      ? { type: "Readonly<Record<string, string>>", reader: "recordOf(text)" }
      : { type: "Readonly<Record<string, unknown>>", reader: "object" }
  }
  if (fields !== undefined) return { type: bodyOf(fields), reader: readerOf(fields) }
  if (type === "string") return { type: "string", reader: "text" }
  if (type === "integer" || type === "number") return { type: "number", reader: "number" }
  if (type === "boolean") return { type: "boolean", reader: "boolean" }
  if (type === "object") return { type: "Readonly<Record<string, unknown>>", reader: "object" }
  throw new Error(`the client's model has no translation of ${JSON.stringify(schema)}`)
}

/** The one value that the schema's `type` may have, as in a union of objects that have different ones. */
const kindOf = (schema: JsonSchema): string | undefined => {
  const { properties } = schema
  const kind = isObject(properties) && isObject(properties.type) ? properties.type.enum : undefined
  return Array.isArray(kind) && kind.length === 1 && typeof kind[0] === "string" ? kind[0] : undefined
}

/** A union of objects that differ in their `type`. */
const translateKinds = (members: ReadonlyArray<JsonSchema>): ReturnType<typeof translate> => {
  const each = members.map((member) => {
    const kind = JSON.stringify(kindOf(member))
    const { type, reader } = translate(member)
    return {
      type: type.replace(/readonly type: Open<[^>]*>/, `readonly type: ${kind}`),
      reader: `${kind}: ${reader.replace(/type: field\("type", text\)/, `type: ${kind} as const`)}`,
    }
  })
  return {
    type: each.map(({ type }) => type).join(" | "),
    reader: `byType({ ${each.map(({ reader }) => reader).join(", ")} })`,
  }
}

/** One of several schemas. */
const translateAny = (members: ReadonlyArray<JsonSchema>): ReturnType<typeof translate> => {
  if (members.length > 1 && members.every((member) => kindOf(member) !== undefined))
    return translateKinds(members)
  const each = members.map(translate)
  const [types, readers] = [each.map(({ type }) => type), each.map(({ reader }) => reader)].map((all) => [
    ...new Set(all),
  ])
  const [only = "", ...others] = readers ?? []
  return {
    type: (types ?? []).join(" | "),
    reader: others.length === 0 ? only : `anyOf(${[only, ...others].join(", ")})`,
  }
}

const docOf = ({ description }: JsonSchema) =>
  typeof description === "string" ? `/** ${description.replaceAll("*/", "*\\/")} */\n` : ""

const bodyOf = (fields: ReadonlyArray<Field>): string => {
  const lines = fields.map(({ name, schema, isOptional }) => {
    const { type } = translate(schema)
    return `${docOf(schema)}readonly ${name}${isOptional ? `?: ${type} | undefined` : `: ${type}`}`
  })
  return `{\n${lines.join("\n")}\n}`
}

const readerOf = (fields: ReadonlyArray<Field>): string => {
  const lines = fields.map(({ name, schema, isOptional }) => {
    const { reader } = translate(schema)
    return `${name}: field(${JSON.stringify(name)}, ${isOptional ? `optional(${reader})` : reader})`
  })
  return `(value) => {\nconst field = fieldsOf(value)\nreturn { ${lines.join(",\n")} }\n}`
}

const declarationOf = ([name, schema]: readonly [string, JsonSchema]) => {
  const parts = partsWithReferences(schema, namesBySchema)
  const fields = fieldsOf(parts)
  if (fields === undefined) {
    const { type, reader } = translate(parts)
    return {
      name,
      type: `${docOf(schema)}export type ${name} = ${type}\n`,
      reader: `const read${name}: Reader<${name}> = ${reader}\n`,
    }
  }
  const type = `${docOf(schema)}export interface ${name} ${bodyOf(fields)}\n`
  return { name, type, reader: `const read${name}: Reader<${name}> = ${readerOf(fields)}\n` }
}

/** The code of every error response. */
const errorCodes = () => {
  const examples = makeExamples({
    maxAudioBytes: 1,
    maxAudioSeconds: 1,
    maxRealtimeSessionsPerUser: 32,
    maxTurnsPerUser: 1,
  })
  const problems = [...Object.values(examples).flat().map(toProblem), defect(undefined, "production")]
  return [...new Set(problems.map(({ code }) => JSON.stringify(code)))]
}

const combinators = [
  "anyOf",
  "boolean",
  "byType",
  "fieldsOf",
  "listOf",
  "number",
  "object",
  "optional",
  "orNull",
  "recordOf",
  "text",
]

/** biome's formatting, so that the file passes the lint as it is written. */
const formatted = async (source: string) => {
  const biome = join(import.meta.dir, "../../node_modules/.bin/biome")
  const child = Bun.spawn([biome, "check", "--write", `--stdin-file-path=${modelFile}`], {
    cwd: join(import.meta.dir, "../.."),
    stdin: new Blob([source]),
    stdout: "pipe",
  })
  const text = await child.stdout.text()
  if ((await child.exited) !== 0) throw new Error("biome could not format the client's model")
  return text
}

/** The whole of src/client/model.ts. */
export const makeClientModel = async (): Promise<string> => {
  const all = schemas.map(declarationOf)
  /** A reader that only other readers call. */
  const isInner = (name: string) =>
    !events.includes(name) &&
    all.some((other) => other.name !== name && new RegExp(`\\bread${name}\\b`).test(other.reader))
  const declarations = all
    .map(({ name, type, reader }) => {
      if (name in requests) return type
      return `${type}\n${isInner(name) ? "" : "export "}${reader}`
    })
    .join("\n")
  const used = combinators.filter((name) => new RegExp(`\\b${name}[(),]`).test(declarations))
  return formatted(`/**
 * The payloads of the API as they are on the wire: times are ISO 8601 in UTC, ids are UUIDs.
 * Generated by \`bun run generate\` from src/http/payloads.ts. Do not edit.
 */
import { ${used.join(", ")}, type Reader } from "./read.ts"

/** One of the known values, or one that a later version of the service adds. */
export type Open<Known extends string> = Known | (string & {})

/** The codes of the service's error responses. */
export type ErrorCode = ${errorCodes().join(" | ")}

${declarations}`)
}

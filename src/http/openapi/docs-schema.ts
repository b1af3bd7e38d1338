import { Predicate } from "effect"
import { code, type Html, html, prose } from "./html.ts"
import type { JsonSchema } from "./json-schema.ts"

const schemas = (value: unknown): ReadonlyArray<JsonSchema> =>
  Array.isArray(value) ? value.filter(Predicate.isRecord) : []

const joined = (parts: ReadonlyArray<Html>, by: string): Html =>
  parts.reduce((before, part) => html`${before}${by}${part}`)

const given = (value: unknown) => (typeof value === "number" ? value : undefined)

/** "1 to 100", "at most 200 characters". */
const range = (least: unknown, most: unknown, unit: string): ReadonlyArray<string> => {
  const [from, to] = [given(least), given(most)]
  if (from !== undefined && to !== undefined) return [`${from} to ${to}${unit}`]
  if (to !== undefined) return [`at most ${to}${unit}`]
  return from === undefined ? [] : [`at least ${from}${unit}`]
}

const boundsOf = (schema: JsonSchema): ReadonlyArray<string> => [
  ...range(schema.minimum, schema.maximum, ""),
  ...range(schema.minLength, schema.maxLength, " characters"),
  ...(schema.default === undefined ? [] : [`default ${schema.default}`]),
]

/** A schema in a few words. A component becomes a link. */
export const typeOf = (schema: JsonSchema): Html => {
  const { $ref, type, format, items } = schema
  if (typeof $ref === "string") {
    const name = $ref.replace(/^.*\//, "")
    return html`<a href="#schema-${name}">${name}</a>`
  }
  const [first, ...others] = schemas(schema.anyOf ?? schema.allOf)
  if (first !== undefined) {
    return joined([first, ...(schema.anyOf === undefined ? [] : others)].map(typeOf), " or ")
  }
  const bounds = boundsOf(schema)
  if (Array.isArray(schema.enum)) {
    const values = schema.enum.map((each) => code(JSON.stringify(each)))
    return joined([joined(values, " or "), ...bounds.map((each) => html`${each}`)], ", ")
  }
  if (Predicate.isRecord(items)) return html`array of ${typeOf(items)}`
  const kind = typeof format === "string" ? format : typeof type === "string" ? type : "any"
  return html`${[kind, ...bounds].join(", ")}`
}

const fieldList = (schema: JsonSchema): Html | undefined => {
  const { properties, required } = schema
  if (!Predicate.isRecord(properties)) return undefined
  const names = Array.isArray(required) ? required : []
  const rows = Object.entries(properties).flatMap(([name, each]) =>
    Predicate.isRecord(each)
      ? [
          html`<dt>${code(name)} <small>${typeOf(each)}${names.includes(name) ? "" : ", optional"}</small></dt>
            <dd>${schemaDetails(each)}</dd>`,
        ]
      : [],
  )
  return html`<dl>${rows}</dl>`
}

const nested = (schema: JsonSchema): ReadonlyArray<JsonSchema> => [
  ...schemas(schema.anyOf),
  ...(Predicate.isRecord(schema.items) ? [schema.items] : []),
]

/** A schema's description and its fields. The fields of a component are in the section Schemas. */
export const schemaDetails = (schema: JsonSchema): Html => {
  const { description, "x-events": events } = schema
  return html`${typeof description === "string" ? prose(description) : undefined}
    ${fieldList(schema)}${nested(schema).map(schemaDetails)}
    ${Predicate.isRecord(events) ? fieldList({ properties: events, required: Object.keys(events) }) : undefined}`
}

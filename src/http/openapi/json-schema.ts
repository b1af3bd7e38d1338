import { JSONSchema, Predicate, Schema } from "effect"

/** JSON as a schema or a whole document is made of. */
export type JsonSchema = { readonly [key: string]: unknown }

/** Effect describes its own types ("an integer"). The project's descriptions begin with a capital letter. */
const isNoise = (key: string, value: unknown): boolean =>
  key === "$id" ||
  key === "title" ||
  // A later version may send further fields, and some requests may have them.
  (key === "additionalProperties" && value === false) ||
  (key === "description" && typeof value === "string" && /^an? /.test(value))

const clean = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(clean)
  if (!Predicate.isRecord(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, each]) => {
      if (key === "pattern" && value.format === "uuid") return []
      if (key === "properties" && Predicate.isRecord(each)) {
        // A property may be called "title", so its name is not an annotation.
        return [[key, Object.fromEntries(Object.entries(each).map(([name, of]) => [name, clean(of)]))]]
      }
      const isEmptyList = key === "required" && Array.isArray(each) && each.length === 0
      return isNoise(key, each) || isEmptyList ? [] : [[key, clean(each)]]
    }),
  )
}

/** A value's encoded form as JSON Schema 2020-12, without references. */
export const toJsonSchema = (schema: Schema.Schema.All): JsonSchema => {
  const cleaned = clean(
    JSONSchema.fromAST(schema.ast, {
      definitions: {},
      definitionPath: "#/components/schemas/",
      target: "openApi3.1",
      topLevelReferenceStrategy: "skip",
    }),
  )
  return Predicate.isRecord(cleaned) ? cleaned : {}
}

/** A value of a struct whose fields each have an example. */
export const exampleOf = <A, I>(schema: Schema.Schema<A, I>): A => {
  const { properties } = toJsonSchema(schema)
  const fields = Predicate.isRecord(properties) ? Object.entries(properties) : []
  return Schema.decodeUnknownSync(schema)(
    Object.fromEntries(
      fields.flatMap(([name, field]) =>
        Predicate.isRecord(field) && Array.isArray(field.examples) ? [[name, field.examples[0]]] : [],
      ),
    ),
  )
}

/** Replaces each part that equals a component by a reference to it. */
export const withReferences = (value: unknown, components: ReadonlyMap<string, string>): unknown => {
  if (Array.isArray(value)) return value.map((each) => withReferences(each, components))
  if (!Predicate.isRecord(value)) return value
  const name = components.get(JSON.stringify(value))
  if (name !== undefined) return { $ref: `#/components/schemas/${name}` }
  return partsWithReferences(value, components)
}

/** The same for the parts of a component. */
export const partsWithReferences = (value: JsonSchema, components: ReadonlyMap<string, string>): JsonSchema =>
  Object.fromEntries(Object.entries(value).map(([key, each]) => [key, withReferences(each, components)]))

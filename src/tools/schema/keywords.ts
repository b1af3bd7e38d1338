import { Predicate } from "effect"
import type { Budget } from "./budget.ts"
import { canonical } from "./canonical.ts"
import { hasFormat } from "./format.ts"

/** A schema that is being applied to a value. */
export interface Application {
  readonly rules: Readonly<Record<string, unknown>>
  readonly budget: Budget
  readonly matches: (pattern: string, text: string) => boolean | undefined
  /** Properties or items that a schema has been applied to, for `unevaluated…`. */
  readonly seen: Set<string | number>
  readonly fail: (problem: string) => void
  /** True for a value that fits. Its problems are not collected. */
  readonly fits: (schema: unknown, part: unknown) => boolean
  /** Applies a schema to the same value. */
  readonly apply: (schema: unknown) => void
  /** Applies a schema to a property or an item. */
  readonly descend: (schema: unknown, part: unknown, key: string | number) => void
}

export const listOf = (value: unknown): ReadonlyArray<unknown> => (Array.isArray(value) ? value : [])

const fieldsOf = (value: unknown): ReadonlyArray<readonly [string, unknown]> =>
  Predicate.isRecord(value) ? Object.entries(value) : []

const typeOf = (value: unknown) => {
  if (value === null) return "null"
  return Array.isArray(value) ? "array" : typeof value
}

const hasType = (value: unknown, type: unknown) =>
  type === "integer" ? Number.isInteger(value) : typeOf(value) === type

/** Fails if the number of a keyword is a limit that the value does not keep. */
const keep = (
  { rules, fail }: Application,
  keyword: string,
  isKept: (limit: number) => boolean,
  problem: (limit: number) => string,
) => {
  const limit = rules[keyword]
  if (Predicate.isNumber(limit) && !isKept(limit)) fail(problem(limit))
}

const keepSize = (to: Application, [least, most]: readonly [string, string], size: number, of: string) => {
  keep(
    to,
    least,
    (limit) => size >= limit,
    (limit) => `must have at least ${limit} ${of}`,
  )
  keep(
    to,
    most,
    (limit) => size <= limit,
    (limit) => `must have at most ${limit} ${of}`,
  )
}

/** The keywords for values of every type. */
export const checkAny = ({ rules, budget, fail }: Application, value: unknown) => {
  const { type, const: only, enum: choices } = rules
  const types = Predicate.isString(type) ? [type] : listOf(type)
  if (types.length > 0 && !types.some((each) => hasType(value, each))) {
    fail(`must be of type ${types.join(" or ")}, and is of type ${typeOf(value)}`)
  }
  if (only === undefined && !Array.isArray(choices)) return
  const own = canonical(value, budget)
  if (only !== undefined && canonical(only, budget) !== own) fail(`must be ${JSON.stringify(only)}`)
  if (Array.isArray(choices) && !choices.some((each) => canonical(each, budget) === own)) {
    fail(`must be one of ${JSON.stringify(choices)}`)
  }
}

/** Decimal numbers are rarely exact: 0.3 is a multiple of 0.1. */
const isMultiple = (value: number, of: number) => {
  const times = value / of
  return Math.abs(times - Math.round(times)) <= 2 * Number.EPSILON * Math.max(1, Math.abs(times))
}

export const checkNumber = (to: Application, value: number) => {
  const limits = [
    ["minimum", "at least", (limit: number) => value >= limit],
    ["maximum", "at most", (limit: number) => value <= limit],
    ["exclusiveMinimum", "greater than", (limit: number) => value > limit],
    ["exclusiveMaximum", "less than", (limit: number) => value < limit],
    ["multipleOf", "a multiple of", (limit: number) => limit <= 0 || isMultiple(value, limit)],
  ] as const
  for (const [keyword, words, isKept] of limits)
    keep(to, keyword, isKept, (limit) => `must be ${words} ${limit}`)
}

/** In code points, as JSON Schema counts. */
const lengthOf = (text: string) => {
  let length = 0
  for (const _ of text) length += 1
  return length
}

/** Units of the budget for one format. */
const formatCost = 20

export const checkText = (to: Application, value: string) => {
  const { rules, budget, matches, fail } = to
  const { pattern, format } = rules
  if (rules.minLength !== undefined || rules.maxLength !== undefined) {
    if (!budget.spend(value.length / 10)) return
    keepSize(to, ["minLength", "maxLength"], lengthOf(value), "characters")
  }
  if (Predicate.isString(pattern) && matches(pattern, value) === false) fail(`must match ${pattern}`)
  // A URI takes longest, about 5 ns for each character.
  if (Predicate.isString(format) && !budget.spend(formatCost + value.length / 15)) return
  if (Predicate.isString(format) && !hasFormat(format, value)) fail(`must have the format ${format}`)
}

export const checkObject = (to: Application, value: Readonly<Record<string, unknown>>) => {
  const { rules, budget, matches, seen, fail, fits, apply, descend } = to
  const keys = Object.keys(value)
  if (!budget.spend(keys.length)) return
  keepSize(to, ["minProperties", "maxProperties"], keys.length, "properties")
  for (const name of listOf(rules.required)) {
    if (Predicate.isString(name) && !Object.hasOwn(value, name)) fail(`must have the property ${name}`)
  }
  for (const [name, schema] of fieldsOf(rules.properties)) {
    if (Object.hasOwn(value, name)) descend(schema, value[name], name)
  }
  const here = new Set(fieldsOf(rules.properties).map(([name]) => name))
  for (const [pattern, schema] of fieldsOf(rules.patternProperties)) {
    if (!budget.spend(keys.length)) return
    for (const key of keys) {
      if (budget.isSpent()) return
      const isMatch = matches(pattern, key)
      if (isMatch === false) continue
      here.add(key)
      seen.add(key)
      if (isMatch === true) descend(schema, value[key], key)
    }
  }
  if (rules.additionalProperties !== undefined) {
    for (const key of keys) if (!here.has(key)) descend(rules.additionalProperties, value[key], key)
  }
  if (rules.propertyNames !== undefined) {
    for (const key of keys) if (!fits(rules.propertyNames, key)) fail(`may not have the property ${key}`)
  }
  const dependencies = ["dependentRequired", "dependentSchemas", "dependencies"]
  for (const [name, needed] of dependencies.flatMap((keyword) => fieldsOf(rules[keyword]))) {
    if (!Object.hasOwn(value, name)) continue
    if (!Array.isArray(needed)) apply(needed)
    for (const other of listOf(needed)) {
      if (Predicate.isString(other) && !Object.hasOwn(value, other)) {
        fail(`must have the property ${other}, since it has ${name}`)
      }
    }
  }
}

export const checkItems = (to: Application, value: ReadonlyArray<unknown>) => {
  const { rules, budget, seen, fail, fits, descend } = to
  if (!budget.spend(value.length)) return
  keepSize(to, ["minItems", "maxItems"], value.length, "items")
  // Until 2019, `items` was what `prefixItems` is now.
  const isOld = Array.isArray(rules.items)
  const first = listOf(isOld ? rules.items : rules.prefixItems)
  const rest = isOld ? rules.additionalItems : rules.items
  for (const [at, item] of value.entries()) {
    const schema = at < first.length ? first[at] : rest
    if (schema !== undefined) descend(schema, item, at)
  }
  if (rules.contains !== undefined) {
    const { minContains = 1, maxContains } = rules
    const found = value.flatMap((item, at) => (fits(rules.contains, item) ? [at] : []))
    for (const at of found) seen.add(at)
    if (Predicate.isNumber(minContains) && found.length < minContains) {
      fail(`must have at least ${minContains} items that fit contains`)
    }
    if (Predicate.isNumber(maxContains) && found.length > maxContains) {
      fail(`must have at most ${maxContains} items that fit contains`)
    }
  }
  if (rules.uniqueItems !== true) return
  if (new Set(value.map((item) => canonical(item, budget))).size < value.length) {
    fail("must not have the same item twice")
  }
}

/** After all other keywords: what none of them has spoken of. */
export const checkRest = ({ rules, seen, descend }: Application, value: unknown) => {
  if (Predicate.isRecord(value) && rules.unevaluatedProperties !== undefined) {
    for (const [key, part] of Object.entries(value)) {
      if (!seen.has(key)) descend(rules.unevaluatedProperties, part, key)
    }
  }
  if (Array.isArray(value) && rules.unevaluatedItems !== undefined) {
    for (const [at, item] of value.entries()) if (!seen.has(at)) descend(rules.unevaluatedItems, item, at)
  }
}

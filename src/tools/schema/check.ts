import { Option, Predicate } from "effect"
import { makeBudget } from "./budget.ts"
import {
  type Application,
  checkAny,
  checkItems,
  checkNumber,
  checkObject,
  checkRest,
  checkText,
  listOf,
} from "./keywords.ts"
import { makePatterns } from "./pattern.ts"
import { makeReferences } from "./references.ts"

/** Problems that are collected: a model corrects a few at a time, and a wrong list may have thousands. */
const maxProblems = 5

/** Schemas within each other for the same value. One that refers to itself has no end of them. */
const maxNesting = 64

/** Schemas within each other in all. Far below what the stack takes. */
const maxDepth = 512

export interface Checked {
  /** What is wrong, a sentence each; at most 5. Empty for a value that fits. */
  readonly problems: ReadonlyArray<string>
  /** The check would take too long, and ended early. */
  readonly isSpent: boolean
  /** More than 64 schemas within each other are for the same value. */
  readonly isEndless: boolean
}

interface Verdict {
  readonly problems: ReadonlyArray<string>
  readonly seen: ReadonlySet<string | number>
}

/** Of a check that has ended. */
const nothing: Verdict = { problems: [], seen: new Set() }

interface Position {
  readonly path: string
  readonly nesting: number
  readonly depth: number
}

/** Units of the budget for one schema and one value, besides its keywords. */
const applicationCost = 30

const sizeOf = (value: unknown) => {
  if (Array.isArray(value)) return value.length
  return Predicate.isRecord(value) ? Object.keys(value).length : 0
}

const isValid = ({ problems }: Verdict) => problems.length === 0

/**
 * Checks a value against a JSON Schema: 2020-12, and the older `items`, `additionalItems` and `dependencies`. The work is
 * bounded whatever the schema and the value. A keyword that refers to nothing, or whose own value is wrong, checks nothing.
 *
 * @param instance Is nested at most 64 levels deep.
 */
export const checkSchema = (root: unknown, instance: unknown): Checked => {
  const budget = makeBudget()
  const matches = makePatterns(budget)
  const referredBy = makeReferences(root)
  let isEndless = false

  const check = (schema: unknown, value: unknown, { path, nesting, depth }: Position): Verdict => {
    if (isEndless || budget.isSpent()) return nothing
    const problems: Array<string> = []
    const seen = new Set<string | number>()
    const verdict = { problems, seen }
    const add = (problem: string) => {
      if (problems.length < maxProblems) problems.push(problem)
    }
    const fail = (problem: string) => add(`${path}: ${problem}`)
    if (schema === false) fail("is not allowed")
    if (nesting > maxNesting) isEndless = true
    if (depth > maxDepth) budget.spend(Number.POSITIVE_INFINITY)
    if (isEndless || !Predicate.isRecord(schema)) return verdict
    const rules = schema
    if (
      !budget.spend(
        Object.values(rules).reduce((cost: number, each) => cost + 1 + sizeOf(each), applicationCost),
      )
    )
      return verdict

    const verdictOf = (other: unknown) =>
      check(other, value, { path, nesting: nesting + 1, depth: depth + 1 })
    const take = (other: Verdict) => {
      other.problems.forEach(add)
      if (budget.spend(other.seen.size)) for (const key of other.seen) seen.add(key)
    }
    const apply = (other: unknown) => take(verdictOf(other))
    const application: Application = {
      rules,
      budget,
      matches,
      seen,
      fail,
      apply,
      fits: (other, part) => isValid(check(other, part, { path, nesting: 0, depth: depth + 1 })),
      descend: (other, part, key) => {
        seen.add(key)
        check(other, part, { path: `${path}/${key}`, nesting: 0, depth: depth + 1 }).problems.forEach(add)
      },
    }

    checkAny(application, value)
    if (Predicate.isNumber(value)) checkNumber(application, value)
    if (Predicate.isString(value)) checkText(application, value)
    if (Predicate.isRecord(value)) checkObject(application, value)
    if (Array.isArray(value)) checkItems(application, value)

    if (Predicate.isString(rules.$ref)) Option.map(referredBy(rules.$ref), apply)
    listOf(rules.allOf).forEach(apply)
    for (const keyword of ["anyOf", "oneOf"]) {
      const choices = rules[keyword]
      if (!Array.isArray(choices)) continue
      const verdicts = choices.map(verdictOf)
      const fitting = verdicts.filter(isValid)
      if (fitting.length === 0) fail(`fits none of the schemas of ${keyword}`)
      if (fitting.length > 1 && keyword === "oneOf") fail("fits more than one of the schemas of oneOf")
      for (const each of fitting.length === 0 ? verdicts : fitting) take(each)
    }
    if (rules.not !== undefined && isValid(verdictOf(rules.not))) fail("fits the schema of not")
    if (rules.if !== undefined) {
      const condition = verdictOf(rules.if)
      if (isValid(condition)) take(condition)
      apply(isValid(condition) ? rules.then : rules.else)
    }
    checkRest(application, value)
    return verdict
  }

  const { problems } = check(root, instance, { path: "#", nesting: 0, depth: 0 })
  return { problems, isSpent: budget.isSpent(), isEndless }
}

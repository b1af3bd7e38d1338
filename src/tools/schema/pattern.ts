import { Either, Option } from "effect"
import { RE2JS } from "re2js"
import type { Budget } from "./budget.ts"

/** A pattern with more states is not checked. `^.{1,3000}$` has about 3000. */
const maxStates = 4000

/** RE2 refuses nested counts whose product is larger. */
const maxRepeats = 1000

/**
 * Units of the budget, as measured: of each pattern, of each of its states, of each match, and of each state and character. A
 * set of Unicode has hundreds of ranges, and with `i` each of them twice.
 */
const compileCost = 500
const stateCost = 8
const setStateCost = 24
const unicodeSetCost = 1500
const matchCost = 80
const stepCost = 0.1

/** At least the states of the compiled pattern: its characters, repeated as its counts say. Linear. */
const statesOf = (pattern: string): number => {
  const counts = [...pattern.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].map(([, low = "", high = ""]) =>
    Math.max(Number(low), Number(high), 1),
  )
  // Counts can only multiply where one follows a group, or another count.
  return /[)}]\{/.test(pattern)
    ? pattern.length *
        Math.min(
          counts.reduce((product, count) => product * count, 1),
          maxRepeats,
        )
    : pattern.length + counts.reduce((sum, count) => sum + count, 0)
}

const compileCostOf = (pattern: string, states: number): number => {
  const ignoresCase = /\(\?\w*i/.test(pattern)
  const unicodeSets = (pattern.match(/\\p/gi)?.length ?? 0) * (ignoresCase ? 2 : 1)
  const hasSets = unicodeSets > 0 || ignoresCase || pattern.includes("[^")
  return compileCost + unicodeSets * unicodeSetCost + states * (hasSets ? setStateCost : stateCost)
}

interface Compiled {
  readonly states: number
  readonly re: RE2JS
}

const compile = (pattern: string, budget: Budget): Option.Option<Compiled> => {
  const states = statesOf(pattern)
  if (states > maxStates || !budget.spend(compileCostOf(pattern, states))) return Option.none()
  return Option.map(
    Either.getRight(Either.try(() => RE2JS.compile(RE2JS.translateRegExp(pattern)))),
    (re) => ({ states, re }),
  )
}

/**
 * Matches the patterns of one schema, in linear time. Undefined for a pattern that cannot be matched so: one with a
 * look-around, a back-reference or more than 4000 states, and one that is no pattern. Undefined also if the budget is spent.
 */
export const makePatterns = (budget: Budget): ((pattern: string, text: string) => boolean | undefined) => {
  const known = new Map<string, Option.Option<Compiled>>()
  const compiled = (pattern: string) => {
    const made = known.get(pattern) ?? compile(pattern, budget)
    known.set(pattern, made)
    return made
  }
  return (pattern, text) =>
    Option.match(compiled(pattern), {
      onNone: () => undefined,
      onSome: ({ states, re }) =>
        budget.spend(matchCost + states * text.length * stepCost) ? re.matcher(text).find() : undefined,
    })
}

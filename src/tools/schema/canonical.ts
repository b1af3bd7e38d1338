import { Predicate } from "effect"
import type { Budget } from "./budget.ts"

/** JSON with sorted keys: the same for values that are equal. Once the budget is spent, only a beginning of it. */
export const canonical = (value: unknown, budget: Budget): string => {
  if (Predicate.isString(value)) {
    budget.spend(1 + value.length / 10)
    return JSON.stringify(value)
  }
  if (!budget.spend(3)) return ""
  if (Array.isArray(value)) return `[${value.map((each) => canonical(each, budget)).join()}]`
  if (!Predicate.isRecord(value)) return `${value}`
  const fields = Object.keys(value)
    .sort()
    .map((key) => `${canonical(key, budget)}:${canonical(value[key], budget)}`)
  return `{${fields.join()}}`
}

import { APIError } from "openai"

/** One way to send an optional part of a request. */
export interface Choice {
  /** The field of the request. */
  readonly field: string
  readonly value: unknown
  /** What a lesson about it says was refused. */
  readonly lesson: { readonly parameter: string; readonly value: unknown }
  /** A refusal that has one of these words, or that matches, is about this choice. Words of a name may be joined in any way. */
  readonly names: ReadonlyArray<string | RegExp>
  /** True for a limit on tokens: how much fits depends on the prompt. */
  readonly isTokenLimit: boolean
  /** The statuses of a refusal. */
  readonly statuses: ReadonlyArray<number>
}

/** What a server that refused the request says about it. */
export interface Refusal {
  readonly status: number
  /** The fields that it points to, as in `error.param` or a `loc` of FastAPI. */
  readonly fields: ReadonlyArray<string>
  /** Every other string of the body, with the names of its fields. */
  readonly words: string
}

/** Fields of an error's body that name a field of the request. */
const pointers = ["param", "parameter", "field", "loc", "argument"]

/** Fields that repeat the request, whose words may be those of the conversation. */
const echoes = ["input", "ctx"]

const partsOf = (pointer: unknown): ReadonlyArray<string> => {
  if (Array.isArray(pointer)) return pointer.flatMap(partsOf)
  if (typeof pointer === "number") return [`${pointer}`]
  return typeof pointer === "string" ? pointer.split(/[.[\]]+/).filter((part) => part !== "") : []
}

const read = (body: unknown) => {
  const fields: Array<string> = []
  const words: Array<string> = []
  const walk = (value: unknown) => {
    if (typeof value === "string") return words.push(value)
    if (Array.isArray(value)) return value.forEach(walk)
    if (typeof value !== "object" || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (pointers.includes(key)) fields.push(...partsOf(inner))
      if (!echoes.includes(key)) {
        words.push(key)
        walk(inner)
      }
    }
  }
  walk(body)
  return { fields, words: words.join("\n") }
}

/** What the SDK threw for a status of the server; undefined for every other failure. A body that is no JSON is in its message. */
export const refusalOf = (cause: unknown): Refusal | undefined =>
  cause instanceof APIError && typeof cause.status === "number"
    ? { status: cause.status, ...read(cause.error ?? cause.message) }
    : undefined

/** `max_tokens`, `maxTokens` and `max tokens`, but no `max_tokens_2` nor `x-max_tokens`. */
const asWord = (name: string) => {
  const parts = name.split("_").map((part) => part.replaceAll(/[^a-z0-9]/gi, "\\$&"))
  return new RegExp(`(?<![\\w-])${parts.join("[_ -]?")}(?![\\w-])`, "i")
}

/** Where the words name the choice; Infinity where they don't. */
const positionIn = (words: string, { names }: Choice) =>
  Math.min(
    ...names.map((name) => {
      const at = words.search(typeof name === "string" ? asWord(name) : name)
      return at < 0 ? Number.POSITIVE_INFINITY : at
    }),
  )

const pointsTo = ({ fields }: Refusal, { names }: Choice) =>
  names.some((name) => (typeof name === "string" ? fields.includes(name) : name.test(fields.join("."))))

/** The choice that the refusal is about: the one that it points to, else the first that its words name. */
export const refusedChoice = (refusal: Refusal, all: ReadonlyArray<Choice>): Choice | undefined => {
  const choices = all.filter(({ statuses }) => statuses.includes(refusal.status))
  const pointedTo = choices.find((choice) => pointsTo(refusal, choice))
  if (pointedTo !== undefined) return pointedTo
  const [first] = choices
    .map((choice) => ({ choice, at: positionIn(refusal.words, choice) }))
    .filter(({ at }) => Number.isFinite(at))
    .toSorted((one, other) => one.at - other.at)
  return first?.choice
}

const unsupported =
  /unsupported|not (supported|permitted|allowed|recogni[sz]ed)|n[o']t support|unknown|unrecogni[sz]ed|unexpected|extra|forbidden|deprecated/i
const tooMuch =
  /too (large|big|high|long|many|much)|exceed|at most|less than|maximum|context|reduce|remaining/i

/** A limit on tokens that is too high for the model, or for what the prompt left of its context. */
export const isTooHigh = ({ words }: Refusal, { isTokenLimit }: Choice) =>
  isTokenLimit && tooMuch.test(words) && !unsupported.test(words)

/** Ids and numbers differ from answer to answer. */
const withoutNumbers = (words: string) => words.replaceAll(/[\w-]*\d[\w-]*/g, "#")

/** True if the server says the same again. */
export const isSame = (one: Refusal, other: Refusal) =>
  one.status === other.status &&
  one.fields.join() === other.fields.join() &&
  withoutNumbers(one.words) === withoutNumbers(other.words)

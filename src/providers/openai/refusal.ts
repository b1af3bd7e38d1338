import { APIError } from "openai"
import { blames, isPassing } from "./blame.ts"
import { readErrorBody } from "./error-body.ts"

/** One way to send an optional part of a request. */
export interface Choice {
  /** The field of the request. */
  readonly field: string
  readonly value: unknown
  /** What a lesson about it says was refused. */
  readonly lesson: { readonly parameter: string; readonly value: unknown }
  /** A refusal that has one of these words, or that matches, is about this choice. Words of a name may be joined in any way. */
  readonly names: ReadonlyArray<string | RegExp>
  /** Sentences that refuse the choice without its name. */
  readonly sayings: ReadonlyArray<RegExp>
  /** True for a limit on tokens: how much fits depends on the prompt. */
  readonly isTokenLimit: boolean
  /** The statuses of a refusal. */
  readonly statuses: ReadonlyArray<number>
}

/** What a server that refused the request says about it. */
export interface Refusal {
  readonly status: number
  readonly pointers: ReadonlyArray<string>
  readonly words: ReadonlyArray<string>
}

/**
 * What the SDK threw for a status of the server; undefined for every other failure. A body that is no JSON is in its message.
 */
export const refusalOf = (cause: unknown): Refusal | undefined => {
  if (!(cause instanceof APIError) || typeof cause.status !== "number") return undefined
  const { pointers, words } = readErrorBody(cause.error ?? cause.message)
  return { status: cause.status, pointers, words }
}

/** `max_tokens`, `maxTokens` and `max tokens`, but no `max_tokens_2` nor `x-max_tokens`. */
const patternOf = (name: string | RegExp) => {
  if (typeof name !== "string") return name.source
  const parts = name.split("_").map((part) => part.replaceAll(/[\^$\\.*+?()[\]{}|/]/g, "\\$&"))
  return `(?<![\\w-])${parts.join("[_ -]?")}(?![\\w-])`
}

/** Where the words name the choice; Infinity where they don't. */
const positionIn = (words: string, { names, sayings }: Choice) =>
  Math.min(
    ...[...names, ...sayings].map((name) => {
      const at = words.search(new RegExp(patternOf(name), "i"))
      return at < 0 ? Number.POSITIVE_INFINITY : at
    }),
  )

const pointsTo = ({ pointers }: Refusal, { names }: Choice) =>
  names.some((name) => (typeof name === "string" ? pointers.includes(name) : name.test(pointers.join("."))))

const condemns = ({ words }: Refusal, { names, sayings }: Choice) =>
  sayings.some((saying) => words.some((text) => saying.test(text))) || blames(words, names.map(patternOf))

/** What a refusal is about. */
export interface Blame {
  readonly choice: Choice
  /**
   * - `pointed`: the body points to the field.
   * - `said`: its words say that the field or its value is not supported.
   * - `guessed`: its words name the field, in whatever sense.
   */
  readonly certainty: "pointed" | "said" | "guessed"
}

/** The choice that the refusal is about, by the surest sign. Several that are only named: the first. */
export const refusedChoice = (refusal: Refusal, all: ReadonlyArray<Choice>): Blame | undefined => {
  const choices = all.filter(({ statuses }) => statuses.includes(refusal.status))
  const isOfNow = isPassing(refusal.words)
  const pointed = choices.find((choice) => pointsTo(refusal, choice))
  if (pointed !== undefined) return { choice: pointed, certainty: isOfNow ? "guessed" : "pointed" }
  const said = isOfNow ? undefined : choices.find((choice) => condemns(refusal, choice))
  if (said !== undefined) return { choice: said, certainty: "said" }
  const words = refusal.words.join("\n")
  const [first] = choices
    .map((choice) => ({ choice, at: positionIn(words, choice) }))
    .filter(({ at }) => Number.isFinite(at))
    .toSorted((one, other) => one.at - other.at)
  return first === undefined ? undefined : { choice: first.choice, certainty: "guessed" }
}

const unsupported =
  /unsupported|not (supported|permitted|allowed|recogni[sz]ed)|n[o']t support|unknown|unrecogni[sz]ed|unexpected|extra|forbidden|deprecated/i
const tooMuch =
  /too (large|big|high|long|many|much)|exceed|at most|less than|maximum|context|reduce|remaining/i

/** A limit on tokens that is too high for the model, or for what the prompt left of its context. */
export const isTooHigh = ({ words }: Refusal, { isTokenLimit }: Choice) =>
  isTokenLimit && tooMuch.test(words.join("\n")) && !unsupported.test(words.join("\n"))

/** Ids and numbers differ from answer to answer. */
const withoutNumbers = (words: ReadonlyArray<string>) => words.join("\n").replaceAll(/[\w-]*\d[\w-]*/g, "#")

/** True if the server says the same again. */
export const isSame = (one: Refusal, other: Refusal) =>
  one.status === other.status &&
  one.pointers.join() === other.pointers.join() &&
  withoutNumbers(one.words) === withoutNumbers(other.words)

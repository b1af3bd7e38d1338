import { Either, ParseResult, Schema } from "effect"
import type { Check } from "./checks.ts"
import { readJsonOrFile } from "./json-or-file.ts"

/** Far above any price of today in any currency, so that the sums of a month stay numbers. */
const maxAmount = 1_000_000_000

/** Characters of a wrong value in an error. */
const maxShown = 100

/** JSON has no Infinity, but numbers that are read as one. */
const shown = (value: unknown) =>
  typeof value === "number" ? `${value}` : JSON.stringify(value).slice(0, maxShown)

const must = (be: string) => ({
  message: ({ actual }: ParseResult.ParseIssue) => ({
    message: `must be ${be}, but it is ${shown(actual)}`,
    override: true,
  }),
})

/** Of one million tokens, for example, in the table's currency. */
const Amount = Schema.optionalWith(
  Schema.Finite.pipe(
    Schema.between(0, maxAmount),
    Schema.annotations(must(`a number from 0 to ${maxAmount}`)),
  ),
  { exact: true },
)

const amounts = {
  perMillionInputTokens: Amount,
  perMillionOutputTokens: Amount,
  /** Of audio that is transcribed. */
  perAudioMinute: Amount,
  perAudioSecond: Amount,
  /** Of text that is spoken. */
  perMillionCharacters: Amount,
}

/** What one model costs. A model without the price that its stage needs has an unknown cost. */
const Price = Schema.Struct(amounts).pipe(
  Schema.filter((price) => Object.keys(price).length > 0 || "has no price"),
  Schema.filter(
    ({ perAudioMinute, perAudioSecond }) =>
      perAudioMinute === undefined ||
      perAudioSecond === undefined ||
      "has both perAudioMinute and perAudioSecond",
  ),
  Schema.filter(({ perMillionInputTokens, perMillionOutputTokens }) =>
    (perMillionInputTokens === undefined) === (perMillionOutputTokens === undefined)
      ? true
      : `has no ${perMillionInputTokens === undefined ? "perMillionInputTokens" : "perMillionOutputTokens"}`,
  ),
)
export type Price = typeof Price.Type

const Currency = Schema.String.pipe(
  Schema.pattern(/^[A-Z]{3}$/),
  Schema.annotations(must("an ISO 4217 code such as USD")),
)

const PriceTable = Schema.Struct({
  /** ISO 4217. */
  currency: Schema.optionalWith(Currency, { default: () => "USD" }),
  models: Schema.Record({ key: Schema.NonEmptyString, value: Price }),
})

/** The prices of models, by the names that requests to providers have. */
export type PriceTable = typeof PriceTable.Type

export const noPrices: PriceTable = { currency: "USD", models: {} }

const fieldNames = Object.keys(amounts).join(", ")

/** What is wrong at a path of the table: [], [field], [models, name] or [models, name, field]. */
const sentenceOf = ({ _tag, path, message }: ParseResult.ArrayFormatterIssue): string => {
  const [field, model, price] = path.map(String)
  const ofModel = model === undefined ? "" : `the model ${JSON.stringify(model)}`
  const subject = price === undefined ? ofModel || field : `${price} of ${ofModel}`
  if (subject === undefined) return "it is no JSON object"
  switch (_tag) {
    case "Type":
      return `${subject} must be an object`
    case "Unexpected": {
      if (price !== undefined) return `${subject} is no price. The prices are ${fieldNames}`
      return model === ""
        ? "the name of a model is empty"
        : `${subject} is no field. The fields are currency and models`
    }
    default:
      return `${subject} ${message}`
  }
}

/** A wrong name is an error: a price that is never used would be noticed with the first bill. */
const read = readJsonOrFile(PriceTable, (error) => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  return issue === undefined ? "it is none" : sentenceOf(issue)
})

export const prices: Check<PriceTable> = {
  parse: (text) => Either.getRight(read(text)),
  explain: (text) => Either.match(read(text), { onLeft: (fault) => fault, onRight: () => "" }),
  mustBe: "a table of prices as JSON, or the path of a file with it",
  advice:
    "A model has both prices of tokens, or one of perAudioMinute and perAudioSecond, or perMillionCharacters. In a shell or in .env, put JSON in single quotes.",
}

import { Option, Schema } from "effect"
import type { Check } from "./checks.ts"
import { jsonOrFile } from "./json-or-file.ts"

/** Of one million tokens, for example, in the table's currency. */
const Amount = Schema.optional(Schema.Finite.pipe(Schema.nonNegative()))

/** What one model costs. A model without the price that its stage needs has an unknown cost. */
const Price = Schema.Struct({
  perMillionInputTokens: Amount,
  perMillionOutputTokens: Amount,
  /** Of audio that is transcribed. */
  perAudioMinute: Amount,
  perAudioSecond: Amount,
  /** Of text that is spoken. */
  perMillionCharacters: Amount,
}).pipe(
  Schema.filter(
    ({ perAudioMinute, perAudioSecond }) => perAudioMinute === undefined || perAudioSecond === undefined,
  ),
  Schema.filter(
    ({ perMillionInputTokens, perMillionOutputTokens }) =>
      (perMillionInputTokens === undefined) === (perMillionOutputTokens === undefined),
  ),
)
export type Price = typeof Price.Type

const PriceTable = Schema.Struct({
  /** ISO 4217. */
  currency: Schema.optionalWith(Schema.String.pipe(Schema.pattern(/^[A-Z]{3}$/)), { default: () => "USD" }),
  models: Schema.Record({ key: Schema.NonEmptyString, value: Price }),
})

/** The prices of models, by the names that requests to providers have. */
export type PriceTable = typeof PriceTable.Type

export const noPrices: PriceTable = { currency: "USD", models: {} }

/** A wrong name is an error: a price that is never used would be noticed with the first bill. */
const decode = Schema.decodeOption(Schema.parseJson(PriceTable), { onExcessProperty: "error" })

export const prices: Check<PriceTable> = {
  parse: (text) => Option.flatMap(jsonOrFile(text), (json) => decode(json)),
  mustBe:
    'JSON such as {"currency":"USD","models":{"gpt-4o-mini":{"perMillionInputTokens":0.15,"perMillionOutputTokens":0.6},"whisper-1":{"perAudioMinute":0.006},"tts-1":{"perMillionCharacters":15}}}, or the path of a file with it',
  advice:
    "A model has both prices of tokens, or one of perAudioMinute and perAudioSecond, or perMillionCharacters. In a shell or in .env, put JSON in single quotes.",
}

import { Record } from "effect"
import type { Price, PriceTable } from "../config/prices.ts"
import type { Served } from "../providers/served.ts"
import { noUsage, type Stage, type Usage } from "../schema.ts"

/** What one model did. */
export interface ModelUse extends Served {
  readonly stage: Stage
  readonly usage: Usage
  /** True: the server did not count all of it. */
  readonly isEstimated?: boolean
}

/** What a turn costs, as it was priced when it ran, and what it used. */
export interface Bill {
  readonly models: ReadonlyArray<ModelUse>
  /** In billionths of the currency, unrounded. Null: a model without a price was used. */
  readonly nanos: number | null
  /** ISO 4217. */
  readonly currency: string
}

/** What was consumed, and what that costs. */
export interface Consumed {
  readonly usage: Usage
  readonly bill: Bill
}

export const addUsage = (usage: Usage, more: Partial<Usage>): Usage => ({
  audioSeconds: usage.audioSeconds + (more.audioSeconds ?? 0),
  inputTokens: usage.inputTokens + (more.inputTokens ?? 0),
  outputTokens: usage.outputTokens + (more.outputTokens ?? 0),
  charactersSpoken: usage.charactersSpoken + (more.charactersSpoken ?? 0),
})

export const isUsed = (usage: Partial<Usage>): boolean => Object.values(usage).some((amount) => amount > 0)

export const freeBill = ({ currency }: Pick<PriceTable, "currency">): Bill => ({
  models: [],
  nanos: 0,
  currency,
})

/** Billionths of a unit in a unit, and in a millionth of it. */
const unit = 1e9
const millionth = 1e3

/** The audio of a minute costs this per second. */
const perSecond = ({ perAudioSecond, perAudioMinute }: Price) =>
  perAudioSecond ?? (perAudioMinute === undefined ? undefined : perAudioMinute / 60)

/** Null where the price that the stage needs is missing. */
const nanosOf = (price: Price, stage: Stage, usage: Usage): number | null => {
  switch (stage) {
    case "stt": {
      const each = perSecond(price)
      return each === undefined ? null : usage.audioSeconds * each * unit
    }
    case "llm": {
      const { perMillionInputTokens, perMillionOutputTokens } = price
      return perMillionInputTokens === undefined || perMillionOutputTokens === undefined
        ? null
        : (usage.inputTokens * perMillionInputTokens + usage.outputTokens * perMillionOutputTokens) *
            millionth
    }
    case "tts": {
      const { perMillionCharacters } = price
      return perMillionCharacters === undefined
        ? null
        : usage.charactersSpoken * perMillionCharacters * millionth
    }
  }
}

/** Prices what a model did. */
export const billOf = ({ currency, models }: PriceTable, use: ModelUse): Bill => {
  const price = Record.get(models, use.model)
  const nanos = use.isLocal ? 0 : price._tag === "None" ? null : nanosOf(price.value, use.stage, use.usage)
  return { models: [use], nanos, currency }
}

const isSame = (one: ModelUse, other: ModelUse) =>
  one.stage === other.stage && one.model === other.model && one.isLocal === other.isLocal

const addSame = (one: ModelUse, other: ModelUse): ModelUse => ({
  ...one,
  usage: addUsage(one.usage, other.usage),
  ...(other.isEstimated === true ? { isEstimated: true } : {}),
})

const addUse = (uses: ReadonlyArray<ModelUse>, use: ModelUse): ReadonlyArray<ModelUse> => {
  const at = uses.findIndex((each) => isSame(each, use))
  return at < 0 ? [...uses, use] : uses.map((each, place) => (place === at ? addSame(each, use) : each))
}

/** Both bills in one, with one entry for each model of a stage. */
export const addBills = (bill: Bill, more: Bill): Bill => ({
  models: more.models.reduce(addUse, bill.models),
  nanos: bill.nanos === null || more.nanos === null ? null : bill.nanos + more.nanos,
  currency: bill.currency,
})

/** What a bigint holds of billionths, rounded down to what a number does. */
const maxNanos = 9e18

/** In whole billionths, of a bigint. Null: unknown. */
export const wholeNanos = ({ nanos }: Bill): number | null =>
  nanos === null ? null : Math.min(Math.round(nanos), maxNanos)

/** In whole billionths: sums of binary fractions end in noise, such as 3.5919375000000002. */
export const rounded = (sum: number): number => Number(sum.toFixed(9))

/** Billionths as an amount of the currency. */
export const amountOf = (nanos: number): number => nanos / unit

/** The usage of a turn as clients see it, with its cost. */
export const withCost = ({ usage, bill }: Consumed) => {
  const nanos = wholeNanos(bill)
  return {
    ...usage,
    audioSeconds: rounded(usage.audioSeconds),
    cost: nanos === null ? null : amountOf(nanos),
    currency: bill.currency,
  }
}

/** Collects what is consumed until it is taken. Plain functions. */
export interface Meter {
  readonly add: (use: ModelUse) => void
  /** What came together since the last call. */
  readonly take: () => Consumed
  /** Adds what was taken and could not be counted. */
  readonly giveBack: (consumed: Consumed) => void
}

/** Both in one. */
export const addConsumed = (one: Consumed, other: Consumed): Consumed => ({
  usage: addUsage(one.usage, other.usage),
  bill: addBills(one.bill, other.bill),
})

export const makeMeter = (prices: PriceTable): Meter => {
  const nothing: Consumed = { usage: noUsage, bill: freeBill(prices) }
  let consumed = nothing
  return {
    add: (use) => {
      consumed = addConsumed(consumed, { usage: use.usage, bill: billOf(prices, use) })
    },
    giveBack: (taken) => {
      consumed = addConsumed(taken, consumed)
    },
    take: () => {
      const taken = consumed
      consumed = nothing
      return taken
    },
  }
}

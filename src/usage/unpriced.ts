import { Option } from "effect"
import type { PriceTable } from "../config/prices.ts"
import type { Settings } from "../config.ts"
import { noUsage, Stage } from "../schema.ts"
import { billOf } from "./bill.ts"

type UsageSettings = Pick<Settings["Type"], Stage | "agents" | "usage">

/** The models of a stage that turns may use and that somebody is paid for. */
const modelsOf = (settings: UsageSettings, stage: Stage): ReadonlyArray<string> => {
  const { engine, model, fallback } = settings[stage]
  const others = Option.toArray(fallback).map((server) => server.model)
  return engine === "offline" ? others : [model, ...others, ...settings.agents[`${stage}Models`]]
}

/** The prices that each stage needs, as the table has them. */
const needed = {
  stt: "perAudioMinute",
  llm: "perMillionInputTokens and perMillionOutputTokens",
  tts: "perMillionCharacters",
} as const

/** The model, and why the table has no price for it, if that is not plain. */
const describe = (models: PriceTable["models"], model: string, stage: Stage): string => {
  const similar = Object.keys(models).find((name) => name.toLowerCase() === model.toLowerCase())
  const reason = Object.hasOwn(models, model)
    ? `: no ${needed[stage]}`
    : similar === undefined
      ? ""
      : `: PRICES has ${similar}`
  return `${model} (${stage}${reason})`
}

/** What an operator who set prices or a limit has to know. None: every model that may be used has a price for its stage. */
export const unpricedModels = (settings: UsageSettings) => {
  const { prices, monthlyLimit } = settings.usage
  const hasPrices = Object.keys(prices.models).length > 0
  if (!hasPrices && Option.isNone(monthlyLimit)) return Option.none()
  const models = Stage.literals.flatMap((stage) =>
    [...new Set(modelsOf(settings, stage))]
      .filter((model) => billOf(prices, { stage, model, isLocal: false, usage: noUsage }).nanos === null)
      .map((model) => describe(prices.models, model, stage)),
  )
  if (models.length === 0) return Option.none()
  const effect = Option.isSome(monthlyLimit)
    ? "What they cost does not count towards monthly limits."
    : "The cost of turns with them is unknown."
  return Option.some({
    models: models.join(", "),
    hint: `${hasPrices ? "Add their prices to PRICES" : "Set PRICES"}. A model that costs nothing has prices of 0. ${effect}`,
  })
}

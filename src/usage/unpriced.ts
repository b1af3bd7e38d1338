import { Option } from "effect"
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

/** What an operator who set prices or a limit has to know. None: every model that may be used has a price for its stage. */
export const unpricedModels = (settings: UsageSettings) => {
  const { prices, monthlyLimit } = settings.usage
  const hasPrices = Object.keys(prices.models).length > 0
  if (!hasPrices && Option.isNone(monthlyLimit)) return Option.none()
  const models = Stage.literals.flatMap((stage) =>
    [...new Set(modelsOf(settings, stage))]
      .filter((model) => billOf(prices, { stage, model, isLocal: false, usage: noUsage }).nanos === null)
      .map((model) => `${model} (${stage})`),
  )
  if (models.length === 0) return Option.none()
  const effect = Option.isSome(monthlyLimit)
    ? "What they cost does not count towards monthly limits."
    : "The cost of turns with them is unknown."
  return Option.some({
    models: models.join(", "),
    hint: `${hasPrices ? "Add their prices to PRICES" : "Set PRICES"}; 0 for a model that costs nothing. ${effect}`,
  })
}

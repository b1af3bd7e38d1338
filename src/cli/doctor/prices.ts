import { Option } from "effect"
import type { Settings } from "../../config.ts"
import { unpricedModels } from "../../usage/unpriced.ts"
import { type Finding, warning } from "./finding.ts"

/** Whether the prices are enough for what the operator wants to know or to limit. */
export const checkPrices = (settings: Settings["Type"]): ReadonlyArray<Finding> =>
  Option.toArray(unpricedModels(settings)).map(({ models, hint }) =>
    warning("prices", `no price for ${models}`, hint),
  )

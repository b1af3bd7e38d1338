import { Effect, Either } from "effect"
import type { Settings } from "../../config.ts"
import { sizeOf } from "../../models/manifest.ts"
import { type InstalledModel, libraryOf, presentModels, verifyFiles } from "../../models/store.ts"
import { type Finding, ok, warning } from "./finding.ts"

const check = "model"

const look = (installed: InstalledModel) =>
  Effect.map(Effect.either(verifyFiles(installed)), (result): Finding => {
    const { model } = installed
    if (Either.isRight(result))
      return ok(check, `${model.name} ${model.version}, ${Math.ceil(sizeOf(model) / 1e6)} MB`)
    return warning(
      check,
      `${model.name} is damaged: ${result.left.file}`,
      `Repair it with ./voice-agent models pull ${model.name}, or delete it with ./voice-agent models remove ${model.name}.`,
    )
  })

/** A finding per installed model. All files are hashed: 0.1 s per 30 MB. */
export const checkModelFiles = ({ dataDir }: Settings["Type"]) =>
  Effect.flatMap(presentModels(libraryOf(dataDir)), (models) => Effect.forEach(models, look))

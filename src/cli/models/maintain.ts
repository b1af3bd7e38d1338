import { Array as Arr, Console, Effect, Either } from "effect"
import { isFileModel, manifest } from "../../models/manifest.ts"
import { presentModels, removeModel, storeOf, verifyFiles } from "../../models/store.ts"
import { CommandFailed, ExitWith } from "../exit-code.ts"
import { print } from "../print.ts"
import { failed, find, library, sayWaiting } from "./common.ts"

/** Hashes the named models, or all that are installed. */
export const verify = Effect.fnUntraced(function* (names: ReadonlyArray<string>, json: boolean) {
  const present = yield* Effect.flatMap(library, presentModels)
  yield* Effect.forEach(names, find, { discard: true })
  const named = yield* Effect.forEach(names, (name) =>
    Effect.mapError(
      Arr.findFirst(present, ({ model }) => model.name === name),
      () =>
        new CommandFailed({
          message: `${name} is not installed. To install it: ./voice-agent models pull ${name}`,
        }),
    ),
  )
  if (present.length === 0 && !json) yield* Console.log("No model is installed.")
  let isWell = true
  for (const each of names.length === 0 ? present : named) {
    const { name } = each.model
    const result = yield* Effect.either(verifyFiles(each))
    if (Either.isRight(result)) yield* print(json, [`${name}: ok`], { model: name, ok: true })
    else {
      isWell = false
      const { file, message } = result.left
      yield* print(json, [`${name}: ${message}`], { model: name, ok: false, file, message })
    }
  }
  if (!isWell) return yield* new ExitWith({ code: 1 })
})

/** Deletes models. */
export const remove = Effect.fnUntraced(function* (names: ReadonlyArray<string>, json: boolean) {
  const store = storeOf(yield* library)
  for (const model of yield* Effect.forEach(names, find)) {
    if (!isFileModel(model)) {
      return yield* new CommandFailed({
        message: `Ollama keeps ${model.name}. To delete it: ollama rm ${model.ollama}`,
      })
    }
    const isRemoved = yield* Effect.mapError(removeModel(store, manifest, model.name, sayWaiting), failed)
    const line = isRemoved ? `Deleted ${model.name}.` : `${model.name} is not installed in ${store}.`
    yield* print(json, [line], { model: model.name, isRemoved })
  }
})

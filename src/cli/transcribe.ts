import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import { Effect } from "effect"
import { json, print } from "./print.ts"
import { recording } from "./recording.ts"

const file = recording.pipe(Args.withDescription("A recording"))

export const transcribe = Command.make("transcribe", { file, json }, ({ file, json }) =>
  Effect.gen(function* () {
    const { explain, layer, transcribeFile } = yield* Effect.promise(() => import("./stages.ts"))
    const { text, seconds } = yield* transcribeFile(file).pipe(
      Effect.mapError(explain),
      Effect.provide(layer),
    )
    yield* print(json, [text], { file, text, seconds })
  }),
).pipe(
  Command.withDescription("Print what is said in a recording, using only the configured speech recognition"),
)

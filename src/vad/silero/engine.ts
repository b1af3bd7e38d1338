import { readdirSync } from "node:fs"
import { join } from "node:path"
import { Effect, Either, Option } from "effect"
import { installed, type Library, verifiedFolder } from "../../models/store.ts"
import { startEngineProcess } from "../../providers/offline/engine/process.ts"
import { EngineFailed } from "../../providers/offline/engine/requests.ts"
import type { EngineOptions } from "../../providers/offline/engine/supervisor.ts"
import { findSherpa } from "../../providers/offline/sherpa.ts"

const modelName = "silero-vad"

/** `libonnxruntime.so`, `libonnxruntime.1.28.dylib`. */
const runtimeName = /^libonnxruntime\.[\d.]*(so|dylib)/

/** Looked for when it is needed: an import must not read the disk. */
const findRuntime = () =>
  Option.flatMap(findSherpa(), (folder) =>
    Option.map(Option.fromNullable(readdirSync(folder).find((name) => runtimeName.test(name))), (name) =>
      join(folder, name),
    ),
  )

/** Silero in ONNX Runtime's shared library, or why it cannot run: a sentence for the operator. */
export const findSilero = Effect.fn("findSilero")(function* (library: Library) {
  const found = yield* installed(library, modelName)
  if (Option.isNone(found)) {
    return Either.left(`The model ${modelName} is not installed. Run: ./voice-agent models pull ${modelName}`)
  }
  const runtime = findRuntime()
  if (Option.isNone(runtime)) {
    return Either.left("The optional package sherpa-onnx-node, which brings ONNX Runtime, is not installed.")
  }
  const { model, folder } = found.value
  const filesIn = (folder: string) => ({
    model: join(folder, "silero_vad.onnx"),
    runtime: runtime.value,
  })
  const options: EngineOptions = {
    name: modelName,
    check: Effect.mapBoth(verifiedFolder(library, model), {
      onSuccess: filesIn,
      onFailure: ({ message }) => new EngineFailed({ reason: message }),
    }),
    start: () => startEngineProcess(join(import.meta.dir, "child.ts")),
    loader: "silero",
    files: filesIn(folder),
  }
  return Either.right(options)
})

/**
 * A process that installs a model: `bun pull-holder.ts FOLDER URL SIZE SHA256`. It says `waiting`, `at N` per chunk, and
 * in the end what happened.
 */
import { Effect, Option } from "effect"
import { pull } from "../../src/models/pull.ts"
import { originsOf } from "../../src/models/source.ts"
import { modelOf } from "./models.ts"

const [folder = "", url = "", size = "", sha256 = ""] = process.argv.slice(2)
const model = modelOf([{ path: "encoder.onnx", size: Number(size), sha256, sources: [{ url }] }])

const result = await Effect.runPromise(
  Effect.either(
    pull(model, {
      library: { folders: [folder], manifest: [model] },
      origins: originsOf({}, Option.none()),
      onProgress: ({ received }) => console.log(`at ${received}`),
      onWait: Effect.sync(() => console.log("waiting")),
    }),
  ),
)
console.log(result._tag === "Right" ? `new ${result.right.isNew}` : result.left.message)

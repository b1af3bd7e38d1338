/** `bun run generate`: rewrites the generated files. A test fails when one of them is out of date. */
import { makeClientModel, modelFile } from "./client-model.ts"

await Bun.write(modelFile, await makeClientModel())

/** Writes the generated files of the documentation. */
import { generatedFiles } from "./generated.ts"

for (const { path, text } of generatedFiles()) await Bun.write(path, text)

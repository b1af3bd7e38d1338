import { join } from "node:path"
import { configurationPage } from "./configuration.ts"
import { envExample } from "./env-example.ts"

const root = join(import.meta.dir, "../..")

/** Every generated file that is checked in, with the text that it must have. */
export const generatedFiles = () => [
  { path: join(root, ".env.example"), text: envExample() },
  { path: join(root, "docs/reference/configuration.md"), text: configurationPage() },
]

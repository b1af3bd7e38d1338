import { sha256 } from "../../hash.ts"

/** As OpenAI and most other servers accept names. */
const maxLength = 64

/** The name of a server's tool for the model: `server__tool`. What a name cannot have becomes `_`; a long one ends in a hash. */
export const prefixedName = (server: string, tool: string): string => {
  const name = `${server}__${tool}`
  const clean = name.replace(/[^a-zA-Z0-9_-]/g, "_")
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 9)}_${sha256(name).slice(0, 8)}`
}

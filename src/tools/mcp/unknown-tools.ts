import { Option } from "effect"
import type { McpServer } from "./definition.ts"

/** Names in a sentence, and UTF-16 units of each: a server may have many tools, and call them as it likes. */
const mostNames = 20
const longestName = 64

const listed = (names: ReadonlyArray<string>) => {
  const shown = names.slice(0, mostNames).map((name) =>
    name
      .replace(/[\p{C}\p{Z}]+/gu, " ")
      .slice(0, longestName)
      .toWellFormed(),
  )
  const more = names.length - shown.length
  return `${shown.join(", ")}${more === 0 ? "" : ` and ${more} more`}`
}

/** Tools that an agent names and its server does not have: a sentence for the owner of the agent. `offered`: those it has. */
export const unknownTools = (
  { tools = [], idempotentTools }: McpServer,
  offered: ReadonlyArray<string>,
): Option.Option<string> => {
  const unknown = [...new Set([...tools, ...idempotentTools])].filter((name) => !offered.includes(name))
  if (unknown.length === 0) return Option.none()
  const has = offered.length === 0 ? "It has no tools." : `It has ${listed(offered)}.`
  return Option.some(`Its MCP server has no tool called ${listed(unknown)}. ${has}`)
}

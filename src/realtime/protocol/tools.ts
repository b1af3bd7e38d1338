import { Either } from "effect"
import { betaShape } from "./beta.ts"
import { invalidRequest, type ProtocolError, unlisted } from "./errors.ts"
import type { Tool } from "./fields.ts"
import { isObject } from "./json.ts"

/** Which tool the model may or must call. */
export type ToolChoice = "auto" | "none" | "required" | { readonly type: "function"; readonly name: string }

const modes = ["auto", "none", "required"] as const

const mcpHelp = "MCP tools are not supported. Use tools of type 'function'."

/** What is wrong with `tools` and `tool_choice`, where that deserves more than the schema can say. */
export const checkTools = (value: unknown, path: string): ProtocolError | undefined => {
  if (!isObject(value)) return undefined
  const { tools, tool_choice: choice } = value
  if (isObject(choice) && choice.type === "mcp") {
    return invalidRequest("unsupported_tool_type", mcpHelp, `${path}.tool_choice.type`)
  }
  if (!Array.isArray(tools)) return undefined
  for (const [at, tool] of tools.entries()) {
    if (!isObject(tool)) continue
    const own = `${path}.tools[${at}]`
    if (tool.type === "mcp") return invalidRequest("unsupported_tool_type", mcpHelp, `${own}.type`)
    if (isObject(tool.function)) {
      return betaShape(`${own}.function`, "Put 'name', 'description' and 'parameters' beside 'type'.")
    }
  }
  return undefined
}

/** The choice that is meant: LiveKit's client sends the bare name of a function. */
export const resolveToolChoice = (
  choice: string | { readonly name: string },
  tools: ReadonlyArray<Tool>,
  path: string,
): Either.Either<ToolChoice, ProtocolError> => {
  const mode = modes.find((each) => each === choice)
  if (mode !== undefined) return Either.right(mode)
  const name = typeof choice === "string" ? choice : choice.name
  if (tools.some((tool) => tool.name === name)) return Either.right({ type: "function", name })
  return Either.left(unlisted(path, name, [...modes, ...tools.map((tool) => tool.name)]))
}

/** The choice, or "auto" if it names a tool that is gone. */
export const keepToolChoice = (choice: ToolChoice, tools: ReadonlyArray<Tool>): ToolChoice =>
  typeof choice === "string" || tools.some((tool) => tool.name === choice.name) ? choice : "auto"

import type { ToolCall } from "./model.ts"

/** What a function learns of its call. */
export interface ToolContext {
  readonly callId: string
  /** Aborts when the result is no longer wanted. */
  readonly signal: AbortSignal
}

/**
 * Runs a tool. The arguments fit the tool's JSON Schema as far as the agent's definition has it. The agent is told what the
 * function returns, a text or any JSON, or the message of the error that it throws.
 */
export type ToolFunction = (args: Readonly<Record<string, unknown>>, context: ToolContext) => unknown

/** The functions of the tools that the client runs, by the names of the tools. */
export type ToolFunctions = Readonly<Record<string, ToolFunction>>

export interface ToolResult {
  readonly callId: string
  /** A text, or any JSON. */
  readonly output: unknown
  readonly isError?: boolean | undefined
}

const argumentsOf = (json: string): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

const textOf = (output: unknown): string =>
  typeof output === "string" ? output : (JSON.stringify(output) ?? "")

/** Runs a call. Never rejects: a failure is a result, too. */
export const runCall = async (
  tools: ToolFunctions,
  { callId, name, arguments: written }: ToolCall,
  signal: AbortSignal,
): Promise<{ readonly callId: string; readonly output: string; readonly isError: boolean }> => {
  const failed = (output: string) => ({ callId, output, isError: true })
  const run = Object.hasOwn(tools, name) ? tools[name] : undefined
  if (run === undefined) return failed(`This client has no tool ${name}.`)
  const args = argumentsOf(written)
  if (args === undefined) return failed("The arguments are not a JSON object.")
  try {
    return { callId, output: textOf(await run(args, { callId, signal })), isError: false }
  } catch (error) {
    return failed(error instanceof Error ? error.message : typeof error === "string" ? error : "")
  }
}

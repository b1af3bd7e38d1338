import type { Duration, Effect } from "effect"
import type { Tool } from "../providers/tools.ts"
import type { SessionId, TurnId, UserId } from "../schema.ts"

/** One call, as a tool gets it. */
export interface ToolInvocation {
  /** The model's id of the call. */
  readonly callId: string
  /** The same for every try of the same call, also after a crash. */
  readonly idempotencyKey: string
  /** They fit the tool's JSON Schema. */
  readonly arguments: Readonly<Record<string, unknown>>
  readonly userId: UserId
  readonly sessionId: SessionId
  readonly turnId: TurnId
}

/** The text for the model. A failure is an answer too. */
export interface ToolAnswer {
  /** A tool bounds its own output. Beyond `longestOutput` it is cut. */
  readonly output: string
  readonly isError: boolean
}

/** What came of a call. `refused`: it was not made. `unknown`: the turn had begun it before, and nobody knows. */
export type ToolOutcome = "ok" | "failed" | "timed_out" | "refused" | "unknown"

/** A tool that the service runs. */
export interface RunnableTool {
  readonly tool: Tool
  /** For the metrics. Absent: a tool that the service brings along. */
  readonly kind?: "http" | "mcp"
  /** The beginning of the names of tools that are not there, for which it answers. */
  readonly standsFor?: string
  /** True: a call whose outcome is unknown may be made again. */
  readonly isIdempotent: boolean
  /** True: where a model or its server supports no tools, the agent answers without this one. */
  readonly isOptional?: boolean
  /** How long one call may take. The agent's own limit counts too. */
  readonly timeout: Duration.Duration
  /** Is interrupted at the time-out and when the turn ends. A defect is told to the model as a failure without details. */
  readonly run: (invocation: ToolInvocation) => Effect.Effect<ToolAnswer>
}

/** The longest output that the model sees, in UTF-16 units: a fifth of what a model with 128,000 tokens reads. */
export const longestOutput = 100_000

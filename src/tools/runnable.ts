import type { Duration, Effect } from "effect"
import type { Tool } from "../providers/tools.ts"
import type { SessionId, TurnId, UserId } from "../schema.ts"

/** One call, as a tool gets it. */
export interface ToolInvocation {
  readonly callId: string
  /** The same for every try of the same call, also after a crash. */
  readonly idempotencyKey: string
  readonly arguments: Readonly<Record<string, unknown>>
  readonly userId: UserId
  readonly sessionId: SessionId
  readonly turnId: TurnId
}

/** What the model is told. `output` is bounded. A failure is an answer too. */
export interface ToolAnswer {
  readonly output: string
  readonly isError: boolean
}

/** A tool that the service runs itself. */
export interface RunnableTool {
  readonly tool: Tool
  /** True: a call whose outcome is unknown may be made again. */
  readonly isIdempotent: boolean
  readonly timeout: Duration.Duration
  readonly run: (invocation: ToolInvocation) => Effect.Effect<ToolAnswer>
}

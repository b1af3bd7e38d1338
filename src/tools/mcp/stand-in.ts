import { Duration, Effect, Option } from "effect"
import type { RunnableTool } from "../runnable.ts"
import type { McpServer } from "./definition.ts"
import { type McpFailed, mcpAnswer } from "./errors.ts"
import { prefixedName } from "./names.ts"

/** Of a server whose tools nobody has named. */
const unavailable = "unavailable"

/**
 * Tools in the place of those of a server that cannot be used in this turn: the model would otherwise not know that there are
 * any, and could make their results up. One for each tool that the agent names; one for all, if it names none. A call fails
 * with the reason, also one of a tool that the model knows from before.
 */
export const makeStandIns = (
  { name: server, tools = [unavailable] }: McpServer,
  failure: McpFailed,
): ReadonlyArray<RunnableTool> =>
  tools.map((name) => ({
    tool: {
      name: prefixedName(server, name),
      description: Option.some(
        `${name === unavailable ? `The tools of ${server} cannot` : "Cannot"} be used right now. Tell the user so if they are needed, and make up no results.`,
      ),
      parameters: { type: "object" },
    },
    kind: "mcp",
    standsFor: prefixedName(server, ""),
    isIdempotent: true,
    isOptional: true,
    timeout: Duration.seconds(1),
    run: () => Effect.succeed(mcpAnswer(failure)),
  }))

import { Duration, Effect, Either, Option, type Redacted, type Scope } from "effect"
import { isTooDeep } from "../../providers/json.ts"
import { boundText } from "../http/answer.ts"
import { maxSchemaLength } from "../http/definition.ts"
import type { RunnableTool, ToolInvocation } from "../runnable.ts"
import { removeSecrets } from "../secrets.ts"
import type { McpConnection } from "./connection.ts"
import type { McpServer } from "./definition.ts"
import { McpFailed, mcpAnswer, mcpReason } from "./errors.ts"
import { prefixedName } from "./names.ts"
import type { McpTool } from "./session.ts"

/** Of one server, so that a request to the model has room for its other parts. OpenAI allows 128. */
const maxTools = 128

/** Characters of a description. */
const maxDescription = 4096

interface Parts {
  readonly server: McpServer
  /** Interrupting the call releases the connection. Fails if there can be no connection. */
  readonly connection: Effect.Effect<McpConnection, McpFailed, Scope.Scope>
  /** None of them may be in an answer. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

const makeMcpTool = (
  { server, connection, secrets }: Parts,
  { name, description, parameters }: McpTool,
): RunnableTool => {
  const prefixed = prefixedName(server.name, name)
  const run = Effect.fn("McpTool.run")(
    function* ({ arguments: values, idempotencyKey }: ToolInvocation) {
      const { call } = yield* connection
      return yield* call({ name, arguments: values, idempotencyKey })
    },
    Effect.scoped,
    Effect.timeoutFail({
      duration: Duration.seconds(server.timeoutSeconds),
      onTimeout: () => new McpFailed({ kind: "timeout" }),
    }),
    Effect.catchAll((failure) =>
      Effect.logWarning("tool.mcp_failed").pipe(
        Effect.annotateLogs({ tool: prefixed, reason: mcpReason(failure) }),
        Effect.as(mcpAnswer(failure)),
      ),
    ),
    Effect.map(({ output, isError }) => ({
      output: boundText(removeSecrets(output, secrets), server.maxResultBytes),
      isError,
    })),
  )
  return {
    tool: {
      name: prefixed,
      description: Option.map(Option.fromNullable(description), (text) => text.slice(0, maxDescription)),
      parameters,
    },
    kind: "mcp",
    isIdempotent: server.idempotentTools.includes(name),
    timeout: Duration.seconds(server.timeoutSeconds),
    run,
  }
}

/** A schema that a request to the model can have. Foreign JSON may be nested so deep that it cannot be written. */
const isUsable = (schema: McpTool["parameters"]) =>
  Either.match(
    Either.try(() => JSON.stringify(schema)),
    { onLeft: () => false, onRight: (json) => json.length <= maxSchemaLength && !isTooDeep(json) },
  )

/** The tools of a server that its agent allows. Left out are those with a huge or deep schema, and a second one of a name. */
export const makeMcpTools = (parts: Parts, tools: ReadonlyArray<McpTool>): ReadonlyArray<RunnableTool> => {
  const { tools: allowed } = parts.server
  const byName = new Map<string, RunnableTool>()
  for (const tool of tools) {
    if (byName.size === maxTools) break
    if (!(allowed?.includes(tool.name) ?? true) || !isUsable(tool.parameters)) continue
    const made = makeMcpTool(parts, tool)
    if (!byName.has(made.tool.name)) byName.set(made.tool.name, made)
  }
  return [...byName.values()]
}

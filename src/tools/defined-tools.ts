import { Context, Effect, Either, Layer, Option, Schema } from "effect"
import { Secrets } from "../accounts/secrets.ts"
import { Outbound } from "../outbound/outbound.ts"
import type { UserId } from "../schema.ts"
import { HttpTool } from "./http/definition.ts"
import { makeHttpTool } from "./http/http-tool.ts"
import { McpServer } from "./mcp/definition.ts"
import { explainMcpToOwner, mcpReason } from "./mcp/errors.ts"
import { McpServers } from "./mcp/mcp-servers.ts"
import { makeStandIns } from "./mcp/stand-in.ts"
import { unknownTools } from "./mcp/unknown-tools.ts"
import type { RunnableTool } from "./runnable.ts"
import { type ReadSecret, readSecrets, secretToSet } from "./secrets.ts"

/** What the owner of an agent defines: one tool, or a server with several. Agents embed it. */
export const ToolDefinition = Schema.Union(HttpTool, McpServer)
export type ToolDefinition = typeof ToolDefinition.Type

/** Makes the tools that agents define. */
export class DefinedTools extends Context.Tag("voice-agent/DefinedTools")<
  DefinedTools,
  {
    /**
     * The tools for one turn, in the order of their definitions; of two with one name, the first. Uses the owner's secrets. A
     * server that cannot be used has stand-ins, and the log says why.
     */
    readonly of: (
      owner: UserId,
      definitions: ReadonlyArray<ToolDefinition>,
    ) => Effect.Effect<ReadonlyArray<RunnableTool>>
    /**
     * Why a tool would fail now, as far as that is known without a call: a sentence for its owner. `connects`: also whether a
     * server can be reached, which takes up to 2 s, and has the tools that the agent names.
     */
    readonly fault: (
      owner: UserId,
      definition: ToolDefinition,
      connects: boolean,
    ) => Effect.Effect<Option.Option<string>>
  }
>() {
  static readonly layer = Layer.effect(
    DefinedTools,
    Effect.gen(function* () {
      const outbound = yield* Outbound
      const servers = yield* McpServers
      const secrets = yield* Secrets

      const readerOf =
        (owner: UserId): ReadSecret =>
        (name) =>
          secrets.read(owner, name).pipe(
            Effect.catchTag("EncryptionUnavailable", () => Effect.succeedNone),
            Effect.catchAll((error) =>
              Effect.logWarning("secret.unavailable").pipe(
                Effect.annotateLogs({ reason: error._tag }),
                Effect.as(Option.none()),
              ),
            ),
          )

      const ofServer = (owner: UserId, server: McpServer, readSecret: ReadSecret) =>
        Effect.catchAll(servers.toolsOf(owner, server, readSecret), (failure) =>
          Effect.logWarning("mcp.unusable").pipe(
            Effect.annotateLogs({ server: server.name, reason: mcpReason(failure) }),
            Effect.as(makeStandIns(server, failure)),
          ),
        )

      const of = Effect.fn("DefinedTools.of")(function* (
        owner: UserId,
        definitions: ReadonlyArray<ToolDefinition>,
      ) {
        const readSecret = readerOf(owner)
        const made = yield* Effect.forEach(
          definitions,
          (definition) =>
            definition.type === "http"
              ? Effect.succeed([makeHttpTool(definition, { outbound, readSecret })])
              : ofServer(owner, definition, readSecret),
          // Each server may take a while to connect.
          { concurrency: "unbounded" },
        )
        const tools = made.flat()
        return tools.filter(
          ({ tool: { name } }, at) => tools.findIndex(({ tool }) => tool.name === name) === at,
        )
      })

      const fault = Effect.fn("DefinedTools.fault")(function* (
        owner: UserId,
        definition: ToolDefinition,
        connects: boolean,
      ) {
        const readSecret = readerOf(owner)
        if (definition.type === "http" || !connects)
          return Option.map(Either.getLeft(yield* readSecrets(definition, readSecret)), secretToSet)
        return yield* Effect.match(servers.namesOf(owner, definition, readSecret), {
          onFailure: (failure) => Option.some(explainMcpToOwner(failure)),
          onSuccess: (names) => unknownTools(definition, names),
        })
      })

      return { of, fault }
    }),
  ).pipe(Layer.provide(McpServers.layer), Layer.provide(Outbound.layer))
}

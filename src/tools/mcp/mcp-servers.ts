import * as FileSystem from "@effect/platform/FileSystem"
import { Context, Effect, Either, Layer, Option, Record, Redacted } from "effect"
import { Settings } from "../../config.ts"
import { sha256 } from "../../hash.ts"
import { Outbound } from "../../outbound/outbound.ts"
import type { UserId } from "../../schema.ts"
import { tempFolder } from "../../temp-folder.ts"
import { renderUrl } from "../http/url-template.ts"
import type { RunnableTool } from "../runnable.ts"
import { insertSecrets, type ReadSecret, readSecrets, type Secrets } from "../secrets.ts"
import { type McpConnection, makeConnection } from "./connection.ts"
import { makeConnections } from "./connections.ts"
import type { McpServer } from "./definition.ts"
import { McpFailed } from "./errors.ts"
import { makeMcpTools } from "./mcp-tool.ts"
import type { McpTarget } from "./session.ts"

/** 256 connections, each a process or a stream that stays open, and 32 for the servers of one user, as one agent may have. */
const limits = { max: 256, maxPerUser: 32 }

/** The same for all agents of a user that have the same server, headers and secrets. */
const keyOf = (target: McpTarget) => sha256(JSON.stringify(target))

/** MCP servers of agents. One connection to a server is shared by all turns of a user that use it. */
export class McpServers extends Context.Tag("voice-agent/McpServers")<
  McpServers,
  {
    /**
     * The tools that a server offers now. Fails while it cannot be reached, and without its secrets or its program. Waits up to
     * 2 s for the first connection. A connection, or a program's process, is of the owner of the agent only.
     */
    readonly toolsOf: (
      owner: UserId,
      server: McpServer,
      readSecret: ReadSecret,
    ) => Effect.Effect<ReadonlyArray<RunnableTool>, McpFailed>
    /** The server's names of its tools, also of those that the agent does not allow. Waits and fails as `toolsOf`. */
    readonly namesOf: (
      owner: UserId,
      server: McpServer,
      readSecret: ReadSecret,
    ) => Effect.Effect<ReadonlyArray<string>, McpFailed>
  }
>() {
  static readonly layer = Layer.scoped(
    McpServers,
    Effect.gen(function* () {
      const { fetch } = yield* Outbound
      const programs = Redacted.value((yield* Settings).mcpStdioServers)
      const emptyFolder = tempFolder.pipe(
        Effect.provideService(FileSystem.FileSystem, yield* FileSystem.FileSystem),
        Effect.mapError(() => new McpFailed({ kind: "program" })),
      )
      const connections = yield* makeConnections<McpConnection>(limits)

      const targetOf = (
        { url, program = "", headers }: McpServer,
        secrets: Secrets,
      ): Option.Option<McpTarget> =>
        url === undefined
          ? Option.map(Record.get(programs, program), ({ command, args, env, cwd }) => ({
              kind: "stdio",
              command,
              args,
              env,
              cwd,
            }))
          : Option.map(Either.getRight(renderUrl(url, {}, secrets)), (url) => ({
              kind: "http",
              url,
              headers: Record.map(headers, (value) => insertSecrets(value, secrets)),
            }))

      const connected = Effect.fnUntraced(function* (
        owner: UserId,
        server: McpServer,
        readSecret: ReadSecret,
      ) {
        const secrets = yield* readSecrets(server, readSecret)
        if (Either.isLeft(secrets)) return yield* new McpFailed({ kind: "secret", words: secrets.left })
        const target = targetOf(server, secrets.right)
        if (Option.isNone(target)) return yield* new McpFailed({ kind: "program", words: server.program })
        const place = { name: server.name, target: target.value }
        const connection = connections.get(
          keyOf(place.target),
          owner,
          makeConnection(place, { fetch, emptyFolder }),
        )
        const found = yield* Effect.scoped(Effect.flatMap(connection, ({ tools }) => tools))
        return { parts: { server, connection, secrets: [...secrets.right.values()] }, found }
      })

      const toolsOf = Effect.fn("McpServers.toolsOf")((...of: Parameters<typeof connected>) =>
        Effect.map(connected(...of), ({ parts, found }) => makeMcpTools(parts, found)),
      )
      const namesOf = Effect.fn("McpServers.namesOf")((...of: Parameters<typeof connected>) =>
        Effect.map(connected(...of), ({ found }) => found.map(({ name }) => name)),
      )

      return { toolsOf, namesOf }
    }),
  )
}

import {
  Context,
  Duration,
  Effect,
  Either,
  Equal,
  Hash,
  Layer,
  Option,
  RcMap,
  Record,
  Redacted,
} from "effect"
import { Settings } from "../../config.ts"
import { sha256 } from "../../hash.ts"
import { Outbound } from "../../outbound/outbound.ts"
import { renderUrl } from "../http/url-template.ts"
import type { RunnableTool } from "../runnable.ts"
import { insertSecrets, type ReadSecret, readSecrets, type Secrets } from "../secrets.ts"
import { makeConnection } from "./connection.ts"
import type { McpServer } from "./definition.ts"
import { McpFailed } from "./errors.ts"
import { makeMcpTools } from "./mcp-tool.ts"
import type { McpTarget } from "./session.ts"

/** A connection without calls ends after this time. The program of a stdio server ends with it. */
const idleTimeToLive = Duration.minutes(10)

/** Connections of all users at the same time. Each may be a process, or a stream that stays open. */
const maxConnections = 256

/** Equal for all agents that have the same server, headers and secrets. */
class Place implements Equal.Equal {
  readonly name: string
  readonly target: McpTarget
  readonly #id: string
  constructor(name: string, target: McpTarget) {
    this.name = name
    this.target = target
    this.#id = sha256(JSON.stringify(target))
  }
  [Hash.symbol]() {
    return Hash.string(this.#id)
  }
  [Equal.symbol](that: unknown) {
    return that instanceof Place && that.#id === this.#id
  }
}

/** MCP servers of agents. One connection to a server is shared by all turns that use it. */
export class McpServers extends Context.Tag("voice-agent/McpServers")<
  McpServers,
  {
    /**
     * The tools that a server offers now. Empty while it cannot be reached, and without its secrets or its program. Waits up to
     * 2 s for the first connection.
     */
    readonly toolsOf: (
      server: McpServer,
      readSecret: ReadSecret,
    ) => Effect.Effect<ReadonlyArray<RunnableTool>>
  }
>() {
  static readonly layer = Layer.scoped(
    McpServers,
    Effect.gen(function* () {
      const { fetch } = yield* Outbound
      const programs = Redacted.value((yield* Settings).mcpStdioServers)
      const connections = yield* RcMap.make({
        lookup: (place: Place) => makeConnection(place, fetch),
        idleTimeToLive,
        capacity: maxConnections,
      })

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

      const unusable = (server: McpServer, reason: string) =>
        Effect.logWarning("mcp.unusable").pipe(
          Effect.annotateLogs({ server: server.name, reason }),
          Effect.as<ReadonlyArray<RunnableTool>>([]),
        )

      const toolsOf = Effect.fn("McpServers.toolsOf")(function* (server: McpServer, readSecret: ReadSecret) {
        const secrets = yield* readSecrets([server.url ?? "", ...Object.values(server.headers)], readSecret)
        if (Either.isLeft(secrets)) return yield* unusable(server, "secret")
        const target = targetOf(server, secrets.right)
        if (Option.isNone(target)) return yield* unusable(server, "program")
        const place = new Place(server.name, target.value)
        const connection = Effect.mapError(
          RcMap.get(connections, place),
          () => new McpFailed({ kind: "unavailable" }),
        )
        const found = yield* Effect.flatMap(connection, ({ tools }) => tools).pipe(
          Effect.scoped,
          Effect.option,
        )
        if (Option.isNone(found)) return yield* unusable(server, "capacity")
        return makeMcpTools({ server, connection, secrets: [...secrets.right.values()] }, found.value)
      })

      return { toolsOf }
    }),
  )
}

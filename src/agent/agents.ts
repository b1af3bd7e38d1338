import * as SqlClient from "@effect/sql/SqlClient"
import { Array as Arr, Context, Effect, Either, Layer, Option, Schema } from "effect"
import { Settings } from "../config.ts"
import type { SessionAgent } from "../conversation/stored-turn.ts"
import type { DatabaseError } from "../db/errors.ts"
import { query } from "../db/postgres.ts"
import { findFirst } from "../db/rows.ts"
import { AgentId, configuredId, JsonObject, parseId, type SessionId, type UserId } from "../schema.ts"
import { DefinedTools } from "../tools/defined-tools.ts"
import { ServiceTools } from "../tools/service-tools.ts"
import type { Agent } from "./agent.ts"
import { configuredAgent } from "./configured.ts"
import type { AgentTool } from "./definition.ts"
import {
  AgentDeleted,
  type AgentInvalid,
  AgentNotFound,
  AgentOutdated,
  type AgentUnavailable,
} from "./errors.ts"
import { operatorOf } from "./operator.ts"
import { readDefinition, readStored, type StoredDefinition } from "./read-definition.ts"
import { applyDefinition } from "./resolve.ts"

const Known = Schema.Struct({ id: AgentId, version: Schema.Int })

const Resolved = Schema.Struct({
  version: Schema.Int,
  definition: JsonObject,
  metadata: Schema.NullOr(JsonObject),
})

/** What a client says of the agent of a session or a turn. */
export interface AgentChoice {
  /** As the client sent it: `default`, or the id of one of the user's agents. */
  readonly id: string
  /** None: the version that is the newest now. `latest`: the newest one, at each turn. */
  readonly version: Option.Option<number | "latest">
}

/** A part of an agent that would fail now. */
export interface AgentWarning {
  /** By dotted path. */
  readonly field: string
  readonly message: string
}

export class Agents extends Context.Tag("voice-agent/Agents")<
  Agents,
  {
    /** The agent of the configuration. */
    readonly configured: Agent
    /** The definition that a client sent, if the operator allows it. `stored`: the one that it changes. */
    readonly read: (
      input: unknown,
      stored?: Readonly<Record<string, unknown>>,
    ) => Either.Either<StoredDefinition, AgentInvalid>
    /** What does not work of a definition now, by field. `connects`: as of `DefinedTools.fault`. */
    readonly warnings: (
      userId: UserId,
      definition: unknown,
      connects: boolean,
    ) => Effect.Effect<ReadonlyArray<AgentWarning>>
    /** The agent that a client names. None: that of the configuration. */
    readonly choose: (
      userId: UserId,
      choice: AgentChoice,
    ) => Effect.Effect<Option.Option<SessionAgent>, AgentNotFound | DatabaseError>
    /**
     * The agent that answers, for a session. The first turn with a server of tools waits up to 2 s for it. `agent`: None is
     * that of the configuration.
     */
    readonly resolve: (answering: {
      readonly userId: UserId
      readonly sessionId: SessionId
      readonly agent: Option.Option<SessionAgent>
    }) => Effect.Effect<Agent, AgentUnavailable | DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    Agents,
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const settings = yield* Settings
      const { tools: builtIn } = yield* ServiceTools
      const defined = yield* DefinedTools
      const configured = configuredAgent(settings, builtIn)
      const operator = operatorOf(settings, builtIn)

      const choose = Effect.fn("Agents.choose")(function* (
        userId: UserId,
        { id: text, version }: AgentChoice,
      ) {
        if (text === configuredId) {
          return yield* Option.exists(version, (version) => version !== "latest")
            ? new AgentNotFound()
            : Effect.succeedNone
        }
        const id = yield* Effect.mapError(parseId(AgentId, text), () => new AgentNotFound())
        const wanted = Option.getOrNull(Option.filter(version, (version) => version !== "latest"))
        const known = yield* query(
          findFirst(
            Known,
            sql`select a.id, v.version from agents a join agent_versions v
                on v.agent_id = a.id and v.version = coalesce(${wanted}::bigint, a.version)
              where a.id = ${id} and a.user_id = ${userId}`,
          ),
        )
        if (Option.isNone(known)) return yield* new AgentNotFound()
        return Option.some<SessionAgent>({
          id,
          version: Option.contains(version, "latest") ? Option.none() : Option.some(known.value.version),
        })
      })

      const toolsOf = Effect.fnUntraced(function* (owner: UserId, tools: ReadonlyArray<AgentTool>) {
        const own = yield* defined.of(
          owner,
          tools.filter((tool) => tool.type === "http" || tool.type === "mcp"),
        )
        const names = tools.flatMap((tool) => (tool.type === "builtin" ? [tool.name] : []))
        return [...own, ...builtIn.filter(({ tool }) => names.includes(tool.name))]
      })

      const warnings = Effect.fn("Agents.warnings")(function* (
        userId: UserId,
        input: unknown,
        connects: boolean,
      ) {
        const tools = Either.match(readStored(input), { onLeft: () => [], onRight: ({ tools }) => tools })
        const found = yield* Effect.forEach(
          tools,
          (tool, at) =>
            tool.type === "http" || tool.type === "mcp"
              ? Effect.map(
                  defined.fault(userId, tool, connects),
                  Option.map((message): AgentWarning => ({ field: `tools.${at}`, message })),
                )
              : Effect.succeedNone,
          { concurrency: "unbounded" },
        )
        return Arr.getSomes(found)
      })

      const resolve: Agents["Type"]["resolve"] = Effect.fn("Agents.resolve")(function* ({
        userId,
        sessionId,
        agent,
      }) {
        if (Option.isNone(agent)) return configured
        const { id, version } = agent.value
        const found = yield* query(
          findFirst(
            Resolved,
            sql`select v.version, v.definition, s.metadata
                from agents a
                join agent_versions v on v.agent_id = a.id and v.version = coalesce(${Option.getOrNull(version)}::int, a.version)
                left join sessions s on s.id = ${sessionId} and s.user_id = ${userId}
                where a.id = ${id} and a.user_id = ${userId}`,
          ),
        )
        if (Option.isNone(found)) return yield* new AgentDeleted()
        const { version: answering } = found.value
        const outdated = ({ field, reason }: AgentInvalid) =>
          new AgentOutdated({ agentId: id, version: answering, field, reason })
        const definition = yield* Either.mapLeft(readStored(found.value.definition), outdated)
        const tools = yield* toolsOf(userId, definition.tools)
        const origin: SessionAgent = { id, version: Option.some(answering) }
        return yield* applyDefinition(definition, found.value.metadata ?? {}, {
          configured: { ...configured, origin: Option.some(origin) },
          operator,
          tools,
        })
      })

      return {
        configured,
        read: (input, stored) => readDefinition(input, operator, stored),
        warnings,
        choose,
        resolve,
      }
    }),
  )
}

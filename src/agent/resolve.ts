import { Duration, Effect, Either, Option } from "effect"
import type { ToolOffer } from "../providers/tools.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import type { Agent } from "./agent.ts"
import type { AgentDefinition, AgentTool } from "./definition.ts"
import { MetadataMissing } from "./errors.ts"
import type { Operator } from "./operator.ts"
import { fillInstructions, fillSpoken } from "./placeholders.ts"

/** The tools that the client runs. */
const clientTools = (tools: ReadonlyArray<AgentTool>): ToolOffer["tools"] =>
  tools.flatMap((tool) =>
    tool.type === "client"
      ? [
          {
            name: tool.name,
            description: Option.fromNullable(tool.description),
            parameters: tool.parameters,
          },
        ]
      : [],
  )

/** What the operator has withdrawn since the agent was saved has the configured one in its place. */
const chosen = Effect.fnUntraced(function* (
  field: string,
  value: string | undefined,
  { allowed, configured }: { readonly allowed: ReadonlyArray<string>; readonly configured: string },
) {
  if (value === undefined) return configured
  if (allowed.includes(value)) return value
  yield* Effect.annotateLogs(Effect.logWarning("agent.choice_withdrawn"), { field })
  return configured
})

const lesser = (value: number | undefined, most: number) => Math.min(value ?? most, most)

/**
 * The agent of a definition, for a session with this metadata. What the definition does not set is as in the agent of the
 * configuration, whose limits hold for every agent.
 *
 * @param tools The tools of the definition that the service runs.
 */
export const applyDefinition = Effect.fnUntraced(function* (
  definition: AgentDefinition,
  metadata: Readonly<Record<string, unknown>>,
  {
    configured,
    operator,
    tools,
  }: {
    readonly configured: Agent
    readonly operator: Operator
    readonly tools: ReadonlyArray<RunnableTool>
  },
) {
  const { stt, llm, tts, limits = {}, languages } = definition
  const instructions =
    definition.instructions === undefined
      ? configured.instructions
      : yield* Effect.mapError(
          fillInstructions(definition.instructions, metadata),
          (needed) => new MetadataMissing({ ...needed, field: "instructions" }),
        )
  // Most turns do not say it, so a value that it alone needs may be missing in them.
  const greeting = Option.map(Option.fromNullable(definition.greeting), (text) =>
    Either.mapLeft(
      fillSpoken(text, metadata),
      (needed) => new MetadataMissing({ ...needed, field: "greeting" }),
    ),
  )
  const { hearing, thinking, speaking, acting, history } = configured
  const [only, ...others] = languages
  const agent: Agent = {
    ...configured,
    instructions,
    greeting: Option.filter(
      greeting,
      Either.match({
        onLeft: () => true,
        onRight: (text) => text.trim() !== "",
      }),
    ),
    hearing: {
      ...hearing,
      model: yield* chosen("stt.model", stt?.model, {
        allowed: operator.sttModels,
        configured: hearing.model,
      }),
      language: only === undefined ? hearing.language : Option.liftPredicate(only, () => others.length === 0),
      keyTerms: definition.keyTerms,
    },
    thinking: {
      ...thinking,
      model: yield* chosen("llm.model", llm?.model, {
        allowed: operator.llmModels,
        configured: thinking.model,
      }),
      temperature: Option.orElse(Option.fromNullable(llm?.temperature), () => thinking.temperature),
      maxTokens: Option.match(thinking.maxTokens, {
        onNone: () => Option.fromNullable(limits.replyTokens),
        onSome: (most) => Option.some(lesser(limits.replyTokens, most)),
      }),
    },
    calling: { ...configured.calling, tools: clientTools(definition.tools), checksArguments: true },
    acting: {
      ...acting,
      tools,
      maxRounds: lesser(limits.toolRounds, acting.maxRounds),
      timeout: Duration.seconds(lesser(limits.toolSeconds, Duration.toSeconds(acting.timeout))),
    },
    speaking: {
      ...speaking,
      model: yield* chosen("tts.model", tts?.model, {
        allowed: operator.ttsModels,
        configured: speaking.model,
      }),
      voice: yield* chosen("tts.voice", tts?.voice, {
        allowed: operator.voices,
        configured: speaking.voice,
      }),
    },
    history: {
      ...history,
      maxItems: lesser(limits.contextMessages, history.maxItems),
      maxTokens: lesser(limits.contextTokens, history.maxTokens),
    },
  }
  return agent
})

import { Duration, Option, Record, Redacted } from "effect"
import type { Settings } from "../config.ts"
import { makeUrlCheck } from "../outbound/target.ts"
import { originOf } from "../tools/http/url-template.ts"
import type { RunnableTool } from "../tools/runnable.ts"
import type { AgentDefinition, AgentTool } from "./definition.ts"
import { AgentInvalid } from "./errors.ts"

/** What the operator allows in agents of users. */
export interface Operator {
  readonly sttModels: ReadonlyArray<string>
  readonly llmModels: ReadonlyArray<string>
  readonly ttsModels: ReadonlyArray<string>
  readonly voices: ReadonlyArray<string>
  /** The names of the built-in tools. */
  readonly builtIn: ReadonlyArray<string>
  /** The programs that may be started as MCP servers. */
  readonly programs: ReadonlyArray<string>
  /** What is wrong with the URL of a tool. */
  readonly urlFault: (url: string) => Option.Option<string>
  readonly replyTokens: Option.Option<number>
  readonly contextMessages: number
  readonly contextTokens: number
  readonly toolRounds: number
  readonly toolSeconds: number
}

/** The configured model or voice, and those that agents may choose besides. */
export const operatorOf = (settings: Settings["Type"], tools: ReadonlyArray<RunnableTool>): Operator => ({
  sttModels: [settings.stt.model, ...settings.agents.sttModels],
  llmModels: [settings.llm.model, ...settings.agents.llmModels],
  ttsModels: [settings.tts.model, ...settings.agents.ttsModels],
  voices: [settings.ttsVoice, ...settings.agents.voices],
  builtIn: tools.map(({ tool }) => tool.name),
  programs: Record.keys(Redacted.value(settings.mcpStdioServers)),
  urlFault: makeUrlCheck(settings.outbound),
  replyTokens: settings.llmMaxTokens,
  contextMessages: settings.contextMessages,
  contextTokens: settings.contextTokens,
  toolRounds: settings.tools.maxRounds,
  toolSeconds: Duration.toSeconds(settings.tools.callTimeout),
})

type Fault = readonly [field: string, reason: Option.Option<string>]

const oneOf = (
  value: string | undefined,
  allowed: ReadonlyArray<string>,
  variable: string,
): Option.Option<string> =>
  value === undefined || allowed.includes(value)
    ? Option.none()
    : Option.some(`must be ${[...new Set(allowed)].join(", ")}; the operator allows others with ${variable}`)

const atMost = (value: number | undefined, max: number, variable: string): Option.Option<string> =>
  value === undefined || value <= max
    ? Option.none()
    : Option.some(`must be at most ${max}, the operator's ${variable}`)

const toolFault = (tool: AgentTool, { builtIn, programs }: Operator): Option.Option<string> => {
  if (tool.type === "builtin" && !builtIn.includes(tool.name)) {
    return Option.some(
      builtIn.length === 0
        ? "the operator offers no built-in tools"
        : `must be a built-in tool that the operator offers: ${builtIn.join(", ")}`,
    )
  }
  return tool.type === "mcp" && tool.program !== undefined && !programs.includes(tool.program)
    ? Option.some("must be a program in the operator's MCP_STDIO_SERVERS")
    : Option.none()
}

/** The first field of a definition that the operator does not allow. */
export const refusalOf = (
  { stt, llm, tts, limits = {}, tools }: AgentDefinition,
  operator: Operator,
): Option.Option<AgentInvalid> => {
  const most = Option.getOrElse(operator.replyTokens, () => Number.POSITIVE_INFINITY)
  const faults: ReadonlyArray<Fault> = [
    ["stt.model", oneOf(stt?.model, operator.sttModels, "AGENT_STT_MODELS")],
    ["llm.model", oneOf(llm?.model, operator.llmModels, "AGENT_LLM_MODELS")],
    ["tts.model", oneOf(tts?.model, operator.ttsModels, "AGENT_TTS_MODELS")],
    ["tts.voice", oneOf(tts?.voice, operator.voices, "AGENT_VOICES")],
    ["limits.replyTokens", atMost(limits.replyTokens, most, "LLM_MAX_TOKENS")],
    ["limits.contextMessages", atMost(limits.contextMessages, operator.contextMessages, "CONTEXT_MESSAGES")],
    ["limits.contextTokens", atMost(limits.contextTokens, operator.contextTokens, "CONTEXT_TOKENS")],
    ["limits.toolRounds", atMost(limits.toolRounds, operator.toolRounds, "TOOL_MAX_ROUNDS")],
    ["limits.toolSeconds", atMost(limits.toolSeconds, operator.toolSeconds, "TOOL_TIMEOUT_SECONDS")],
    ...tools.map(
      (tool, at): Fault => [
        `tools.${at}.url`,
        (tool.type === "http" || tool.type === "mcp") && tool.url !== undefined
          ? operator.urlFault(originOf(tool.url))
          : Option.none(),
      ],
    ),
    ...tools.map(
      (tool, at): Fault => [
        `tools.${at}.${tool.type === "mcp" ? "program" : "name"}`,
        toolFault(tool, operator),
      ],
    ),
  ]
  return Option.firstSomeOf(
    faults.map(([field, reason]) => Option.map(reason, (reason) => new AgentInvalid({ field, reason }))),
  )
}

import { Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import type { ResponseConfig } from "./protocol/response.ts"
import type { AgentFacts } from "./protocol/session-config.ts"

/**
 * The agent that gives a response: the session's, with what the client has set. `shown`: what the client was shown of the
 * agent; a setting that is still the same is the agent's own. `note` is added to the instructions.
 */
export const responseAgent =
  (config: ResponseConfig, shown: AgentFacts, note: Option.Option<string>) =>
  (agent: Agent): Agent => {
    const { voice } = config.audio.output
    const instructions = config.instructions === shown.instructions ? agent.instructions : config.instructions
    return {
      ...agent,
      instructions: [instructions, ...Option.toArray(note)].filter((text) => text !== "").join("\n\n"),
      thinking: {
        ...agent.thinking,
        maxTokens:
          config.max_output_tokens === "inf"
            ? agent.thinking.maxTokens
            : Option.some(config.max_output_tokens),
      },
      calling: {
        tools: config.tools.map(({ name, description, parameters }) => ({
          name,
          description: Option.fromNullable(description),
          parameters: parameters ?? { type: "object", properties: {} },
        })),
        toolChoice:
          typeof config.tool_choice === "string" ? config.tool_choice : { name: config.tool_choice.name },
        parallelToolCalls: config.parallel_tool_calls ?? true,
      },
      speaking: voice === shown.voice ? agent.speaking : { ...agent.speaking, voice },
    }
  }

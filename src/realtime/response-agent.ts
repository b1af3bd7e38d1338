import { Option } from "effect"
import type { Agent } from "../agent/agent.ts"
import type { ResponseConfig } from "./protocol/response.ts"

/** The agent that gives a response: the session's, with the settings of the response. `note` is added to its instructions. */
export const responseAgent =
  (config: ResponseConfig, note: Option.Option<string>) =>
  (agent: Agent): Agent => ({
    ...agent,
    instructions: [config.instructions, ...Option.toArray(note)].filter((text) => text !== "").join("\n\n"),
    thinking: {
      ...agent.thinking,
      maxTokens:
        config.max_output_tokens === "inf" ? agent.thinking.maxTokens : Option.some(config.max_output_tokens),
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
    speaking: { ...agent.speaking, voice: config.audio.output.voice },
  })

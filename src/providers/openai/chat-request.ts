import { Option } from "effect"
import type { GenerateOptions, Prompt } from "../language-model.ts"
import { callableTools, type Tool } from "../tools.ts"
import type { Optional } from "./adapt.ts"
import { type MessageForm, writeMessages } from "./chat-messages.ts"
import type { Choice } from "./refusal.ts"
import { field, optional } from "./request.ts"

const tokenLimit = (name: string, tokens: number): Choice => ({ ...field(name, tokens), isTokenLimit: true })

/** llama.cpp's server answers 500 where the chat template refuses the messages. */
const templateStatuses = [400, 422, 500]

const systemNames = [
  "system_role",
  "system_message",
  "system_prompt",
  "system_instruction",
  "developer_instruction",
  "developer_message",
  /messages\.\d+\.role/,
  /['"]system['"]/,
]

/** What chat templates say of a system message that they don't take. */
const systemRefused = [
  /(?<!optional system message, conversation )roles must alternate|only user and assistant roles/i,
]

/** What servers and chat templates say of an order of messages that they don't take. */
const orderRefused = [
  /roles must alternate|only user and assistant roles/i,
  /system message must be (?:at the beginning|first)|(?:unexpected|expected last) role/i,
]

const callNames = ["tool_calls", "tool_call_id", "tool_role", "tool_message", /['"]tool['"]/]

const callsRefused = [
  /thought_signature|reasoning_content/i,
  /only user, assistant and system roles/i,
  /(?:role|input tag):? ["'\x60]?tool\b/i,
]

/** The ways to write the messages, best first, with what refuses each. */
const forms: ReadonlyArray<{ readonly form: MessageForm } & Pick<Choice, "lesson" | "names" | "sayings">> = [
  {
    form: { system: "anywhere", calls: "native" },
    lesson: { parameter: "messages", value: "in any order" },
    names: [...systemNames, ...callNames],
    sayings: [...orderRefused, ...callsRefused],
  },
  {
    form: { system: "first", calls: "native" },
    lesson: { parameter: "messages", value: "in strict order" },
    names: [...systemNames, ...callNames],
    sayings: [...orderRefused, ...callsRefused],
  },
  {
    form: { system: "first", calls: "signed" },
    lesson: { parameter: "messages", value: "with signed calls" },
    names: [...systemNames, ...callNames, "reasoning_content", "extra_content"],
    sayings: [...orderRefused, ...callsRefused],
  },
  {
    form: { system: "first", calls: "text" },
    lesson: { parameter: "system_role", value: "system" },
    names: systemNames,
    sayings: systemRefused,
  },
  // The last way: it has nothing left to refuse.
  {
    form: { system: "none", calls: "text" },
    lesson: { parameter: "system_role", value: "user" },
    names: [],
    sayings: [],
  },
]

/** The messages in every form that differs from the next one. */
const messagesOf = (prompt: Prompt): Optional => {
  const choices = forms.map(({ form, lesson, names, sayings }) => ({
    ...field("messages", writeMessages(prompt, form), names),
    lesson,
    sayings,
    statuses: names.length === 0 ? [400, 422] : templateStatuses,
  }))
  const written = choices.map(({ value }) => JSON.stringify(value))
  return choices.filter((_, at) => written[at] !== written[at + 1])
}

/** "gemma3 does not support tools", "tool calling is not supported with this model", and what vLLM and llama.cpp require. */
export const lacksTools: ReadonlyArray<RegExp> = [
  /(?:not|n['’]t|un)\s*support[^.]{0,40}\b(?:tools?\b|functions?\b|function.?call)/i,
  /(?:\btools?|tool.?(?:us|call)\w*|function.?call\w*)\b["'\x60]?[^.]{0,40}(?:not|n['’]t)\b[^.]{0,20}(?:support|enabl|permit|allow|availab)/i,
  /requires? --(?:jinja|enable-auto-tool-choice)|no (?:endpoints?|providers?)[^.]{0,40}support tool/i,
]

const wireTool = ({ name, description, parameters }: Tool) => ({
  type: "function",
  function: {
    name,
    ...Option.match(description, { onNone: () => ({}), onSome: (text) => ({ description: text }) }),
    // A schema without a type is one of Draft 2020-12; many servers read objects only.
    parameters: { type: "object", properties: {}, ...parameters },
  },
})

/** A value of `tool_choice`. The last way of a list has no name: a server that refuses it refuses the request. */
const choiceField = (value: unknown, word: string, isLast: boolean): Choice => ({
  ...field("tool_choice", value, isLast ? [] : ["tool_choice", `tool_choice_${word}`]),
  lesson: { parameter: "tool_choice", value: word },
})

/** Without its tools a request would be another one, so a refusal of them fails it, unless they are optional. */
const toolsField = (tools: ReadonlyArray<Tool>, isOptional: boolean): Choice => {
  const written = tools.map(wireTool)
  if (!isOptional) return field("tools", written, [])
  return {
    ...field("tools", written),
    lesson: { parameter: "tools", value: "optional" },
    sayings: lacksTools,
    // Some servers say so with a 404 or a 500.
    statuses: [400, 404, 422, 500],
  }
}

/**
 * `auto` is what every server does by
 * itself. Some servers take `any` for `required`. A named tool is the only one that is sent: where it is the only one,
 * `required` means it too.
 */
const toolsOf = (prompt: Prompt): ReadonlyArray<Optional> => {
  const { tools, toolChoice, parallelToolCalls, messages, isOptional = false } = prompt
  if (toolChoice === "none") {
    // Some servers require the tools where the messages have calls of them. Calls in the answer are dropped.
    const hasCalls = messages.some(({ role }) => role === "tool")
    return hasCalls && tools.length > 0 ? [[toolsField(tools, false)], [field("tool_choice", "none")]] : []
  }
  const callable = callableTools(prompt)
  if (callable.length === 0) return []
  const required = [choiceField("required", "required", false), choiceField("any", "any", true)]
  const named =
    typeof toolChoice === "string"
      ? []
      : [choiceField({ type: "function", function: { name: toolChoice.name } }, "function", false)]
  return [
    [toolsField(callable, isOptional)],
    ...(toolChoice === "auto" ? [] : [[...named, ...required]]),
    // The calls beyond the first are dropped in any case.
    ...(parallelToolCalls ? [] : [[field("parallel_tool_calls", false)]]),
  ]
}

/** OpenAI's models after GPT-4o take `max_completion_tokens` only; most other servers know `max_tokens` only. */
export const chatFields = (
  prompt: Prompt,
  { maxTokens, temperature }: GenerateOptions,
): ReadonlyArray<Optional> => [
  messagesOf(prompt),
  ...toolsOf(prompt),
  ...optional(maxTokens, (tokens) => [
    tokenLimit("max_tokens", tokens),
    tokenLimit("max_completion_tokens", tokens),
  ]),
  ...optional(temperature, (value) => [field("temperature", value)]),
  [field("stream_options", { include_usage: true })],
  // OpenAI streams some models to verified organizations only. The whole answer is read as well.
  [field("stream", true, ["stream", "streaming"])],
]

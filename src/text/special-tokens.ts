/** What the special tokens of chat templates mean for the text after them. */

/**
 * - `speaker`, `channel`: the header of a message follows.
 * - `assistant`, `other`: the words of the assistant, or of another speaker, follow.
 * - `thinking`, `tool`: text that is hidden follows.
 * - `end`: hidden text ends.
 * - `same`: no change.
 */
export type AfterToken = "speaker" | "channel" | "assistant" | "other" | "thinking" | "tool" | "end" | "same"

const SPEAKER =
  /^(?:start|im_start|im_assistant|im_user|im_system|start_header_id|start_of_role|start_of_turn|turn)$/
const ASSISTANT = /^(?:assistant|model|bot|ai|gpt)$/
const OTHER = /^(?:user|system|human|developer|observation|tool|ipython|environment|function)$/
/** Tokens inside or at the end of a header. */
const HEADER = /^(?:message|constrain|end_header_id|end_of_role|im_middle)$/
const END = /^\/|(?:^|_)end(?:_|$)|^end|^(?:return|call|eot|eom|eos)(?:_|$)/
const THINKING = /^(?:start|begin)_?(?:of_)?(?:think|thought|reason)|^think(?:ing)?$/
const TOOL = /tool_?(?:call|response|result)|function_?call|python_tag|^start_action$|^plugin$|^action_start$/

export const afterToken = (name: string): AfterToken => {
  if (SPEAKER.test(name)) return "speaker"
  if (name === "channel") return "channel"
  if (ASSISTANT.test(name)) return "assistant"
  if (OTHER.test(name)) return "other"
  if (HEADER.test(name)) return "same"
  if (END.test(name)) return "end"
  if (THINKING.test(name)) return "thinking"
  return TOOL.test(name) ? "tool" : "same"
}

/** Longer names before their prefixes. */
const SPEAKERS = [
  "assistant",
  "model",
  "user",
  "system",
  "developer",
  "observation",
  "function",
  "ipython",
  "human",
  "tool",
  "bot",
  "gpt",
  "ai",
]

const isAssistant = (speaker: string) => ASSISTANT.test(speaker)

/** The speaker at the start of `text`, which follows a token such as `<|im_start|>`. `none`: the words are text. */
export const afterSpeaker = (
  text: string,
  isEnd: boolean,
): { readonly length: number; readonly is: "assistant" | "other" | "none" } | "partial" => {
  const [all = "", word = ""] = /^[ \t]{0,100}([a-z]*)/i.exec(text) ?? []
  const lower = word.toLowerCase()
  if (all.length === text.length && !isEnd && SPEAKERS.some((its) => its.startsWith(lower))) return "partial"
  const speaker = SPEAKERS.find((its) => lower.startsWith(its) && !/^[a-z]/.test(word.slice(its.length)))
  if (speaker === undefined) return { length: 0, is: "none" }
  const length = all.length - word.length + speaker.length
  return { length, is: isAssistant(speaker) ? "assistant" : "other" }
}

/** Of the channels of a message, only `final` is for people. A channel without a name is the reply too. */
export const afterChannel = (header: string): "reply" | "thinking" =>
  /^\s*(?:final\b|$)/i.test(header) ? "reply" : "thinking"

import { Option, Predicate } from "effect"
import { sha256 } from "../../hash.ts"
import { parseJson } from "../json.ts"
import type { Prompt, PromptMessage } from "../language-model.ts"
import type { ToolCall } from "../tools.ts"

interface WireCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
  readonly extra_content?: unknown
}

interface WireMessage {
  readonly role: "system" | "user" | "assistant" | "tool"
  readonly content: string
  readonly tool_calls?: ReadonlyArray<WireCall>
  readonly tool_call_id?: string
  readonly reasoning_content?: ""
}

/** A way to write the messages of a prompt. Servers, and the chat templates of their models, refuse some. */
export interface MessageForm {
  /** `anywhere`: also between other messages. `first`: one system message, before all others. `none`: no such role. */
  readonly system: "anywhere" | "first" | "none"
  /**
   * `native`: as OpenAI has calls and results. `signed`: with the traces of thinking that some servers require of calls.
   * `text`: a call and its result are told to the model in words.
   */
  readonly calls: "native" | "signed" | "text"
}

/** Servers parse the arguments of earlier calls, and refuse the whole request where they can't. */
const wireArguments = ({ arguments: args }: ToolCall) =>
  Option.match(parseJson(args), {
    onNone: () => JSON.stringify({ invalid_json: args }),
    onSome: (value) => (Predicate.isRecord(value) ? args : JSON.stringify({ value })),
  })

/** Nine letters and digits: Mistral takes no other id, and every server takes these. Each call of the prompt has its own. */
const makeWireIds = () => {
  const taken = new Set<string>()
  return (callId: string) => {
    let id = /^[a-zA-Z0-9]{9}$/.test(callId) ? callId : sha256(callId).slice(0, 9)
    for (let n = 1; taken.has(id); n += 1) id = sha256(`${callId} ${n}`).slice(0, 9)
    taken.add(id)
    return id
  }
}

/**
 * Gemini 3 refuses calls without the signature of the thinking before them. This value is documented for calls whose
 * signature is not known: https://ai.google.dev/gemini-api/docs/thought-signatures
 */
const unsigned = { extra_content: { google: { thought_signature: "skip_thought_signature_validator" } } }

/** DeepSeek's thinking models refuse a conversation with calls without it; empty is enough. */
const withThinking = (message: WireMessage): WireMessage =>
  message.role === "assistant" ? { ...message, reasoning_content: "" } : message

const noteOf = (text: string) => `[${text}]`

/** Some servers refuse an empty result. */
const resultOf = (content: string) => (content.trim() === "" ? "(no output)" : content)

const user = (content: string): WireMessage => ({ role: "user", content })

const makeWriter = ({ system, calls }: MessageForm) => {
  const wireIdOf = makeWireIds()
  /** The calls whose results follow. A client may have given one id to several calls. */
  let open: ReadonlyArray<{ readonly id: string; readonly call: ToolCall }> = []
  let isStart = true

  const writeCalls = (content: string): ReadonlyArray<WireMessage> => {
    const written = open.map(({ id, call }) => ({
      id,
      type: "function" as const,
      function: { name: call.name, arguments: wireArguments(call) },
      ...(calls === "signed" ? unsigned : {}),
    }))
    return [{ role: "assistant", content, tool_calls: written }]
  }

  return (message: PromptMessage): ReadonlyArray<WireMessage> => {
    const isLeading = isStart && message.role === "system"
    isStart = isLeading
    switch (message.role) {
      case "user":
        return [user(message.content)]
      case "note":
        return [user(noteOf(message.content))]
      case "system":
        return isLeading || system === "anywhere"
          ? [{ role: "system", content: message.content }]
          : [user(noteOf(`System message: ${message.content}`))]
      case "assistant": {
        const { content, toolCalls = [] } = message
        open = toolCalls.map((call) => ({ id: wireIdOf(call.callId), call }))
        if (open.length > 0 && calls !== "text") return writeCalls(content)
        return content === "" ? [] : [{ role: "assistant", content }]
      }
      case "tool": {
        const answered = open.find(({ call }) => call.callId === message.callId)
        if (answered === undefined) return []
        open = open.filter((each) => each !== answered)
        const { id, call } = answered
        const content = resultOf(message.content)
        // In the user's words, so that the model does not learn to write its calls as text.
        return calls === "text"
          ? [user(noteOf(`You called the tool ${call.name} with ${call.arguments}. Its result: ${content}`))]
          : [{ role: "tool", tool_call_id: id, content }]
      }
    }
  }
}

const joinTexts = (separator: string, ...texts: ReadonlyArray<string>) =>
  texts.filter((text) => text !== "").join(separator)

/** Joins messages of one role that follow each other, which some models refuse. Each result stays a message of its own. */
const alternating = (messages: ReadonlyArray<WireMessage>): ReadonlyArray<WireMessage> => {
  const joined: Array<WireMessage> = []
  for (const message of messages) {
    const last = joined.at(-1)
    const isSame = last?.role === message.role && message.role !== "tool" && last.tool_calls === undefined
    if (last === undefined || !isSame) joined.push(message)
    else {
      const separator = message.role === "system" ? "\n\n" : "\n"
      joined[joined.length - 1] = { ...message, content: joinTexts(separator, last.content, message.content) }
    }
  }
  return joined
}

/** The order that chat templates demand: the user first, and an answer to every result before the user's next message. */
const inOrder = (messages: ReadonlyArray<WireMessage>): ReadonlyArray<WireMessage> =>
  messages.flatMap((message, at) => {
    const before = messages[at - 1]?.role
    if (message.role === "assistant" && (before === undefined || before === "system")) {
      return [user(noteOf("The conversation begins.")), message]
    }
    return message.role === "user" && before === "tool"
      ? [{ role: "assistant" as const, content: "OK." }, message]
      : [message]
  })

/** The system message at the head of the user's first message. */
const withoutSystem = (messages: ReadonlyArray<WireMessage>): ReadonlyArray<WireMessage> => {
  const [first, second, ...others] = messages
  if (first?.role !== "system") return messages
  return second?.role === "user"
    ? [user(`${first.content}\n\n${second.content}`), ...others]
    : [user(first.content), ...messages.slice(1)]
}

/** The messages of a request, with the instructions first. */
export const writeMessages = (
  { instructions, messages }: Prompt,
  form: MessageForm,
): ReadonlyArray<WireMessage> => {
  const all: ReadonlyArray<PromptMessage> =
    instructions === "" ? messages : [{ role: "system", content: instructions }, ...messages]
  const written = alternating(all.flatMap(makeWriter(form)))
  if (form.system === "anywhere") return written
  const hasCalls = messages.some(({ role }) => role === "tool")
  const ordered = hasCalls && form.calls === "signed" ? inOrder(written).map(withThinking) : inOrder(written)
  return form.system === "first" ? ordered : withoutSystem(ordered)
}

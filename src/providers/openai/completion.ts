import { Option, Predicate, Schema } from "effect"
import { type ProviderError, wrongAnswer } from "../errors.ts"
import { parseJson } from "../json.ts"
import { ModelEvent } from "../language-model.ts"
import { reportedError } from "./errors.ts"
import { makeEventData } from "./event-data.ts"
import { makeToolCallReader } from "./tool-call-reader.ts"

/** Of one request. No model reads or writes as many: a server that says more counts in another way. */
const maxTokens = 100_000_000

/** Compatible servers count in other ways, or not at all. */
const TokenCount = Schema.Int.pipe(Schema.between(0, maxTokens))
const isUsage = Schema.is(Schema.Struct({ prompt_tokens: TokenCount, completion_tokens: TokenCount }))
const hasReasoningTokens = Schema.is(
  Schema.Struct({
    completion_tokens_details: Schema.Struct({ reasoning_tokens: Schema.Number.pipe(Schema.positive()) }),
  }),
)

/** The fields in which servers send the thinking apart from the text. */
const THINKING_FIELDS = ["reasoning_content", "reasoning", "reasoning_details", "reasoning_text", "thinking"]

const LENGTH = /^(?:max_tokens|model_length|model_context_window_exceeded|length)$/i
const FILTERED =
  /^(?:content[_-]?filter(?:ed)?|safety|recitation|prohibited_content|blocklist|spii|sensitive|refusal)$/i
const TOOLS = /^(?:tool_?(?:calls?|use)|function_?calls?)$/i
/** The server gave up: the answer is not whole. */
const BROKEN = /^(?:error|network_error|insufficient_system_resource|abort(?:ed)?|cancel+ed)$/i

interface Words {
  readonly text: string
  readonly refusal: string
  readonly isThinking: boolean
  /** UTF-16 units of the thinking. */
  readonly thought: number
}

const noWords: Words = { text: "", refusal: "", isThinking: false, thought: 0 }

const joined = (parts: ReadonlyArray<Words>): Words => ({
  text: parts.map(({ text }) => text).join(""),
  refusal: parts.map(({ refusal }) => refusal).join(""),
  isThinking: parts.some(({ isThinking }) => isThinking),
  thought: parts.reduce((sum, { thought }) => sum + thought, 0),
})

/** UTF-16 units of thinking in any of its shapes. */
const lengthOf = (thought: unknown): number => {
  if (typeof thought === "string") return thought.length
  if (Array.isArray(thought)) return thought.reduce<number>((sum, part) => sum + lengthOf(part), 0)
  if (!Predicate.isRecord(thought)) return 0
  return lengthOf([thought.text, thought.thinking, thought.reasoning, thought.summary])
}

/** `content` is a string or a list of parts. What is neither has no meaning. */
const wordsOf = (content: unknown): Words => {
  if (typeof content === "string") return { ...noWords, text: content }
  if (Array.isArray(content)) return joined(content.map(wordsOf))
  if (!Predicate.isRecord(content)) return noWords
  const { type, text, refusal } = content
  if (type === "refusal" && typeof refusal === "string") return { ...noWords, refusal }
  if (typeof type === "string" && /think|reason/i.test(type)) {
    return { ...noWords, isThinking: true, thought: lengthOf(content) }
  }
  return (type === undefined || type === "text" || type === "output_text") && typeof text === "string"
    ? { ...noWords, text }
    : noWords
}

const isFilled = (value: unknown) => (typeof value === "string" || Array.isArray(value)) && value.length > 0

/** The words of a `delta` or a `message`. */
const wordsIn = (part: Readonly<Record<string, unknown>>): Words => {
  const { content, refusal } = part
  const words = wordsOf(content)
  return {
    text: words.text,
    refusal: words.refusal + (typeof refusal === "string" ? refusal : ""),
    isThinking: words.isThinking || THINKING_FIELDS.some((field) => isFilled(part[field])),
    // The fields have the same thinking.
    thought: Math.max(words.thought, ...THINKING_FIELDS.map((field) => lengthOf(part[field]))),
  }
}

const hasCall = ({ tool_calls, function_call }: Readonly<Record<string, unknown>>) =>
  isFilled(tool_calls) || Predicate.isRecord(tool_calls) || Predicate.isRecord(function_call)

const alive = ModelEvent.Alive({ isThinking: false })
const thinking = ModelEvent.Alive({ isThinking: true })

/**
 * Reads the body of a chat completion: a stream of events, or one JSON document from a server that does not stream. What it
 * is shows in its first character, since the Content-Type is often wrong. Servers send chunks of many shapes: what has no
 * meaning is skipped.
 */
export const makeCompletion = (
  on: (event: ModelEvent) => void,
  /** Called with the length of what comes as no text at once: thinking, and calls. */
  onWritten: (characters: number) => void = () => undefined,
) => {
  const decoder = new TextDecoder()
  let kind: "unknown" | "events" | "json" | "html" = "unknown"
  let document = ""
  let isDone = false
  let isRefusal = false
  const toolCalls = makeToolCallReader()
  let finishReason = ""
  let failure: ProviderError | undefined
  let hasChoices = false
  /** A chunk without choices. If no other follows, it says what went wrong. */
  let stray: unknown
  /** A server may repeat the whole text as a `message` after its deltas. The first of the two that has text counts. */
  let source: "delta" | "message" | undefined
  let callSource: "delta" | "message" | undefined

  const readWords = (name: "delta" | "message", part: unknown) => {
    if (!Predicate.isRecord(part)) return
    if (hasCall(part)) {
      callSource ??= name
      if (callSource === name) onWritten(toolCalls.read(part))
    }
    const { text, refusal, isThinking, thought } = wordsIn(part)
    if (isThinking) {
      onWritten(thought)
      on(thinking)
    }
    if (text + refusal === "") return
    source ??= name
    if (source !== name) return
    isRefusal ||= refusal !== ""
    on(ModelEvent.Text({ text: text + refusal }))
  }

  const readChoice = (choice: unknown) => {
    if (!Predicate.isRecord(choice)) return
    readWords("delta", choice.delta)
    readWords("message", choice.message)
    if (Predicate.isTruthy(choice.error)) failure = reportedError("llm", choice.error)
    if (typeof choice.finish_reason === "string") finishReason ||= choice.finish_reason
  }

  const readUsage = (usage: unknown) => {
    // Most chunks have none.
    if (!Predicate.isRecord(usage)) return
    if (isUsage(usage)) {
      on(ModelEvent.Usage({ inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens }))
    }
    if (hasReasoningTokens(usage)) on(thinking)
  }

  const readChunk = (chunk: unknown) => {
    if (!Predicate.isRecord(chunk)) return
    if (Array.isArray(chunk.choices)) {
      hasChoices = true
      readChoice(chunk.choices[0])
    } else stray ??= chunk
    readUsage(chunk.usage)
    if (Predicate.isTruthy(chunk.error)) failure = reportedError("llm", chunk.error)
    else if (chunk.object === "error" || chunk.type === "error") failure = reportedError("llm", chunk)
  }

  const events = makeEventData()

  const readEvent = (data: string) => {
    if (isDone || failure !== undefined) return
    if (data.trim() === "[DONE]") {
      isDone = true
      return
    }
    const chunk = parseJson(data)
    if (Option.isSome(chunk)) readChunk(chunk.value)
    // What does not begin as JSON is a remark of the server.
    else if (/^\s*\{/.test(data)) failure = wrongAnswer("llm", "an event is not valid JSON")
  }

  const kindOf = (start: string) => {
    if (/^[{[]/.test(start)) return "json"
    return start.startsWith("<") ? "html" : "events"
  }

  const split = (text: string): ReadonlyArray<string> => {
    if (kind === "events") return events.push(text)
    // White space keeps the connection open. It may be long, so it is not kept.
    const rest = kind === "unknown" ? text.trimStart() : text
    if (kind === "unknown" && rest !== "") kind = kindOf(rest)
    if (kind === "events") return events.push(rest)
    if (kind === "json") document += rest
    if (kind === "html") failure ??= wrongAnswer("llm", "HTML where the answer should be")
    return []
  }

  const readDocument = () => {
    const parsed = parseJson(document)
    if (Option.isNone(parsed)) {
      failure = wrongAnswer("llm", "JSON that is cut off")
      return
    }
    for (const chunk of Array.isArray(parsed.value) ? parsed.value : [parsed.value]) readChunk(chunk)
    // The end of the document is an end mark.
    isDone = true
  }

  return {
    /** Takes the next bytes. They are a sign of life also without an event, as a comment. */
    push: (bytes: Uint8Array) => {
      on(alive)
      for (const event of split(decoder.decode(bytes, { stream: true }))) readEvent(event)
    },
    /** Nothing more is read. */
    hasEnded: () => isDone || failure !== undefined,
    /** Emits the end. Returns the error of an answer that is not whole. */
    finish: (): ProviderError | undefined => {
      for (const event of split(decoder.decode())) readEvent(event)
      if (kind === "json") readDocument()
      else if (kind === "events") for (const event of events.finish()) readEvent(event)
      if (failure !== undefined) return failure
      if (!hasChoices && stray !== undefined) return reportedError("llm", stray, "no text in it")
      if (BROKEN.test(finishReason)) return wrongAnswer("llm", `the provider ended with ${finishReason}`)
      if (finishReason === "" && !isDone) return wrongAnswer("llm", "the stream ended without its end mark")
      const calls = toolCalls.calls()
      for (const call of calls) on(ModelEvent.ToolCall(call))
      on(ModelEvent.End({ reason: endReason(finishReason, isRefusal, calls.length > 0) }))
      return undefined
    },
  }
}

const endReason = (finishReason: string, isRefusal: boolean, isToolCall: boolean) => {
  if (isRefusal) return "refused"
  if (FILTERED.test(finishReason)) return "filtered"
  // Calls that were cut off are not whole.
  if (LENGTH.test(finishReason)) return "length"
  return isToolCall || TOOLS.test(finishReason) ? "tools" : "stop"
}

import { Context, Data, Effect, Layer, type Option } from "effect"
import type { TurnId } from "../schema.ts"
import { emptyAnswer, finalAnswer, type ProviderError, unknownTool } from "./errors.ts"
import { makeScript, wait } from "./fake.ts"
import { makeOpenThinkers, type OpenThinkers } from "./open-thinkers.ts"
import { makeReplyText } from "./reply-text.ts"
import type { Served } from "./served.ts"
import type { StageStatus } from "./status.ts"
import { callableTools, type ToolCall, type ToolOffer, usableCalls } from "./tools.ts"

/**
 * One message of a prompt. Each call has its result in the messages directly after it.
 *
 * - `system`: instructions within the conversation.
 * - `assistant`: what the model said, called, or both. `content` may be empty beside calls.
 * - `tool`: the result of the call `callId`.
 * - `note`: what happened, told to the model: an interruption, for example. Not spoken by a participant.
 */
export type PromptMessage =
  | { readonly role: "user" | "system" | "note"; readonly content: string }
  | { readonly role: "assistant"; readonly content: string; readonly toolCalls?: ReadonlyArray<ToolCall> }
  | { readonly role: "tool"; readonly content: string; readonly callId: string }

/** The input of one model round. */
export interface Prompt extends ToolOffer {
  readonly instructions: string
  /** Oldest first; the last one is not the assistant's. */
  readonly messages: ReadonlyArray<PromptMessage>
}

/** One step of a model's answer. */
export type ModelEvent = Data.TaggedEnum<{
  /** Never empty. The words of a refusal are text too. Thinking and markup for machines are not. */
  Text: { readonly text: string }
  /** As the provider counts them. It may come more than once: the last one counts. */
  Usage: { readonly inputTokens: number; readonly outputTokens: number }
  /** A sign of life without text: the model thinks, or its server keeps the connection open. */
  Alive: { readonly isThinking: boolean }
  /** A whole call, after all text. A call of a tool that is not offered comes only in an answer that has nothing else. */
  ToolCall: ToolCall
  /** The text so far was the model's thinking and not its reply. */
  Retract: Record<never, never>
  /** Before the end, where thinking or markup was removed: how many characters of it. */
  Removed: { readonly characters: number }
  /** The last event of a whole answer. `tools`: the model called a tool. */
  End: { readonly reason: "stop" | "length" | "filtered" | "refused" | "tools" }
}>
export const ModelEvent = Data.taggedEnum<ModelEvent>()

export interface GenerateOptions {
  /** The turn of the request. The circuit breaker counts the failures of one turn together. */
  readonly turnId: TurnId
  readonly model: string
  /** The limit of the reply. None: the server's own. */
  readonly maxTokens: Option.Option<number>
  /** None: the server's own. */
  readonly temperature: Option.Option<number>
  /** Called for each request to a server: what the first one has begun is paid for besides the answer of the fallback. */
  readonly onRequest?: (served: Served) => void
  /** Called if the server has refused the newest request. */
  readonly onUnserved?: () => void
  /**
   * Called with the number of UTF-16 units that the model has just written: also of thinking, and of calls that are not whole.
   */
  readonly onWritten?: (characters: number) => void
}

/** One try of one round. Succeeds after `End`. */
type Generate = (
  prompt: Prompt,
  options: GenerateOptions,
  on: (event: ModelEvent) => void,
) => Effect.Effect<void, ProviderError>

/** Why a whole answer ended. `length`: at the limit of tokens. `filtered`: a filter of contents cut it. */
export type EndReason = Extract<ModelEvent, { readonly _tag: "End" }>["reason"]

interface Unusable {
  readonly reason: EndReason
  readonly hasThought: boolean
  /** The model wrote something. */
  readonly hasWritten: boolean
  readonly hasCalled: boolean
  readonly mayCall: boolean
}

/** The error of an answer without text and calls. What is not chance would end the same again. */
const withoutContent = ({ reason, hasThought, hasWritten, hasCalled, mayCall }: Unusable): ProviderError => {
  if (reason === "filtered" || reason === "refused") {
    return finalAnswer("llm", "declined", "the model declined to answer")
  }
  if (hasCalled && mayCall) {
    return reason === "length"
      ? finalAnswer("llm", "cut-call", "a tool call is cut off at the limit of tokens")
      : unknownTool()
  }
  if (reason === "tools" && !mayCall) return finalAnswer("llm", "tools", "the model called a tool")
  if (hasThought || reason === "length") {
    return finalAnswer("llm", "thinking", "the model used up its answer with thinking")
  }
  return hasWritten ? finalAnswer("llm", "tools", "nothing but markup for machines") : emptyAnswer("llm")
}

const callsOf = ({ messages }: Prompt) =>
  messages.flatMap((message) => (message.role === "assistant" ? (message.toolCalls ?? []) : []))

/**
 * The answers of one server, as the port describes them: text for people, calls, and an error where there is neither. Stands
 * between a server and everything else. Calls are passed on when the answer is whole: one that breaks off is repeated, and its
 * calls with it.
 */
export const cleanReplies =
  (generate: Generate, openThinkers: OpenThinkers = makeOpenThinkers()): Generate =>
  (prompt, options, on) =>
    Effect.suspend(() => {
      const { model } = options
      let reason: EndReason = "stop"
      let isOpenThinker = false
      const learn = () => {
        isOpenThinker = true
        openThinkers.note(model, true)
      }
      let hasWritten = false
      const calls: Array<ToolCall> = []
      const text = makeReplyText(openThinkers.has(model), {
        onText: (text) => on(ModelEvent.Text({ text })),
        onRetract: () => {
          learn()
          on(ModelEvent.Retract())
        },
        onHeldThinking: learn,
      })
      const generated = generate(prompt, options, (event) => {
        if (event._tag === "Text") {
          hasWritten ||= event.text.trim() !== ""
          options.onWritten?.(event.text.length)
          return text.add(event.text)
        }
        if (event._tag === "End") reason = event.reason
        else if (event._tag === "ToolCall") calls.push(event)
        else {
          if (event._tag === "Alive" && event.isThinking) text.noteThinking()
          on(event)
        }
      })
      return Effect.flatMap(generated, () => {
        const { hasText, hasThought, removed } = text.finish()
        if (!isOpenThinker) openThinkers.note(model, false)
        if (removed > 0) on(ModelEvent.Removed({ characters: removed }))
        const isCut = reason === "length" || reason === "filtered"
        const usable = usableCalls(prompt, calls, { isCut, hasText, earlier: callsOf(prompt) })
        if (!hasText && usable.length === 0) {
          const hasCalled = calls.length > 0
          const mayCall = callableTools(prompt).length > 0
          return Effect.fail(withoutContent({ reason, hasThought, hasWritten, hasCalled, mayCall }))
        }
        for (const call of usable) on(ModelEvent.ToolCall(call))
        on(ModelEvent.End({ reason: usable.length > 0 ? "tools" : reason }))
        return Effect.void
      })
    })

/** One round of the fake: the chunks, then `fail`, or `usage` and the end. */
export interface FakeRound {
  readonly chunks?: ReadonlyArray<{ readonly afterMs?: number; readonly text: string }>
  /** After the chunks. */
  readonly calls?: ReadonlyArray<ToolCall & { readonly afterMs?: number }>
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number }
  readonly end?: Extract<ModelEvent, { readonly _tag: "End" }>["reason"]
  readonly fail?: ProviderError
}

export interface FakeGenerateCall extends GenerateOptions {
  readonly prompt: Prompt
}

/** Text to text and tool calls. */
export class LanguageModel extends Context.Tag("voice-agent/LanguageModel")<
  LanguageModel,
  {
    /**
     * One try of one round. `on` runs once per token, so it is a plain function. Succeeds after `End`; an answer without it, or
     * without text and calls, fails. The text has no markup for machines and no half surrogates. The caller retries, because
     * only the caller knows whether the client got a part of the answer: see `retryPolicy`.
     */
    readonly generate: Generate
    readonly status: Effect.Effect<StageStatus>
    /** The name of the model, or of the offline engine, that serves this stage now. */
    readonly model: Effect.Effect<string>
    /** What would serve this stage better than the offline engine: a sentence for the operator, commands in backticks. */
    readonly advice?: Effect.Effect<Option.Option<string>>
  }
>() {
  /** A fake for tests, and the calls that it gets. Each call takes the next round; the last round repeats. */
  static makeFake(rounds: ReadonlyArray<FakeRound> = [{ chunks: [{ text: "Hello." }] }]) {
    const calls: Array<FakeGenerateCall> = []
    const next = makeScript(rounds)
    const layer = Layer.succeed(LanguageModel, {
      generate: cleanReplies(
        Effect.fnUntraced(function* (prompt, options, on) {
          calls.push({ ...options, prompt })
          options.onRequest?.({ model: options.model, isLocal: false })
          const { chunks = [], calls: called = [], usage, end = "stop", fail } = next()
          for (const { afterMs, text } of chunks) {
            yield* wait(afterMs)
            on(ModelEvent.Text({ text }))
          }
          for (const { afterMs, ...call } of called) {
            yield* wait(afterMs)
            options.onWritten?.(call.name.length + call.arguments.length)
            on(ModelEvent.ToolCall(call))
          }
          if (fail !== undefined) return yield* fail
          if (usage !== undefined) on(ModelEvent.Usage(usage))
          on(ModelEvent.End({ reason: end }))
        }),
      ),
      status: Effect.succeed("ok" as const),
      model: Effect.succeed("fake"),
    })
    return { layer, calls }
  }

  static layerFake(rounds?: ReadonlyArray<FakeRound>) {
    return Layer.suspend(() => LanguageModel.makeFake(rounds).layer)
  }
}

import { Context, Data, type Effect } from "effect"
import type { TurnId } from "../schema.ts"
import type { ProviderError } from "./errors.ts"

export interface PromptMessage {
  readonly role: "user" | "assistant"
  readonly content: string
}

/** What a model sees in one round. */
export interface Prompt {
  readonly instructions: string
  /** Oldest first; the last one is the user's. */
  readonly messages: ReadonlyArray<PromptMessage>
}

/** One step of a model's answer. */
export type ModelEvent = Data.TaggedEnum<{
  Text: { readonly text: string }
  /** As the provider counts them. It may come more than once: the last one counts. */
  Usage: { readonly inputTokens: number; readonly outputTokens: number }
  /** The last event of a whole answer. */
  End: { readonly reason: "stop" | "length" | "filtered" | "refused" }
}>
export const ModelEvent = Data.taggedEnum<ModelEvent>()

export interface GenerateOptions {
  /** The turn that asks. The circuit breaker counts the failures of one turn together. */
  readonly turnId: TurnId
  readonly model: string
  readonly maxTokens: number
  readonly temperature: number
}

/** Text to text. */
export class LanguageModel extends Context.Tag("voice-agent/LanguageModel")<
  LanguageModel,
  {
    /**
     * One try of one round. `on` runs once per token, so it is a plain function. Succeeds after `End`; an answer
     * without it, or without text, fails. What was passed to `on` decides whether the round may be tried again, and
     * only the caller knows: see `retryPolicy`.
     */
    readonly generate: (
      prompt: Prompt,
      options: GenerateOptions,
      on: (event: ModelEvent) => void,
    ) => Effect.Effect<void, ProviderError>
    /** True while the circuit breaker keeps requests from every server of this stage. */
    readonly isDown: Effect.Effect<boolean>
  }
>() {}

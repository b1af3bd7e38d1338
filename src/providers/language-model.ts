import { Context, Data, Effect, Layer, type Option } from "effect"
import type { TurnId } from "../schema.ts"
import type { ProviderError } from "./errors.ts"
import { makeScript, wait } from "./fake.ts"

export interface PromptMessage {
  readonly role: "user" | "assistant"
  readonly content: string
}

/** The input of one model round. */
export interface Prompt {
  readonly instructions: string
  /** Oldest first; the last one is the user's. */
  readonly messages: ReadonlyArray<PromptMessage>
}

/** One step of a model's answer. */
export type ModelEvent = Data.TaggedEnum<{
  /** Never empty. The words of a refusal are text too. */
  Text: { readonly text: string }
  /** As the provider counts them. It may come more than once: the last one counts. */
  Usage: { readonly inputTokens: number; readonly outputTokens: number }
  /** The last event of a whole answer. */
  End: { readonly reason: "stop" | "length" | "filtered" | "refused" }
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
}

/** One round of the fake: the chunks, then `fail`, or `usage` and the end. */
export interface FakeRound {
  readonly chunks?: ReadonlyArray<{ readonly afterMs?: number; readonly text: string }>
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number }
  readonly end?: Extract<ModelEvent, { readonly _tag: "End" }>["reason"]
  readonly fail?: ProviderError
}

export interface FakeGenerateCall extends GenerateOptions {
  readonly prompt: Prompt
}

/** Text to text. */
export class LanguageModel extends Context.Tag("voice-agent/LanguageModel")<
  LanguageModel,
  {
    /**
     * One try of one round. `on` runs once per token, so it is a plain function. Succeeds after `End`; an answer
     * without it, or without text, fails. The caller retries, because only the caller knows whether the client got a
     * part of the answer: see `retryPolicy`.
     */
    readonly generate: (
      prompt: Prompt,
      options: GenerateOptions,
      on: (event: ModelEvent) => void,
    ) => Effect.Effect<void, ProviderError>
    /** True while the circuit breaker keeps requests from every server of this stage. */
    readonly isDown: Effect.Effect<boolean>
  }
>() {
  /** A fake for tests, and the calls that it gets. Each call takes the next round; the last round repeats. */
  static makeFake(rounds: ReadonlyArray<FakeRound> = [{ chunks: [{ text: "Hello." }] }]) {
    const calls: Array<FakeGenerateCall> = []
    const next = makeScript(rounds)
    const layer = Layer.succeed(LanguageModel, {
      generate: Effect.fnUntraced(function* (prompt, options, on) {
        calls.push({ ...options, prompt })
        const { chunks = [], usage, end = "stop", fail } = next()
        for (const { afterMs, text } of chunks) {
          yield* wait(afterMs)
          on(ModelEvent.Text({ text }))
        }
        if (fail !== undefined) return yield* fail
        if (usage !== undefined) on(ModelEvent.Usage(usage))
        on(ModelEvent.End({ reason: end }))
      }),
      isDown: Effect.succeed(false),
    })
    return { layer, calls }
  }

  static layerFake(rounds?: ReadonlyArray<FakeRound>) {
    return Layer.suspend(() => LanguageModel.makeFake(rounds).layer)
  }
}

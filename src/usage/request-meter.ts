import type { ModelEvent } from "../providers/language-model.ts"
import type { Served } from "../providers/served.ts"
import { estimateTokens } from "../providers/tokens.ts"
import type { Usage } from "../schema.ts"

export type Tokens = Pick<Usage, "inputTokens" | "outputTokens">

/** Counts the tokens of each request for an answer: of the fallback's apart from those of the server before it. Plain functions. */
export interface RequestMeter {
  /** A request begins. */
  readonly onRequest: (served: Served) => void
  readonly onEvent: (event: ModelEvent) => void
  /** The last request has ended. */
  readonly end: () => void
  /** Of the newest request: as its server counts them, or estimated. */
  readonly tokens: () => Tokens
}

/**
 * `promptTokens`: the estimate for the prompt. `onUsed` is called for each request whose model has begun; `served`: undefined if
 * the model names no server.
 */
export const makeRequestMeter = (
  promptTokens: () => number,
  onUsed: (served: Served | undefined, tokens: Tokens) => void,
): RequestMeter => {
  let served: Served | undefined
  let hasBegun = false
  let counted: Tokens | undefined
  let written = ""
  const tokens = () => counted ?? { inputTokens: promptTokens(), outputTokens: estimateTokens(written) }
  const end = () => {
    if (!hasBegun) return
    hasBegun = false
    onUsed(served, tokens())
  }
  return {
    tokens,
    end,
    onRequest: (by) => {
      end()
      served = by
      counted = undefined
      written = ""
    },
    onEvent: (event) => {
      // A server that only keeps the connection open charges nothing.
      hasBegun ||= event._tag !== "Alive" || event.isThinking
      if (event._tag === "Text") written += event.text
      if (event._tag === "ToolCall") written += event.name + event.arguments
      if (event._tag === "Usage") {
        counted = { inputTokens: event.inputTokens, outputTokens: event.outputTokens }
      }
    },
  }
}

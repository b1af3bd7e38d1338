import type { GenerateOptions, ModelEvent } from "../providers/language-model.ts"
import type { Served } from "../providers/served.ts"
import { estimateTokens } from "../providers/tokens.ts"
import type { Usage } from "../schema.ts"
import type { ModelUse } from "./bill.ts"

export type Tokens = Pick<Usage, "inputTokens" | "outputTokens">

/**
 * Counts the tokens of each request for an answer: of the fallback's apart from those of the server before it. Plain functions.
 */
export interface RequestMeter {
  /** What the model is asked with. */
  readonly watch: Required<Pick<GenerateOptions, "onRequest" | "onUnserved" | "onWritten">>
  readonly onEvent: (event: ModelEvent) => void
  /** The last request has ended, or nobody waits for it any more. */
  readonly end: () => void
  /** Of the newest request. */
  readonly tokens: () => Tokens
}

/**
 * `promptTokens`: the estimate for the prompt. `onUsed` is called for each request that its server did not refuse: the server
 * reads the prompt, and is paid for it, also if nobody waits for the answer. What the server has not counted by the end of
 * the request is estimated.
 */
export const makeRequestMeter = (
  promptTokens: () => number,
  onUsed: (by: Omit<ModelUse, "usage">, tokens: Tokens) => void,
): RequestMeter => {
  let served: Served | undefined
  let counted: Tokens | undefined
  /** UTF-16 units since the server's last count. */
  let uncounted = 0
  const tokens = () => ({
    inputTokens: counted?.inputTokens ?? promptTokens(),
    outputTokens: (counted?.outputTokens ?? 0) + estimateTokens({ length: uncounted }),
  })
  const end = () => {
    if (served === undefined) return
    const isCounted = counted !== undefined && uncounted === 0
    onUsed({ ...served, stage: "llm", ...(isCounted ? {} : { isEstimated: true }) }, tokens())
    served = undefined
  }
  return {
    tokens,
    end,
    watch: {
      onRequest: (by) => {
        end()
        served = by
        counted = undefined
        uncounted = 0
      },
      onUnserved: () => {
        // An error that comes after a part of the answer is no refusal.
        if (counted === undefined && uncounted === 0) served = undefined
      },
      onWritten: (characters) => {
        uncounted += characters
      },
    },
    onEvent: (event) => {
      if (event._tag !== "Usage") return
      counted = { inputTokens: event.inputTokens, outputTokens: event.outputTokens }
      uncounted = 0
    },
  }
}

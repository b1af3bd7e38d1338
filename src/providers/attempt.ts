import type { Effect } from "effect"
import type { ProviderError } from "./errors.ts"

/**
 * One request to one server. It calls `onProgress` for every useful element of the answer: text of a model, audio that
 * can be played. A plain function, since it runs once per token and per chunk.
 */
export type Attempt<A> = (onProgress: () => void) => Effect.Effect<A, ProviderError>

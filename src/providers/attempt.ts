import { Effect } from "effect"
import type { ProviderError } from "./errors.ts"

/**
 * One request to one server. The callbacks are plain functions, since they run once per token and per chunk.
 *
 * - `onProgress`: a useful element of the answer: text of a model, audio that can be played. After it, the fallback is not
 *   asked any more, and the circuit breaker closes.
 * - `onLife`: a sign of life without use: the model thinks, or its server keeps the connection open.
 * - `onPause`: true when the attempt starts to wait for this service and not for the server, false when that wait ends. The
 *   wait is not silence. Waits may overlap.
 */
export type Attempt<A> = (
  onProgress: () => void,
  onLife: () => void,
  onPause: (isPaused: boolean) => void,
) => Effect.Effect<A, ProviderError>

/** Runs a wait for this service as a pause of the attempt. */
export const asPause =
  (onPause: (isPaused: boolean) => void = () => undefined) =>
  <A, E, R>(wait: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.acquireUseRelease(
      Effect.sync(() => onPause(true)),
      () => wait,
      () => Effect.sync(() => onPause(false)),
    )

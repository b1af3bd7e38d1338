import { Effect } from "effect"
import type { Attempt } from "./attempt.ts"
import { detailFields, type ProviderError, reasonOf } from "./errors.ts"

/** A second server would refuse a wrong request too. */
const isWorthAnother = (error: ProviderError) => error._tag !== "ProviderRefusedRequest"

/** Sends the request to the second server, within the same try, if the first one fails before its first progress. */
export const withFallback =
  <A>(first: Attempt<A>, second: Attempt<A>): Attempt<A> =>
  (onProgress, onLife, onPause) =>
    Effect.suspend(() => {
      let hasProgress = false
      const watched = first(
        () => {
          hasProgress = true
          onProgress()
        },
        onLife,
        onPause,
      )
      return Effect.catchIf(
        watched,
        (error) => !hasProgress && isWorthAnother(error),
        (error) =>
          Effect.logWarning("provider.fallback").pipe(
            Effect.annotateLogs({
              stage: error.stage,
              reason: reasonOf(error),
              ...detailFields(error.details),
            }),
            Effect.zipRight(second(onProgress, onLife, onPause)),
          ),
      )
    })

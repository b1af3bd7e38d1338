import { Effect } from "effect"

/**
 * Passes each element of an answer to `use` as it arrives. Plain JavaScript inside one promise, since it runs once per
 * token and per chunk of audio. The signal that `open` gets aborts at the end, also after success, and `use` is not called
 * after an interruption. An error of `open` or of the elements fails with `onError`; an error of `use` is a defect.
 */
export const readEach = <A, E>(
  open: (signal: AbortSignal) => Promise<AsyncIterable<A>>,
  use: (element: A) => void,
  onError: (cause: unknown) => E,
): Effect.Effect<void, E> =>
  Effect.suspend(() => {
    const abort = new AbortController()
    const { signal } = abort
    const read = async () => {
      for await (const element of await open(signal)) {
        if (signal.aborted) break
        try {
          use(element)
        } catch (error) {
          return Effect.die(error)
        }
      }
      return Effect.void
    }
    return Effect.tryPromise({ try: read, catch: onError }).pipe(
      Effect.flatten,
      Effect.ensuring(Effect.sync(() => abort.abort())),
    )
  })

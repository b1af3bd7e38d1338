import { Effect, Exit, Scope, Stream } from "effect"
import type { Rendered } from "./renderings.ts"

/** Settles when the client leaves. */
const whenGone = (signal: AbortSignal) =>
  Effect.async<void>((resume) => {
    const left = () => resume(Effect.void)
    if (signal.aborted) return left()
    signal.addEventListener("abort", left, { once: true })
    return Effect.sync(() => signal.removeEventListener("abort", left))
  })

/**
 * An answer whose body is still in the making when it is given. What `make` acquires is released when the body has
 * ended, broke, or the client has left; a body that fails is reset, never ended cleanly.
 */
export const streamed = <E>(
  signal: AbortSignal,
  make: Effect.Effect<Rendered<E>, E, Scope.Scope>,
): Effect.Effect<Response, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { headers, body } = yield* restore(Scope.extend(make, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      )
      const runtime = yield* Effect.runtime()
      const readable = body.pipe(
        Stream.interruptWhen(whenGone(signal)),
        Stream.tapErrorCause((cause) => Effect.logWarning("answer broke off", cause)),
        Stream.ensuring(Scope.close(scope, Exit.void)),
        Stream.toReadableStreamRuntime(runtime),
      )
      return new Response(readable, { headers })
    }),
  )

import { Chunk, Effect, Option, type Scope, Stream } from "effect"

/** What there is of a sequence since the last call, and whether that was the rest. Waits while there is nothing. */
export type Take<A, E> = Effect.Effect<readonly [batch: Chunk.Chunk<A>, isDone: boolean], E>

/**
 * Passes all of a sequence to `use`, in order. Not a `Stream`: that takes ten times as many steps, in every layer of it, for
 * each batch.
 */
export const drain = <A, E, E2, R>(
  take: Take<A, E>,
  use: (batch: Chunk.Chunk<A>) => Effect.Effect<unknown, E2, R>,
): Effect.Effect<void, E | E2, R> =>
  Effect.gen(function* () {
    for (let isDone = false; !isDone; ) {
      const [batch, done] = yield* take
      yield* use(batch)
      isDone = done
    }
  })

/** Takes the elements of a stream. */
export const takeOf = <A, E>(stream: Stream.Stream<A, E>): Effect.Effect<Take<A, E>, never, Scope.Scope> =>
  Effect.map(Stream.toPull(stream), (pull) =>
    Effect.matchEffect(pull, {
      onSuccess: (batch) => Effect.succeed([batch, false] as const),
      onFailure: Option.match({
        onNone: () => Effect.succeed([Chunk.empty<A>(), true] as const),
        onSome: (error: E) => Effect.fail(error),
      }),
    }),
  )

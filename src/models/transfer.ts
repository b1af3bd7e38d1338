import { Duration, Effect } from "effect"

/**
 * Runs a transfer, and fails with `on.stall` if it does not call `move` for `stallTimeout`, or up to twice as long. An
 * interruption aborts the signal, and waits until the promise is settled, because a transfer has a file open.
 */
export const transfer = <A, E>(
  stallTimeout: Duration.Duration,
  run: (move: () => void, signal: AbortSignal) => Promise<A>,
  on: { readonly failure: (cause: unknown) => E; readonly stall: (seconds: number) => E },
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    let isMoving = true
    const move = () => {
      isMoving = true
    }
    const watch = Effect.forever(
      Effect.suspend(() => {
        if (!isMoving) return Effect.fail(on.stall(Duration.toSeconds(stallTimeout)))
        isMoving = false
        return Effect.sleep(stallTimeout)
      }),
    )
    const settled = Effect.async<A, E>((resume) => {
      const controller = new AbortController()
      const end = run(move, controller.signal).then(
        (value) => resume(Effect.succeed(value)),
        (cause) => resume(Effect.fail(on.failure(cause))),
      )
      return Effect.promise(() => {
        controller.abort()
        return end
      })
    })
    return Effect.raceFirst(settled, watch)
  })

import { Chunk, Duration, Effect, Exit, FiberId } from "effect"
import type { Take } from "../turn/take.ts"

/** The client of one response. */
export interface Client {
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal
  /** A client that reads nothing for this long counts as disconnected. */
  readonly timeout: Duration.Duration
  /** Closes the connection, after a failure or when the client stops reading. */
  readonly hangUp: () => void
}

/** Writes the body of one response. */
export interface BodyWriter {
  readonly readable: ReadableStream<Uint8Array>
  /** Writes the body as the client reads it: at most one batch ahead. Ends once the client has taken all of it. */
  readonly write: <E>(body: Take<Uint8Array, E>) => Effect.Effect<void, E>
  /** Ends the stream, after a failure with an error: a body that lacks a part must not end like a whole one. */
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}

/**
 * A writer in the fiber that calls it, which is interrupted when the client disconnects. Not `Stream.toReadableStream`, which
 * learns of a disconnect from `cancel` only: Bun does not always call it, and the pending pull would wait forever. Here the
 * request's signal ends the body as well.
 */
export const makeBodyWriter = ({ signal, timeout, hangUp }: Client): Effect.Effect<BodyWriter> =>
  Effect.withFiberRuntime((fiber) => {
    const timeoutMs = Duration.toMillis(timeout)
    const ended = Promise.withResolvers<void>()
    let controller: ReadableStreamDefaultController<Uint8Array> | undefined
    /** Answers the client's wish for more, while it has one. */
    let answer: (() => void) | undefined
    let onWish = () => {}
    let stalled: ReturnType<typeof setTimeout> | undefined

    const leave = () => fiber.unsafeInterruptAsFork(FiberId.none)
    /** After this the stream takes nothing more. */
    const cancel = () => {
      controller = undefined
      leave()
    }
    const stall = () => {
      controller?.error(new Error("the client reads nothing"))
      cancel()
    }

    const readable = new ReadableStream<Uint8Array>({
      start: (own) => {
        controller = own
      },
      pull: () => {
        clearTimeout(stalled)
        return new Promise<void>((resolve) => {
          answer = resolve
          onWish()
        })
      },
      cancel: () => {
        cancel()
        return ended.promise
      },
    })

    const wish = Effect.async<void>((resume) => {
      onWish = () => resume(Effect.void)
      if (answer !== undefined) onWish()
    })

    const put = (batch: Chunk.Chunk<Uint8Array>) => {
      for (const bytes of batch) controller?.enqueue(bytes)
      stalled = setTimeout(stall, timeoutMs)
      const taken = answer
      answer = undefined
      taken?.()
    }

    signal.addEventListener("abort", leave, { once: true })
    if (signal.aborted) leave()

    return Effect.succeed({
      readable,
      write: (body) =>
        Effect.gen(function* () {
          yield* wish
          for (let isDone = false; !isDone; ) {
            const [batch, done] = yield* body
            isDone = done
            if (Chunk.isEmpty(batch)) continue
            put(batch)
            yield* wish
          }
        }),
      end: (exit) => {
        signal.removeEventListener("abort", leave)
        clearTimeout(stalled)
        if (Exit.isSuccess(exit)) controller?.close()
        else {
          controller?.error(new Error("the response failed"))
          hangUp()
        }
        answer?.()
        ended.resolve()
      },
    })
  })

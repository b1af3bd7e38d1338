import { Cause, Chunk, Deferred, Effect, Exit, Fiber, FiberSet, Mailbox, Option, type Scope } from "effect"

import { detailFields, type ProviderDetails } from "../providers/errors.ts"
import { drain, type Take } from "../turn/take.ts"
import { type BodyWriter, type Client, makeBodyWriter } from "./body-writer.ts"

/** A response whose body may still grow. */
export interface Rendered<E> {
  readonly headers: Record<string, string>
  readonly body: Take<Uint8Array, E>
}

interface Failure {
  readonly _tag: string
  /** For the log. */
  readonly reason?: string
  readonly details?: ProviderDetails
  readonly constraint?: string
}

/**
 * Waits for the first element that satisfies `isFirst`. Returns the elements before it, and what takes it and all later ones.
 * Without such an element `rest` is empty.
 */
export const splitBefore = <A, E>(
  take: Take<A, E>,
  isFirst: (element: A) => boolean,
): Effect.Effect<readonly [before: Chunk.Chunk<A>, rest: Take<A, E>], E> =>
  Effect.gen(function* () {
    let before = Chunk.empty<A>()
    for (;;) {
      const [batch, isDone] = yield* take
      const [others, found] = Chunk.splitWhere(batch, isFirst)
      before = Chunk.appendAll(before, others)
      if (isDone || Chunk.isNonEmpty(found)) return [before, takeFirst([found, isDone], take)]
    }
  })

/** Takes `first`, and then what `take` does. */
export const takeFirst = <A, E>(
  first: readonly [batch: Chunk.Chunk<A>, isDone: boolean],
  take: Take<A, E>,
): Take<A, E> => {
  let isTaken = false
  return Effect.suspend(() => {
    if (isTaken) return take
    isTaken = true
    return Effect.succeed(first)
  })
}

/** The responses that are running, so that a shutdown can wait for them. */
export interface Answers {
  /** One fiber per response; it ends once the response has released everything. */
  readonly open: FiberSet.FiberSet
  /** The turns that continue after their client disconnects. */
  readonly unattended: FiberSet.FiberSet
}

/**
 * Starts the response before its body is complete. Everything that `make` acquires is released when the body ends or fails
 * and when the client disconnects. A body that fails is reset, never ended cleanly. One fiber runs all of it: a fiber for
 * each chunk would cost more than the chunk.
 */
export const streamed = <E extends Failure>(
  client: Client,
  open: Answers["open"],
  make: Effect.Effect<Rendered<E>, E, Scope.Scope>,
): Effect.Effect<Response, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const response = yield* Deferred.make<Response, E>()
      let writer: BodyWriter | undefined
      const respond = Effect.gen(function* () {
        const { headers, body } = yield* make
        writer = yield* makeBodyWriter(client)
        yield* Deferred.succeed(response, new Response(writer.readable, { headers }))
        yield* Effect.tapErrorCause(writer.write(body), logBreak)
      })
      const fiber = yield* respond.pipe(
        Effect.scoped,
        Effect.interruptible,
        Effect.exit,
        Effect.flatMap((exit) => {
          writer?.end(exit)
          return Exit.isFailure(exit) ? Deferred.failCause(response, exit.cause) : Effect.void
        }),
        FiberSet.run(open),
      )
      return yield* Effect.onInterrupt(restore(Deferred.await(response)), () => Fiber.interrupt(fiber))
    }),
  )

/**
 * Runs `make` and its body to the end in a fiber of `fibers`, even if the client disconnects. The body is read ahead of the
 * client and kept in memory until the client reads it. After `left` aborts, no response reports a failure, so it is logged.
 */
export const runsOn = <E extends Failure>(
  fibers: FiberSet.FiberSet,
  left: AbortSignal,
  make: Effect.Effect<Rendered<E>, E, Scope.Scope>,
): Effect.Effect<Rendered<E>, E> =>
  Effect.gen(function* () {
    const rendered = yield* Deferred.make<Rendered<E>, E>()
    const logged = <A, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.tapErrorCause(effect, (cause) => (left.aborted ? logBreak(cause) : Effect.void))
    yield* make.pipe(
      logged,
      Effect.flatMap(({ headers, body }) =>
        Effect.gen(function* () {
          const bytes = yield* Mailbox.make<Uint8Array, E>()
          yield* Deferred.succeed(rendered, { headers, body: bytes.takeAll })
          yield* Mailbox.into(logged(drain(body, (batch) => bytes.offerAll(batch))), bytes)
        }),
      ),
      Effect.scoped,
      Effect.onExit((exit) =>
        Exit.isFailure(exit) ? Deferred.failCause(rendered, exit.cause) : Effect.void,
      ),
      Effect.ignore,
      FiberSet.run(fibers),
    )
    return yield* Deferred.await(rendered)
  })

/** Logs the name of the failure only: a provider's message may quote the conversation. A disconnect is not a failure. */
export const logBreak = (cause: Cause.Cause<Failure>) => {
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  return Option.match(Cause.failureOption(cause), {
    onNone: () => Effect.logError("response.aborted", cause),
    onSome: ({ _tag, reason, details, constraint }) =>
      Effect.annotateLogs(Effect.logWarning("response.aborted"), {
        error: _tag,
        ...(reason === undefined ? {} : { reason }),
        ...detailFields(details),
        ...(constraint === undefined ? {} : { constraint }),
      }),
  })
}

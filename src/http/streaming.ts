import {
  Cause,
  Chunk,
  Deferred,
  Duration,
  Effect,
  Exit,
  FiberSet,
  Mailbox,
  Option,
  Runtime,
  Scope,
  Stream,
} from "effect"

import { detailFields, type ProviderDetails } from "../providers/errors.ts"

/** A response whose body is a stream that may still be running. */
export interface Rendered<E> {
  readonly headers: Record<string, string>
  readonly body: Stream.Stream<Uint8Array, E>
}

interface Failure {
  readonly _tag: string
  /** For the log. */
  readonly reason?: string
  readonly details?: ProviderDetails
  readonly constraint?: string
}

/**
 * Waits for the first element that satisfies `isFirst`. Returns the elements before it, and the stream of it and all later
 * ones. Without such an element `rest` is empty. Not `Stream.peel`, which turns a failure after its sink into a defect.
 */
export const splitBefore = <A, E>(
  stream: Stream.Stream<A, E>,
  isFirst: (element: A) => boolean,
): Effect.Effect<readonly [before: Chunk.Chunk<A>, rest: Stream.Stream<A, E>], E, Scope.Scope> =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(stream)
    const next = Effect.catchAll(
      Effect.asSome(pull),
      Option.match({ onNone: () => Effect.succeedNone, onSome: (error: E) => Effect.fail(error) }),
    )
    let before = Chunk.empty<A>()
    for (;;) {
      const chunk = yield* next
      if (Option.isNone(chunk)) return [before, Stream.empty]
      const [others, found] = Chunk.splitWhere(chunk.value, isFirst)
      before = Chunk.appendAll(before, others)
      if (Chunk.isEmpty(found)) continue
      return [before, Stream.concat(Stream.fromChunk(found), Stream.repeatEffectChunkOption(pull))]
    }
  })

/** The responses that are running, so that a shutdown can wait for them. */
export interface Answers {
  /** One fiber per response; it ends once the response has released everything. */
  readonly open: FiberSet.FiberSet
  /** The turns that continue after their client disconnects. */
  readonly unattended: FiberSet.FiberSet
}

/** The client of one response. */
interface Client {
  /** Aborts when the client disconnects. */
  readonly signal: AbortSignal
  /** A client that reads nothing for this long counts as disconnected. */
  readonly timeout: Duration.Duration
  /** Closes the connection, after a failure or when the client stops reading. */
  readonly hangUp: () => void
  /** `Answers.open`. */
  readonly open: FiberSet.FiberSet
}

/**
 * Starts the response before its body is complete. Everything that `make` acquires is released when the body ends or fails
 * and when the client disconnects. A body that fails is reset, never ended cleanly.
 */
export const streamed = <E extends Failure>(
  client: Client,
  make: Effect.Effect<Rendered<E>, E, Scope.Scope>,
): Effect.Effect<Response, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const closed = yield* Deferred.make<void>()
      yield* FiberSet.run(client.open, Effect.interruptible(Deferred.await(closed)))
      yield* Scope.addFinalizer(scope, Deferred.succeed(closed, undefined))
      const { headers, body } = yield* restore(Scope.extend(make, scope)).pipe(
        Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
      )
      return new Response(yield* readable(body, scope, client), { headers })
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
          yield* Deferred.succeed(rendered, { headers, body: Mailbox.toStream(bytes) })
          yield* Mailbox.into(logged(Stream.runForEach(body, (each) => bytes.offer(each))), bytes)
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

/**
 * The body as a ReadableStream. Not `Stream.toReadableStream`, which learns of a disconnect from `cancel` only: Bun does
 * not always call it, and the pending pull would wait forever. Here the request's signal ends the body as well.
 */
const readable = <E extends Failure>(
  body: Stream.Stream<Uint8Array, E>,
  scope: Scope.CloseableScope,
  { signal, timeout, hangUp }: Client,
) =>
  Effect.gen(function* () {
    const logged = Stream.tapErrorCause(body, logBreak)
    const chunks = yield* Scope.extend(Stream.toPull(logged), scope)
    const next = Effect.repeat(chunks, { until: Chunk.isNonEmpty })
    const run = Runtime.runPromiseExit(yield* Effect.runtime())
    let stalled: ReturnType<typeof setTimeout> | undefined
    const release = async () => {
      clearTimeout(stalled)
      await run(Scope.close(scope, Exit.void))
    }
    if (signal.aborted) yield* Scope.close(scope, Exit.void)
    else signal.addEventListener("abort", release, { once: true })

    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        clearTimeout(stalled)
        const exit = await run(next, { signal })
        if (Exit.isSuccess(exit)) {
          for (const bytes of exit.value) controller.enqueue(bytes)
          stalled = setTimeout(() => {
            void release().then(hangUp)
            controller.error(new Error("the client reads nothing"))
          }, Duration.toMillis(timeout))
          return
        }
        await release()
        signal.removeEventListener("abort", release)
        const hasEnded = Option.exists(Cause.failureOption(exit.cause), Option.isNone)
        if (hasEnded) return controller.close()
        controller.error(new Error("the response failed"))
        return hangUp()
      },
      cancel: release,
    })
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

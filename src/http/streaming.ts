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

/** An answer whose body may still be in the making. */
export interface Rendered<E> {
  readonly headers: Record<string, string>
  readonly body: Stream.Stream<Uint8Array, E>
}

interface Failure {
  readonly _tag: string
  /** Both for the log. */
  readonly reason?: string
  readonly constraint?: string
}

/**
 * The elements before the first such one, once that has come, and the stream of it and all others. Stream.peel would do,
 * but what fails after its sink is done comes as a defect.
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

/** The answers that are being made. */
export interface Answers {
  /** A fibre for each whose client is there; it waits for the end. */
  readonly open: FiberSet.FiberSet
  /** What goes on where its client has left. */
  readonly unattended: FiberSet.FiberSet
}

/** Who an answer goes to. */
interface Client {
  /** Aborts when it leaves. */
  readonly signal: AbortSignal
  /** One that takes nothing for so long has left without a word. */
  readonly timeout: Duration.Duration
  /** Ends its connection, where an answer broke off or is not taken. */
  readonly hangUp: () => void
  /** Has a fibre until all that the answer held is released. */
  readonly open: FiberSet.FiberSet
}

/**
 * An answer whose body is still in the making when it is given. What `make` acquires is released when the body has
 * ended, broke, or the client has left; a body that fails is reset, never ended cleanly.
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
 * An answer that is made to its end even when the client leaves: by a fibre of `fibers`, ahead of who reads it. What is
 * read of it is kept until then. `left` aborts when nobody is there any more who could be told of a failure.
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
 * Effect's own way to a ReadableStream learns of a client that left from the stream's `cancel` alone, which Bun
 * does not always call; whoever waits for a next pull then would wait for ever. So the request's signal ends it too.
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
            controller.error(new Error("the listener takes nothing"))
          }, Duration.toMillis(timeout))
          return
        }
        await release()
        signal.removeEventListener("abort", release)
        const hasEnded = Option.exists(Cause.failureOption(exit.cause), Option.isNone)
        if (hasEnded) return controller.close()
        controller.error(new Error("the answer broke off"))
        return hangUp()
      },
      cancel: release,
    })
  })

/** By name: a provider's own words may quote what was said. A client that left breaks nothing. */
export const logBreak = (cause: Cause.Cause<Failure>) => {
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  return Option.match(Cause.failureOption(cause), {
    onNone: () => Effect.logError("response.aborted", cause),
    onSome: ({ _tag, reason, constraint }) =>
      Effect.annotateLogs(Effect.logWarning("response.aborted"), {
        error: _tag,
        ...(reason === undefined ? {} : { reason }),
        ...(constraint === undefined ? {} : { constraint }),
      }),
  })
}

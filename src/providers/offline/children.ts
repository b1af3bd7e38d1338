import { availableParallelism } from "node:os"
import { Data, Effect, Either, type Scope } from "effect"
import { feed, type StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import { readEach } from "../read-each.ts"

/** A program ended with an error. `reason` is the end of its standard error. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{
  readonly program: string
  readonly reason: string
}> {}

/** The standard input of a program: complete, or as a stream. */
type Input = ReadonlyArray<Uint8Array> | ReadableStream<Uint8Array>

interface Child {
  readonly stdout: ReadableStream<Uint8Array>
  /** Resolves once the program has ended: with the reason of its failure, or undefined. */
  readonly failure: Promise<string | undefined>
  /** Resolves once the program has exited. */
  readonly kill: () => Promise<unknown>
}

/** A program to run. User input is never an argument: it is passed by stdin or in a file. */
export interface Program {
  readonly name: string
  readonly start: (input: Input) => Child
}

/** A program and its arguments. */
export const command = (name: string, args: ReadonlyArray<string>): Program => ({
  name,
  start: (input) => {
    // No environment: it holds keys, and these programs read the input of strangers.
    const child = Bun.spawn([name, ...args], { stdio: ["pipe", "pipe", "pipe"], env: {} })
    const ended = Promise.all([new Response(child.stderr).text(), child.exited, feed(child.stdin, input)])
    return {
      stdout: child.stdout,
      failure: ended.then(([stderr, code]) =>
        code === 0 ? undefined : stderr.slice(-500) || `exit code ${code}`,
      ),
      kill: () => {
        child.kill("SIGKILL")
        return child.exited
      },
    }
  },
})

/** ffmpeg in the sandbox that decodes uploads. */
export const ffmpegCommand = (startFfmpeg: StartFfmpeg, args: ReadonlyArray<string>): Program => ({
  name: "ffmpeg",
  start: (input) => {
    const child = startFfmpeg(args)
    const ended = Promise.all([child.ended(), feed(child.stdin, input)])
    return {
      stdout: child.stdout,
      failure: ended.then(([ending]) =>
        Either.isRight(ending)
          ? undefined
          : "message" in ending.left
            ? ending.left.message
            : ending.left._tag,
      ),
      kill: child.kill,
    }
  },
})

/**
 * Kills the child, if it still runs, and waits for its end when the scope closes. A program that cannot be started has
 * failed too: it was removed, or the machine has no process left.
 */
const scopedChild = ({ name, start }: Program, input: Input) => {
  const failed = (cause: unknown) => new ProgramFailed({ program: name, reason: `${cause}` })
  return Effect.acquireRelease(Effect.try({ try: () => start(input), catch: failed }), ({ kill }) =>
    Effect.promise(kill),
  ).pipe(
    Effect.map(({ stdout, failure }) => {
      // After an interruption nothing awaits it.
      failure.catch(() => undefined)
      const succeeded = Effect.flatMap(Effect.tryPromise({ try: () => failure, catch: failed }), (reason) =>
        reason === undefined ? Effect.void : failed(reason),
      )
      return { stdout, succeeded }
    }),
  )
}

/**
 * Runs programs as a pipeline. The first one reads `input`, and each other one the output of the one before. `use` takes
 * the output of the last one as it arrives. Fails if any of them fails. None outlives the effect; interruption kills them.
 */
export const pipeline = Effect.fn("Children.pipeline")(function* (
  [first, ...rest]: readonly [Program, ...Program[]],
  input: Input,
  use: (bytes: Uint8Array) => void = () => undefined,
) {
  let last = yield* scopedChild(first, input)
  const running = [last]
  for (const program of rest) {
    last = yield* scopedChild(program, last.stdout)
    running.push(last)
  }
  const { stdout } = last
  const { name } = rest.at(-1) ?? first
  yield* readEach(
    () => Promise.resolve(stdout),
    use,
    (cause) => new ProgramFailed({ program: name, reason: `${cause}` }),
  )
  yield* Effect.forEach(running, ({ succeeded }) => succeeded, { discard: true })
}, Effect.scoped)

/** Waits for a slot and holds it until the scope closes. A job has two children at most. */
export type TakeSlot = Effect.Effect<void, never, Scope.Scope>

/** One job per core, two at least: a load queues instead of starting all its programs at once. */
const limit = Math.max(2, availableParallelism())

/** When the scope closes, it waits until every job has ended. */
export const makeSlots: Effect.Effect<TakeSlot, never, Scope.Scope> = Effect.acquireRelease(
  Effect.makeSemaphore(limit),
  (slots) => slots.take(limit),
).pipe(
  Effect.map((slots) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(
        restore(slots.take(1)),
        Effect.addFinalizer(() => slots.release(1)),
      ),
    ),
  ),
)

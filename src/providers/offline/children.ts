import { availableParallelism } from "node:os"
import { Data, Effect, Either, type Scope, Stream } from "effect"
import { feed, type StartFfmpeg } from "../../ffmpeg/sandbox.ts"

/** A program did not do what it was told to; `reason` is what it said about it. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{
  readonly program: string
  readonly reason: string
}> {}

/** What a program reads: all of it at once, or as it comes. */
type Input = ReadonlyArray<Uint8Array> | ReadableStream<Uint8Array>

interface Child {
  readonly stdout: ReadableStream<Uint8Array>
  /** Why it failed, if it did, once it has ended. */
  readonly failure: Promise<string | undefined>
  /** Resolves when it is gone. */
  readonly kill: () => Promise<unknown>
}

/** Something to run. What a user sent never stands among its arguments: it goes in by stdin or by a file. */
export interface Program {
  readonly name: string
  readonly start: (input: Input) => Child
}

/** A program and its arguments. */
export const command = (name: string, args: ReadonlyArray<string>): Program => ({
  name,
  start: (input) => {
    // No environment: it holds keys, and these programs read what strangers send.
    const child = Bun.spawn([name, ...args], { stdio: ["pipe", "pipe", "pipe"], env: {} })
    const ended = Promise.all([new Response(child.stderr).text(), child.exited, feed(child.stdin, input)])
    return {
      stdout: child.stdout,
      failure: ended.then(([said, code]) =>
        code === 0 ? undefined : said.slice(-500) || `exit code ${code}`,
      ),
      kill: () => {
        child.kill("SIGKILL")
        return child.exited
      },
    }
  },
})

/** ffmpeg, confined as the one that decodes uploads. */
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

/** The child is killed, if it still runs, and gone when the scope has closed. */
const scopedChild = ({ name, start }: Program, input: Input) =>
  Effect.acquireRelease(
    Effect.sync(() => start(input)),
    ({ kill }) => Effect.promise(kill),
  ).pipe(
    Effect.map(({ stdout, failure }) => {
      // Where nobody asks for it any more.
      failure.catch(() => undefined)
      const succeeded = Effect.flatMap(
        Effect.promise(() => failure),
        (reason) => (reason === undefined ? Effect.void : new ProgramFailed({ program: name, reason })),
      )
      return { stdout, succeeded }
    }),
  )

/** Runs one program to its end and gives all that it wrote to stdout. Interruption kills it. */
export const run = Effect.fn("Children.run")(function* (program: Program, input: Input) {
  const child = yield* scopedChild(program, input)
  const stdout = yield* Effect.promise(() => new Response(child.stdout).bytes())
  yield* child.succeeded
  return stdout
}, Effect.scoped)

/**
 * Streams what the last of the programs writes, each reading from the one before it; the first reads `input`.
 * All of them are gone when the scope has closed. The stream fails where one of them did.
 */
export const pipeline = Effect.fn("Children.pipeline")(function* (
  programs: readonly [Program, ...Program[]],
  input: Input,
) {
  const [first, ...rest] = programs
  let last = yield* scopedChild(first, input)
  const running = [last]
  for (const program of rest) {
    last = yield* scopedChild(program, last.stdout)
    running.push(last)
  }
  const { stdout } = last
  const ended = Effect.forEach(running, ({ succeeded }) => succeeded, { discard: true })
  return Stream.fromReadableStream(
    () => stdout,
    (cause) => new ProgramFailed({ program: programs.at(-1)?.name ?? "", reason: `${cause}` }),
  ).pipe(Stream.concat(Stream.drain(Stream.fromEffect(ended))))
})

/** A place among the jobs that may run at once, held until the scope closes. A job has at most two children. */
export type TakeSlot = Effect.Effect<void, never, Scope.Scope>

/** As many jobs at once as there are cores, two at least: a load test queues instead of starting them all. */
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

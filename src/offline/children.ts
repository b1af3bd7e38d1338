import { availableParallelism } from "node:os"
import { Data, Effect, type Scope, Stream } from "effect"

/** A child process ended with an exit code other than 0; `stderr` is what it said about it. */
export class ChildFailed extends Data.TaggedError("ChildFailed")<{
  readonly command: string
  readonly exitCode: number
  readonly stderr: string
}> {}

/** A program and its arguments. What a user sent never stands here: it goes in by stdin or by a file. */
export type Command = readonly [program: string, ...args: string[]]

type Stdin = Uint8Array | ReadableStream<Uint8Array> | "ignore"

const spawn = (command: Command, stdin: Stdin) =>
  // No environment: it holds keys, and these programs read what strangers send.
  Bun.spawn({ cmd: [...command], stdin, stdout: "pipe", stderr: "pipe", env: {} })

/** The child is killed, if it still runs, and gone when the scope has closed. */
const scopedChild = (command: Command, stdin: Stdin) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, stdin)),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.exited
      }),
  )

const succeeded = Effect.fnUntraced(function* (
  command: Command,
  child: ReturnType<typeof spawn>,
  stderr: string,
) {
  const exitCode = yield* Effect.promise(() => child.exited)
  if (exitCode !== 0) {
    return yield* new ChildFailed({ command: command[0], exitCode, stderr: stderr.slice(-2000) })
  }
})

/** Runs one program to its end and gives all that it wrote to stdout. Interruption kills it. */
export const run = Effect.fn("Children.run")(function* (command: Command, stdin: Stdin) {
  const child = yield* scopedChild(command, stdin)
  const [stdout, stderr] = yield* Effect.promise(() =>
    Promise.all([new Response(child.stdout).bytes(), new Response(child.stderr).text()]),
  )
  yield* succeeded(command, child, stderr)
  return stdout
}, Effect.scoped)

/**
 * Streams what the last of the programs writes, each reading from the one before it; the first reads `stdin`.
 * All of them are gone when the scope has closed. The stream fails where one of them did.
 */
export const pipeline = Effect.fn("Children.pipeline")(function* (
  commands: readonly [Command, ...Command[]],
  stdin: Stdin,
) {
  const [first, ...rest] = commands
  let last = yield* scopedChild(first, stdin)
  const running = [{ command: first, child: last, stderr: new Response(last.stderr).text() }]
  for (const command of rest) {
    last = yield* scopedChild(command, last.stdout)
    running.push({ command, child: last, stderr: new Response(last.stderr).text() })
  }
  const output = last.stdout
  const ended = Effect.forEach(
    running,
    ({ command, child, stderr }) =>
      Effect.flatMap(
        Effect.promise(() => stderr),
        (said) => succeeded(command, child, said),
      ),
    { discard: true },
  )
  return Stream.fromReadableStream(
    () => output,
    (cause) =>
      new ChildFailed({
        command: commands[commands.length - 1]?.[0] ?? "",
        exitCode: -1,
        stderr: String(cause),
      }),
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

import { availableParallelism } from "node:os"
import { resolve } from "node:path"
import { Data, Effect, Either, type Scope } from "effect"
import { type Limits, limited, startConfined, tailOf } from "../../ffmpeg/confined.ts"
import { feed, type StartFfmpeg } from "../../ffmpeg/sandbox.ts"
import type { Stage } from "../../schema.ts"
import { wrongAnswer } from "../errors.ts"
import { readEach } from "../read-each.ts"

/** Why a program failed, for the log: the end of its standard error, or how it ended. */
interface Failure {
  readonly reason: string
  /** Something else killed it: the kernel, if the machine has no memory left. Otherwise it would fail again. */
  readonly wasKilled: boolean
}

/** A program ended with an error. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<
  Failure & { readonly program: string }
> {}

/** The error of a stage. A program that fails by itself would do so again. */
export const fromProgram = (stage: Stage, { program, reason, wasKilled }: ProgramFailed) =>
  wrongAnswer(stage, `${program}: ${reason}`, { isRetryable: wasKilled })

/** The standard input of a program: complete, or as a stream. */
type Input = ReadonlyArray<Uint8Array> | ReadableStream<Uint8Array>

interface Child {
  readonly stdout: ReadableStream<Uint8Array>
  /** Resolves once the program has ended: with its failure, or undefined. */
  readonly failure: Promise<Failure | undefined>
  /** Resolves once the program has exited. */
  readonly kill: () => Promise<unknown>
}

/** A program to run. User input is never an argument: it is passed by stdin or in a file. */
export interface Program {
  readonly name: string
  readonly start: (input: Input) => Child
}

/** Of flite, espeak-ng and pocketsphinx, which use up to 270 MB: flite for 4 minutes of speech in one sentence. */
const limits = {
  dataBytes: 512 * 1024 ** 2,
  addressBytes: 1024 ** 3,
  // flite writes 2 MB a minute.
  fileBytes: 64 * 1024 ** 2,
  openFiles: 64,
  // 15 times what pocketsphinx takes for its longest part, measured on a slow machine.
  cpuSeconds: 60,
} satisfies Limits

/** A program and its arguments. Within limits, if the machine has `prlimit`. */
export const command = (name: string, args: ReadonlyArray<string>): Program => ({
  name,
  start: (input) => {
    const path = Bun.which(name)
    // prlimit would start, and fail with a sentence of its own.
    if (path === null) throw new Error(`ENOENT: ${name} is not a program here`)
    const { child, kill } = startConfined(limited(Bun.which("prlimit"), limits, [resolve(path), ...args]))
    const ended = Promise.all([tailOf(child.stderr), child.exited, feed(child.stdin, input)])
    return {
      stdout: child.stdout,
      failure: ended.then(([stderr, code]) => {
        if (code === 0) return undefined
        // In microseconds. The kernel counts the limit in ticks, up to a sixth more than this figure, so it gets half.
        const cpuTime = Number(child.resourceUsage()?.cpuTime.total ?? 0)
        return {
          reason: stderr.trim() || `ended with ${child.signalCode ?? code}`,
          wasKilled: child.signalCode === "SIGKILL" && cpuTime < (limits.cpuSeconds * 1e6) / 2,
        }
      }),
      kill,
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
          : {
              reason: "message" in ending.left ? ending.left.message : ending.left._tag,
              wasKilled: ending.left._tag === "Killed",
            },
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
  const failed = (cause: unknown) =>
    new ProgramFailed({ program: name, reason: `${cause}`, wasKilled: false })
  return Effect.acquireRelease(Effect.try({ try: () => start(input), catch: failed }), ({ kill }) =>
    Effect.promise(kill),
  ).pipe(
    Effect.map(({ stdout, failure }) => {
      // After an interruption nothing awaits it.
      failure.catch(() => undefined)
      const succeeded = Effect.flatMap(Effect.tryPromise({ try: () => failure, catch: failed }), (own) =>
        own === undefined ? Effect.void : new ProgramFailed({ program: name, ...own }),
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
    (cause) => new ProgramFailed({ program: name, reason: `${cause}`, wasKilled: false }),
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

import { Effect } from "effect"
import { wavHeader } from "../audio/wav.ts"
import { wavPlayer } from "./player.ts"

/** Of the Realtime protocol's audio, in Hz. */
const sampleRate = 24_000

/** 40 ms of silence. */
const silence = new Int16Array(0.04 * sampleRate)

/** Runs a program that writes 24 kHz samples to stdout. Resolves when it ends; closing the scope stops it. */
export const capture = (command: ReadonlyArray<string>, onSamples: (samples: Int16Array) => void) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" })),
      (child) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return child.exited
        }),
    )
    return yield* Effect.promise(async () => {
      let rest = new Uint8Array(0)
      for await (const chunk of child.stdout) {
        // Chunks may end within a sample.
        const bytes = Buffer.concat([rest, chunk])
        const whole = bytes.length - (bytes.length % 2)
        rest = new Uint8Array(bytes.subarray(whole))
        onSamples(new Int16Array(new Uint8Array(bytes.subarray(0, whole)).buffer))
      }
      const [reason = ""] = (await child.stderr.text()).trim().split("\n")
      return { code: await child.exited, reason }
    })
  }).pipe(Effect.scoped)

/** Sends silence as fast as it would be recorded, until `isOver` says so. It gets the ms so far. */
export const keepSilent = (onSamples: (samples: Int16Array) => void, isOver: (ms: number) => boolean) =>
  Effect.iterate(0, {
    while: (ms) => !isOver(ms),
    body: (ms) => Effect.sync(() => onSamples(silence)).pipe(Effect.delay(40), Effect.as(ms + 40)),
  })

/** Plays replies by an installed program. */
export interface Voice {
  readonly play: (samples: Int16Array) => void
  /** The reply has no more samples. */
  readonly end: () => void
  /** Stops at once. */
  readonly stop: () => void
}

/** Undefined if no player is installed. Closing the scope stops it. */
export const startVoice = Effect.gen(function* () {
  const command = wavPlayer()
  if (command === undefined) return undefined
  let child: Bun.Subprocess<"pipe", "ignore", "ignore"> | undefined
  const start = () => {
    const started = Bun.spawn([...command], { stdin: "pipe", stdout: "ignore", stderr: "ignore" })
    started.stdin.write(wavHeader({ sampleRate, channels: 1, bitsPerSample: 16 }))
    return started
  }
  // The user may have closed the player.
  const quietly = async (use: () => unknown) => {
    try {
      await use()
    } catch {}
  }
  const voice: Voice = {
    play: (samples) => {
      child ??= start()
      const { stdin } = child
      quietly(() => stdin.write(samples))
      quietly(() => stdin.flush())
    },
    end: () => {
      const ending = child
      child = undefined
      if (ending !== undefined) {
        running.add(ending)
        ending.exited.then(() => running.delete(ending))
        quietly(() => ending.stdin.end())
      }
    },
    stop: () => {
      for (const each of child === undefined ? running : [...running, child]) each.kill("SIGKILL")
      child = undefined
    },
  }
  /** They play the rest of a reply that is complete. */
  const running = new Set<Bun.Subprocess<"pipe", "ignore", "ignore">>()
  yield* Effect.addFinalizer(() => Effect.sync(voice.stop))
  return voice
})

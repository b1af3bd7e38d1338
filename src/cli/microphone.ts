import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline/promises"
import { Console, Effect } from "effect"
import { CommandFailed } from "./exit-code.ts"

/** 16 kHz mono 16-bit, the input of speech recognition. */
const sox = ["-q", "-c", "1", "-r", "16000", "-b", "16"]
const ffmpegCommand = ["ffmpeg", "-nostdin", "-v", "error"]
const samplesToStdout = ["-ac", "1", "-ar", "24000", "-f", "s16le", "-"]

/** What a recorder writes, in its own options. */
interface Target {
  readonly sox: ReadonlyArray<string>
  readonly ffmpeg: ReadonlyArray<string>
}

/** The first installed recorder. */
const recorder = ({ sox, ffmpeg }: Target): ReadonlyArray<string> | undefined => {
  if (Bun.which("rec") !== null) return ["rec", ...sox]
  if (Bun.which("sox") !== null) return ["sox", "-d", ...sox]
  if (Bun.which("ffmpeg") === null) return undefined
  if (process.platform === "darwin") return [...ffmpegCommand, "-f", "avfoundation", "-i", ":0", ...ffmpeg]
  const system = Bun.which("pactl") === null ? "alsa" : "pulse"
  return [...ffmpegCommand, "-f", system, "-i", "default", ...ffmpeg]
}

const noRecorder = new CommandFailed({
  message: "No recorder is installed. Install sox (apt-get install sox, brew install sox), or pass a FILE.",
})

/** Writes 24 kHz mono 16-bit samples to stdout. */
export const captureCommand = Effect.suspend(() => {
  const command = recorder({
    sox: ["-q", "-c", "1", "-r", "24000", "-b", "16", "-e", "signed-integer", "-t", "raw", "-"],
    ffmpeg: samplesToStdout,
  })
  return command === undefined ? Effect.fail(noRecorder) : Effect.succeed(command)
})

/** The same of a recording, as fast as it plays. */
export const playCommand = (path: string): ReadonlyArray<string> => [
  ...ffmpegCommand,
  "-re",
  "-i",
  path,
  ...samplesToStdout,
]

/** Resolves when Enter is pressed, or at the end of the input. */
export const enterPressed = async (signal: AbortSignal) => {
  const lines = createInterface({ input: process.stdin })
  try {
    await new Promise<void>((resolve) => {
      lines.once("line", () => resolve()).once("close", () => resolve())
      signal.addEventListener("abort", () => resolve(), { once: true })
    })
  } finally {
    lines.close()
  }
}

/** Records until Enter is pressed. The scope deletes the file. */
export const record = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "voice-agent-talk-"))),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true })),
  )
  const path = join(folder, "speech.wav")
  // Each writes a WAV, and completes it on SIGINT.
  const command = recorder({ sox: [...sox, path], ffmpeg: ["-ac", "1", "-ar", "16000", path] })
  if (command === undefined) return yield* noRecorder
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" })),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.exited
      }),
  )
  yield* Console.error("Speak now. Press Enter to stop.")
  yield* Effect.promise((signal) => Promise.race([enterPressed(signal), child.exited]))
  child.kill("SIGINT")
  yield* Effect.promise(() => child.exited)
  if (!(yield* Effect.promise(() => Bun.file(path).exists()))) {
    const stderr = yield* Effect.promise(() => child.stderr.text())
    const [reason = ""] = stderr.trim().split("\n")
    return yield* new CommandFailed({
      message: `${command[0]} recorded nothing${reason === "" ? "" : ` (${reason})`}. Check the microphone, or pass a FILE.`,
    })
  }
  return path
})

import { Either } from "effect"
import type { Demuxer } from "./validate.ts"

/** Hz, of what speech recognition hears best. */
export const sampleRate = 16_000
export const bytesPerSecond = sampleRate * 2

export interface DecoderSettings {
  readonly ffmpegPath: string
  /** What is past it by a second is not decoded. */
  readonly maxAudioSeconds: number
  /** Of CPU, not of waiting: one that is kept for hours has used up its start only. */
  readonly maxCpuSeconds: number
}

/** One ffmpeg, for one recording. */
export interface Decoder {
  readonly isAlive: () => boolean
  /**
   * Once, with the upload's path: its 16 kHz mono 16-bit little-endian samples, of which a second and one chunk at most
   * are past what is allowed. Left: what ffmpeg said where it failed.
   */
  readonly decode: (path: string) => Promise<Either.Either<Uint8Array, string>>
  /** Resolves when it is gone. */
  readonly kill: () => Promise<void>
}

/**
 * Starts an ffmpeg that decodes the first audio track of `input` (`pipe:0`, where it waits until it is fed, or
 * `file:PATH`). The upload is data, never instructions: the one demuxer is named, nothing but the input is opened, and
 * memory, CPU time and output are bounded.
 */
export const startDecoder = (
  settings: DecoderSettings,
  demuxer: Demuxer,
  input: "pipe:0" | `file:${string}`,
): Decoder => {
  // -t counts timestamps, which a file may repeat or skip: they are made anew, from the samples. Where the sampling rate
  // changes in the midst of a file, both begin again: what comes out is counted as well.
  const seconds = settings.maxAudioSeconds + 1
  const mostBytes = seconds * bytesPerSecond
  const command = [
    ...[settings.ffmpegPath, "-nostdin", "-hide_banner", "-v", "error"],
    ...["-timelimit", `${settings.maxCpuSeconds}`],
    // Cover art is decoded while the file is probed, whatever is asked of it: 16,000 pixels square take 780 MB.
    ...["-max_pixels", "1000000"],
    ...["-protocol_whitelist", input === "pipe:0" ? "pipe" : "file", "-f", demuxer, "-i", input],
    ...["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-af", "asetpts=N/SR/TB"],
    ...["-threads", "1", "-t", `${seconds}`],
    ...["-ac", "1", "-ar", `${sampleRate}`, "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"],
  ]
  // In a session of its own: a Ctrl-C in the terminal goes to the whole process group, and turns in flight may finish.
  // What outlives a service that was killed has its input closed, or nobody to write to, and ends.
  const child = Bun.spawn(command, { stdio: ["pipe", "pipe", "pipe"], env: {}, detached: true })

  const read = async () => {
    const chunks: Array<Uint8Array> = []
    let bytes = 0
    for await (const chunk of child.stdout) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes <= mostBytes) continue
      // Lest it waits for ever to be read; its exit code means nothing then.
      child.kill("SIGKILL")
      break
    }
    return { samples: Buffer.concat(chunks), isWhole: bytes <= mostBytes }
  }

  return {
    isAlive: () => child.exitCode === null && child.signalCode === null,
    decode: async (path) => {
      const feeding = input === "pipe:0" ? feed(child.stdin, path) : undefined
      const [{ samples, isWhole }, said, code] = await Promise.all([
        read(),
        lastWords(child.stderr),
        child.exited,
        feeding,
      ])
      return code === 0 || !isWhole
        ? Either.right(samples)
        : Either.left(said.trim() || `ffmpeg ended with ${child.signalCode ?? code}`)
    },
    kill: async () => {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}

/** As fast as it reads, and never the whole file at once. */
const feed = async (stdin: Bun.FileSink, path: string) => {
  for await (const chunk of Bun.file(path).stream()) {
    if (!(await isTaken(() => stdin.write(chunk)))) return
  }
  await isTaken(() => stdin.end())
}

/** False where ffmpeg reads no further: it has all that it wants, or has failed, which its exit code tells. */
const isTaken = async (write: () => unknown) => {
  try {
    await write()
    return true
  } catch {
    return false
  }
}

/** The last 500 characters; a broken file can be complained about for each of its frames. */
const lastWords = async (stderr: ReadableStream<Uint8Array<ArrayBuffer>>) => {
  let words = ""
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) words = `${words}${text}`.slice(-500)
  return words
}

import { Either } from "effect"
import type { Demuxer } from "../audio/container.ts"
import { bytesPerSecond, sampleRate } from "../audio/pcm.ts"
import { type FfmpegFailure, feed, type StartFfmpeg } from "./sandbox.ts"

/** An ffmpeg process that decodes one recording. */
export interface Decoder {
  readonly isAlive: () => boolean
  /**
   * Call once. Decodes the file to 16 kHz mono 16-bit little-endian samples: at most one second and one chunk more than
   * the limit.
   */
  readonly decode: (path: string) => Promise<Either.Either<Uint8Array, FfmpegFailure>>
  /** Resolves once the process has exited. */
  readonly kill: () => Promise<void>
}

/**
 * Starts an ffmpeg that decodes the first audio track of `input`. With `pipe:0` it waits for `decode`. An upload is data,
 * never instructions: the demuxer is named, and only the input may be opened. Decoding stops one second after
 * `maxAudioSeconds`.
 */
export const startDecoder = (
  start: StartFfmpeg,
  maxAudioSeconds: number,
  demuxer: Demuxer,
  input: "pipe:0" | `file:${string}`,
): Decoder => {
  // -t counts timestamps, which a file may repeat or skip, so asetpts numbers them anew. Both restart where the sampling
  // rate changes inside a file, so the output is counted as well.
  const seconds = maxAudioSeconds + 1
  const maxBytes = seconds * bytesPerSecond
  const ffmpeg = start([
    // ffmpeg decodes cover art while it probes a file, also if it is not mapped: 16,000 pixels square take 780 MB.
    ...["-max_pixels", "1000000"],
    // By default ffmpeg starts a thread for each core, and each takes memory.
    ...["-threads", "1"],
    ...["-protocol_whitelist", input === "pipe:0" ? "pipe" : "file", "-f", demuxer, "-i", input],
    ...["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-af", "asetpts=N/SR/TB"],
    ...["-threads", "1", "-t", `${seconds}`],
    ...["-ac", "1", "-ar", `${sampleRate}`, "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"],
  ])

  const read = async () => {
    const chunks: Array<Uint8Array> = []
    let bytes = 0
    for await (const chunk of ffmpeg.stdout) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes <= maxBytes) continue
      // Otherwise it would block on its output forever. Its exit status does not matter then.
      void ffmpeg.kill()
      break
    }
    return { samples: Buffer.concat(chunks), isComplete: bytes <= maxBytes }
  }

  return {
    isAlive: ffmpeg.isAlive,
    decode: async (path) => {
      const [{ samples, isComplete }, ending] = await Promise.all([
        read(),
        ffmpeg.ended(),
        input === "pipe:0" ? feed(ffmpeg.stdin, Bun.file(path).stream()) : undefined,
      ])
      return isComplete ? Either.map(ending, () => samples) : Either.right(samples)
    },
    kill: ffmpeg.kill,
  }
}

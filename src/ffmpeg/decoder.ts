import { Either } from "effect"
import type { Demuxer } from "../audio/container.ts"
import { bytesPerSecond, sampleRate } from "../audio/pcm.ts"
import { type Ending, feed, type StartFfmpeg } from "./sandbox.ts"

/** One ffmpeg, for one recording. */
export interface Decoder {
  readonly isAlive: () => boolean
  /**
   * Once, with the upload's path: its 16 kHz mono 16-bit little-endian samples, of which a second and one chunk at most
   * are past what is allowed. Left where ffmpeg failed.
   */
  readonly decode: (path: string) => Promise<Either.Either<Uint8Array, Ending>>
  /** Resolves when it is gone. */
  readonly kill: () => Promise<void>
}

/**
 * Starts an ffmpeg that decodes the first audio track of `input` (`pipe:0`, where it waits until it is fed, or
 * `file:PATH`). The upload is data, never instructions: the one demuxer is named, and nothing but the input is opened.
 * What is past `maxAudioSeconds` by a second is not decoded.
 */
export const startDecoder = (
  start: StartFfmpeg,
  maxAudioSeconds: number,
  demuxer: Demuxer,
  input: "pipe:0" | `file:${string}`,
): Decoder => {
  // -t counts timestamps, which a file may repeat or skip: they are made anew, from the samples. Where the sampling rate
  // changes in the midst of a file, both begin again: what comes out is counted as well.
  const seconds = maxAudioSeconds + 1
  const mostBytes = seconds * bytesPerSecond
  const ffmpeg = start([
    // Cover art is decoded while the file is probed, whatever is asked of it: 16,000 pixels square take 780 MB.
    ...["-max_pixels", "1000000"],
    // Else one for each core, each of which has memory of its own.
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
      if (bytes <= mostBytes) continue
      // Lest it waits for ever to be read; how it ends means nothing then.
      void ffmpeg.kill()
      break
    }
    return { samples: Buffer.concat(chunks), isWhole: bytes <= mostBytes }
  }

  return {
    isAlive: ffmpeg.isAlive,
    decode: async (path) => {
      const [{ samples, isWhole }, ending] = await Promise.all([
        read(),
        ffmpeg.ended(),
        input === "pipe:0" ? feed(ffmpeg.stdin, Bun.file(path).stream()) : undefined,
      ])
      return isWhole ? Either.map(ending, () => samples) : Either.right(samples)
    },
    kill: ffmpeg.kill,
  }
}

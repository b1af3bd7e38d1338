import { Either, Option } from "effect"
import type { Recording } from "../audio/container.ts"
import { makeMonoMix } from "../audio/mono.ts"
import { sampleRate } from "../audio/pcm.ts"
import type { Demuxer } from "../audio/sniff.ts"
import { parseWav } from "../audio/wav.ts"
import { littleEndian } from "../audio/wav-file.ts"
import { type FfmpegFailure, feed, type StartFfmpeg } from "./sandbox.ts"

/** An ffmpeg process that decodes one recording. */
export interface Decoder {
  readonly isAlive: () => boolean
  /**
   * Call once. Decodes the recording to 16 kHz mono 16-bit little-endian samples: at most one second and one chunk more
   * than the limit.
   */
  readonly decode: (
    recording: Pick<Recording, "path" | "start" | "end" | "wav">,
  ) => Promise<Either.Either<Uint8Array, FfmpegFailure>>
  /** Resolves once the process has exited. */
  readonly kill: () => Promise<void>
}

export interface DecoderOptions {
  readonly maxAudioSeconds: number
  readonly demuxer: Demuxer
  /** With `pipe:0`, the decoder waits for `decode`. */
  readonly input: "pipe:0" | `file:${string}`
  /** Which audio track, from 0. */
  readonly track: number
}

/**
 * Starts an ffmpeg that decodes an audio track of `input`. An upload is data, never instructions: the demuxer is named,
 * and only the input may be opened. Decoding stops one second after `maxAudioSeconds`.
 *
 * ffmpeg keeps the channels, and the mix is made here: ffmpeg's own fails without a known channel layout, and silences
 * channels in opposite phase.
 */
export const startDecoder = (
  start: StartFfmpeg,
  { maxAudioSeconds, demuxer, input, track }: DecoderOptions,
): Decoder => {
  // -t counts timestamps, which a file may repeat or skip, so asetpts numbers them anew. Both restart where the sampling
  // rate changes inside a file, so the output is counted as well.
  const seconds = maxAudioSeconds + 1
  const maxLength = seconds * sampleRate
  const ffmpeg = start([
    // ffmpeg decodes cover art while it probes a file, also if it is not mapped: 16,000 pixels square take 780 MB.
    ...["-max_pixels", "1000000"],
    // By default ffmpeg starts a thread for each core, and each takes memory.
    ...["-threads", "1"],
    ...["-protocol_whitelist", input === "pipe:0" ? "pipe" : "file", "-f", demuxer, "-i", input],
    ...["-map", `0:a:${track}`, "-vn", "-sn", "-dn", "-map_metadata", "-1", "-af", "asetpts=N/SR/TB"],
    ...["-threads", "1", "-t", `${seconds}`],
    // The header of the WAV has the number of channels.
    ...["-ar", `${sampleRate}`, "-c:a", "pcm_s16le", "-f", "wav", "pipe:1"],
  ])

  const read = async () => {
    const mono = makeMonoWav()
    for await (const chunk of ffmpeg.stdout) {
      mono.push(chunk)
      if (mono.length() <= maxLength) continue
      // Otherwise it would block on its output forever. Its exit status does not matter then.
      void ffmpeg.kill()
      break
    }
    return { samples: mono.samples(), isComplete: mono.length() <= maxLength }
  }

  return {
    isAlive: ffmpeg.isAlive,
    decode: async (recording) => {
      const [{ samples, isComplete }, ending] = await Promise.all([
        read(),
        ffmpeg.ended(),
        input === "pipe:0" ? feed(ffmpeg.stdin, bytesOf(recording)) : undefined,
      ])
      return isComplete ? Either.map(ending, () => samples) : Either.right(samples)
    },
    kill: ffmpeg.kill,
  }
}

const bytesOf = ({ path, start, end, wav }: Pick<Recording, "path" | "start" | "end" | "wav">) =>
  Option.match(
    Option.filter(wav, ({ isBigEndian }) => isBigEndian),
    {
      onNone: (): AsyncIterable<Uint8Array> => Bun.file(path).slice(start, end).stream(),
      onSome: (bigEndian) => littleEndian(path, bigEndian, end),
    },
  )

/** Mixes the samples of a WAV that ffmpeg writes to a pipe. Its header may come in pieces. */
const makeMonoWav = () => {
  let mix = makeMonoMix(1)
  let header: Uint8Array | undefined = new Uint8Array(0)
  const push = (chunk: Uint8Array) => {
    if (header === undefined) return mix.push(chunk)
    header = Buffer.concat([header, chunk])
    const parsed = parseWav(header)
    if (Either.isLeft(parsed)) return
    const { channels, dataOffset } = parsed.right
    mix = makeMonoMix(channels)
    mix.push(header.subarray(dataOffset))
    header = undefined
  }
  return { push, length: () => mix.length(), samples: () => mix.samples() }
}

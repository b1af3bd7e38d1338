import type { Either } from "effect"
import type { Mp3Format } from "../audio/mp3-frame.ts"
import type { SpeechInput } from "../audio/speech-input.ts"
import type { FfmpegFailure, StartFfmpeg } from "./sandbox.ts"

/** What a conversion makes: 24 kHz mono 16-bit little-endian samples, or MP3 of one format. */
export type ConvertedFormat = "pcm" | Mp3Format

/** ffmpeg's arguments for an output: no tags and no index frame, because MP3 is joined. */
export const outputArgs = (output: ConvertedFormat): ReadonlyArray<string> => {
  if (output === "pcm") return ["-ac", "1", "-ar", "24000", "-c:a", "pcm_s16le", "-f", "s16le"]
  const { sampleRate, channels } = output
  const encoder = [
    "-c:a",
    "libmp3lame",
    "-b:a",
    `${64 * channels}k`,
    "-write_xing",
    "0",
    "-id3v2_version",
    "0",
  ]
  return ["-ac", `${channels}`, "-ar", `${sampleRate}`, ...encoder, "-f", "mp3"]
}

const inputArgs = (input: SpeechInput): ReadonlyArray<string> => [
  ...["-f", input.demuxer],
  ...("sampleRate" in input ? ["-ar", `${input.sampleRate}`, "-ac", `${input.channels}`] : []),
]

/** An ffmpeg process that converts the speech of one answer. */
export interface Conversion {
  /** Takes the next bytes. A plain function, since it runs once per chunk. */
  readonly write: (chunk: Uint8Array) => void
  /** Call once, after the last `write`. Resolves after the last audio. */
  readonly end: () => Promise<Either.Either<void, FfmpegFailure>>
  /** Resolves once the process has exited. */
  readonly kill: () => Promise<void>
}

export type StartConversion = (
  input: SpeechInput,
  output: ConvertedFormat,
  onAudio: (bytes: Uint8Array) => void,
) => Conversion

/** Starts the conversion when `begin` is called, unless it was killed before. Keeps what is written until then. */
export const startLater = (start: () => Conversion): Conversion & { readonly begin: () => void } => {
  let kept: Array<Uint8Array> = []
  let conversion: Conversion | undefined
  let isKilled = false
  const begun = Promise.withResolvers<Conversion>()
  return {
    begin: () => {
      if (isKilled) return
      conversion = start()
      for (const chunk of kept) conversion.write(chunk)
      kept = []
      begun.resolve(conversion)
    },
    write: (chunk) => {
      if (conversion === undefined) kept.push(chunk)
      else conversion.write(chunk)
    },
    end: async () => (await begun.promise).end(),
    kill: async () => {
      isKilled = true
      await conversion?.kill()
    },
  }
}

/**
 * Converts speech while it arrives: `onAudio` gets the audio as ffmpeg makes it. Like an upload, the input is data: its
 * demuxer is named, and ffmpeg may open the pipe only. Neither side waits for the other, so a conversion holds at most
 * one answer in memory.
 */
export const makeStartConversion =
  (start: StartFfmpeg): StartConversion =>
  (input, output, onAudio) => {
    const ffmpeg = start([
      // Pictures: see `startDecoder`.
      ...["-max_pixels", "1000000", "-threads", "1", "-protocol_whitelist", "pipe"],
      // Otherwise ffmpeg reads up to 5 s of speech before its first output: an analyzeduration of 0 is its default. The
      // flag `nobuffer` would drop the packets that it reads to find the format.
      ...["-probesize", "32", "-analyzeduration", "1", ...inputArgs(input), "-i", "pipe:0"],
      ...["-map", "0:a:0", "-vn", "-sn", "-dn", "-map_metadata", "-1", "-threads", "1"],
      ...[...outputArgs(output), "-flush_packets", "1", "pipe:1"],
    ])
    /** ffmpeg may have ended before its input does: `end` then tells why. */
    const quietly = async (write: () => unknown) => {
      try {
        await write()
      } catch {}
    }
    const read = async () => {
      for await (const bytes of ffmpeg.stdout) onAudio(bytes)
    }
    const ended = Promise.all([ffmpeg.ended(), read()])
    // After a kill nothing awaits it.
    ended.catch(() => undefined)
    return {
      write: (chunk) => {
        quietly(() => ffmpeg.stdin.write(chunk))
        quietly(() => ffmpeg.stdin.flush())
      },
      end: async () => {
        await quietly(() => ffmpeg.stdin.end())
        const [ending] = await ended
        return ending
      },
      kill: ffmpeg.kill,
    }
  }

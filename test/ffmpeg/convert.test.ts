import { describe, expect, test } from "bun:test"
import { Either } from "effect"
import { startConversion } from "../support/conversion.ts"
import { encodings } from "../support/encoded-speech.ts"
import { decode } from "../support/ffmpeg.ts"
import { heardIn } from "../support/listen.ts"
import { readSpeech } from "../support/speech-reader.ts"

const rate = 24_000
/** The tones and their lengths in seconds: a mark at each end. */
const marked = [
  [1000, 0.1],
  [250, 0.8],
  [1500, 0.1],
] as const

const pcm = Buffer.from(
  Int16Array.from(
    marked.flatMap(([hz, seconds]) =>
      Array.from({ length: seconds * rate }, (_, i) => 16_000 * Math.sin((2 * Math.PI * hz * i) / rate)),
    ),
  ).buffer,
)

/** The delay and the padding of an encoder, at both ends of a codec and of an MP3: 170 ms, in samples. */
const codecSlack = 0.17 * rate
/** A codec smears a mark into its neighbour. One packet is at least 20 ms. */
const smearMs = 16

describe.each(["pcm", "mp3"] as const)("to %s", (format) => {
  test.each(encodings.map((each) => [each.name, each] as const))(
    "%s is whole",
    async (_, { type, encode }) => {
      const { bytes, problem } = await readSpeech(format, { type, body: await encode(pcm) })
      expect(problem).toBeUndefined()
      const samples =
        format === "mp3" ? (await decode(bytes)).samples : new Int16Array(Uint8Array.from(bytes).buffer)
      // Of Vorbis, ffmpeg omits the first short block of 256 samples. Resampling drops less than a millisecond.
      expect(samples.length).toBeGreaterThan(rate - 256 - 24)
      expect(samples.length).toBeLessThan(rate + codecSlack)
      const heard = heardIn(samples).filter(({ hz, ms }) => hz !== undefined && ms > smearMs)
      expect(heard.map(({ hz }) => hz)).toEqual(marked.map(([hz]) => hz))
      for (const mark of [heard.at(0), heard.at(-1)]) expect(mark?.ms).toBeGreaterThan(100 - smearMs - 4)
    },
  )
})

test.each([
  ["PCM", { demuxer: "s16le", sampleRate: 16_000, channels: 1 }, 16_000],
  ["µ-law", { demuxer: "mulaw", sampleRate: 8000, channels: 1 }, 4000],
] as const)("%s is converted while it arrives", async (_, input, bytes) => {
  for (const output of ["pcm", { version: "2", sampleRate: rate, channels: 1 }] as const) {
    const first = Promise.withResolvers<void>()
    const conversion = startConversion(input, output, () => first.resolve())
    conversion.write(new Uint8Array(bytes).fill(0x55))
    // Before the end of the input.
    await first.promise
    expect(Either.isRight(await conversion.end())).toBe(true)
    await conversion.kill()
  }
})

import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { makeSpeechJoiner } from "../../src/audio/speech-joiner.ts"
import { decode, ffmpeg, withTempDir } from "../support/ffmpeg.ts"

/** MPEG 1, 2 and 2.5. A frame is 1152 samples in MPEG 1, else 576. */
const rates = [44_100, 24_000, 11_025]
/** In seconds. */
const lengths = [0.05, 0.31, 0.8]

/** Tones as MP3 files, with the tags and the index frame that ffmpeg writes, from one run of it. */
const tones = withTempDir(async (dir) => {
  const files = rates.flatMap((rate) =>
    lengths.map((seconds, input) => ({ rate, input, path: `${dir}/${rate}-${seconds}.mp3` })),
  )
  const inputs = lengths.flatMap((seconds) => ["-f", "lavfi", "-i", `sine=frequency=440:duration=${seconds}`])
  const outputs = files.flatMap(({ rate, input, path }) => [
    "-map",
    `${input}:a`,
    "-ar",
    `${rate}`,
    "-ac",
    "1",
    path,
  ])
  await ffmpeg([...inputs, ...outputs])
  return Promise.all(files.map(({ path }) => Bun.file(path).bytes()))
})

/** Cuts `segment` into chunks of the given sizes, which repeat. */
const chunksOf = (segment: Uint8Array, sizes: ReadonlyArray<number>) => {
  const chunks: Array<Uint8Array> = []
  for (let at = 0, n = 0; at < segment.length; n++) {
    const size = sizes[n % sizes.length] ?? 1
    chunks.push(segment.subarray(at, at + size))
    at += size
  }
  return chunks
}

const joinAll = (
  format: "mp3" | "pcm",
  segments: ReadonlyArray<Uint8Array>,
  sizes: ReadonlyArray<number>,
) => {
  const joiner = makeSpeechJoiner(format)
  const joined = segments.flatMap((segment) => [
    ...chunksOf(segment, sizes).map(joiner.push),
    joiner.endSegment(),
  ])
  return {
    bytes: Buffer.concat(joined.map(({ bytes }) => bytes)),
    ms: joined.reduce((sum, { ms }) => sum + ms, 0),
  }
}

const chunkSizes = FastCheck.array(FastCheck.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 9 })

describe("ms of an MP3 is its decoded length", () => {
  test.each(rates.map((rate, at) => [rate, at * lengths.length] as const))("%d Hz", async (rate, from) => {
    const its = (await tones).slice(from, from + lengths.length)
    const segments = FastCheck.array(FastCheck.constantFrom(...its), { minLength: 1, maxLength: 5 })
    await FastCheck.assert(
      FastCheck.asyncProperty(segments, chunkSizes, async (segments, sizes) => {
        const { bytes, ms } = joinAll("mp3", segments, sizes)
        const { samples } = await decode(bytes, { rate })
        const frameMs = ((rate > 32_000 ? 1152 : 576) * 1000) / rate
        expect(Math.abs((samples.length * 1000) / rate - ms)).toBeLessThan(frameMs)
      }),
      { numRuns: 8 },
    )
  })
})

describe("PCM", () => {
  test("every chunk is whole samples, and ms is their length at 24 kHz", () => {
    const segments = FastCheck.array(FastCheck.uint8Array({ maxLength: 9000 }), { maxLength: 5 })
    FastCheck.assert(
      FastCheck.property(segments, chunkSizes, (segments, sizes) => {
        const whole = segments.map((segment) => segment.subarray(0, segment.length - (segment.length % 2)))
        const { bytes, ms } = joinAll("pcm", segments, sizes)
        expect(bytes.equals(Buffer.concat(whole))).toBe(true)
        expect(ms).toBeCloseTo(bytes.length / 2 / 24, 6)
      }),
    )
  })

  test("half a sample at the end of a segment is dropped", () => {
    const { push, endSegment } = makeSpeechJoiner("pcm")
    expect(push(Uint8Array.of(1, 2, 3)).bytes).toEqual(Uint8Array.of(1, 2))
    expect(endSegment()).toEqual({ bytes: new Uint8Array(0), ms: 0 })
    expect(push(Uint8Array.of(4, 5)).bytes).toEqual(Uint8Array.of(4, 5))
  })

  test("a chunk may be reused once it is pushed", () => {
    const { push } = makeSpeechJoiner("pcm")
    const chunk = Buffer.of(1)
    push(chunk)
    chunk[0] = 9
    expect([...push(Uint8Array.of(2)).bytes]).toEqual([1, 2])
  })
})

import { describe, expect, test } from "bun:test"
import { Either, FastCheck } from "effect"
import {
  parseWav,
  trailingChunksAt,
  WAV_HEADER_BYTES,
  type WavProblem,
  wavHeader,
} from "../../src/audio/wav.ts"
import { decode, ffmpeg, ffmpegToFile } from "../support/ffmpeg.ts"
import { tone, wavOf } from "../support/wav.ts"

const SPEECH = { sampleRate: 24_000, channels: 1, bitsPerSample: 16 } as const
const SAMPLES = 1600
const signal = tone(0.1)

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)
const bytes = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat([...parts])
const uint32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
const chunk = (id: string, body: Uint8Array): Uint8Array => bytes(ascii(id), uint32(body.length), body)
const riff = (...chunks: ReadonlyArray<Uint8Array>): Uint8Array =>
  bytes(ascii("RIFF"), uint32(0), ascii("WAVE"), ...chunks)
const pcm16 = wavOf(signal).subarray(12, 36)

describe("wavHeader", () => {
  test("with a known length is what parseWav reads", () => {
    const header = wavHeader({ ...SPEECH, dataBytes: 9600 })
    expect(header).toHaveLength(WAV_HEADER_BYTES)
    expect(parseWav(header, WAV_HEADER_BYTES + 9600)).toEqual(
      Either.right({
        ...SPEECH,
        formatTag: 1,
        dataOffset: 44,
        dataBytes: 9600,
        blockAlign: 2,
        hasSize: true,
        isBigEndian: false,
      }),
    )
    expect(new DataView(header.buffer).getUint32(4, true)).toBe(36 + 9600)
  })

  test("without a length, or past 4 GiB, says unknown", () => {
    for (const header of [wavHeader(SPEECH), wavHeader({ ...SPEECH, dataBytes: 2 ** 32 })]) {
      const view = new DataView(header.buffer)
      expect([view.getUint32(4, true), view.getUint32(40, true)]).toEqual([0xffffffff, 0xffffffff])
    }
  })

  test("for stereo and other depths has the right block and byte rate", () => {
    const view = new DataView(wavHeader({ sampleRate: 44_100, channels: 2, bitsPerSample: 24 }).buffer)
    expect([view.getUint32(28, true), view.getUint16(32, true)]).toEqual([264_600, 6])
  })

  test("is decoded by ffmpeg from a pipe, to every sample", async () => {
    const samples = new Uint8Array(48_000)
    for (const header of [wavHeader(SPEECH), wavHeader({ ...SPEECH, dataBytes: samples.length })]) {
      const decoded = await decode(bytes(header, samples))
      expect(decoded.exitCode).toBe(0)
      expect(decoded.samples).toHaveLength(24_000)
    }
  })
})

describe("parseWav reads", () => {
  const cases: ReadonlyArray<readonly [string, Uint8Array, number, number]> = [
    ["a bare header", wavOf(signal), 44, 2 * SAMPLES],
    ["sizes left at 0xffffffff", wavOf(signal, { sizes: "unknown" }), 44, 2 * SAMPLES],
    ["sizes left at 0", wavOf(signal, { sizes: "zero" }), 44, 2 * SAMPLES],
    ["a size larger than the file", wavOf(signal, { sizes: { data: 1e6 } }), 44, 2 * SAMPLES],
    [
      "LIST before the samples",
      wavOf(signal, { before: [{ id: "LIST", bytes: new Uint8Array(26) }] }),
      78,
      2 * SAMPLES,
    ],
    [
      "an odd chunk and its pad byte",
      wavOf(signal, { before: [{ id: "junk", bytes: new Uint8Array(33) }] }),
      86,
      2 * SAMPLES,
    ],
    [
      "an odd chunk without its pad byte",
      riff(pcm16, ascii("junk"), uint32(33), new Uint8Array(33), chunk("data", new Uint8Array(2 * SAMPLES))),
      85,
      2 * SAMPLES,
    ],
    ["24 bits, extensible", wavOf(signal, { encoding: "s24", extensible: true }), 68, 3 * SAMPLES],
    ["chunks after the samples", bytes(wavOf(signal), chunk("LIST", new Uint8Array(10))), 44, 2 * SAMPLES],
    [
      "half a block at the end",
      bytes(wavOf(signal, { sizes: "unknown" }), Uint8Array.of(1)),
      44,
      2 * SAMPLES,
    ],
    [
      "empty chunks before the samples",
      riff(
        pcm16,
        ...Array<Uint8Array>(1000).fill(chunk("data", new Uint8Array(0))),
        chunk("data", new Uint8Array(2 * SAMPLES)),
      ),
      8044,
      2 * SAMPLES,
    ],
    [
      "an empty chunk, and no other",
      riff(pcm16, chunk("data", new Uint8Array(0)), new Uint8Array(2 * SAMPLES)),
      44,
      2 * SAMPLES,
    ],
    ["no samples", wavOf(tone(0)), 44, 0],
  ]
  for (const [name, file, dataOffset, dataBytes] of cases) {
    test(name, () =>
      expect(Either.getOrThrow(parseWav(file))).toMatchObject({
        dataOffset,
        dataBytes,
        sampleRate: 16_000,
        channels: 1,
      }),
    )
  }

  test("the sub-format of an extensible header, or the tag itself if that is unknown", () => {
    const file = wavOf(signal, { encoding: "f32", extensible: true })
    expect(Either.getOrThrow(parseWav(file))).toMatchObject({ formatTag: 3, bitsPerSample: 32 })
    const unknown = Uint8Array.from(file)
    unknown.fill(7, 48, 60)
    expect(Either.getOrThrow(parseWav(unknown)).formatTag).toBe(0xfffe)
  })

  test("the start of a file, with the size of the file", () => {
    const file = wavOf(signal)
    expect(Either.getOrThrow(parseWav(file.subarray(0, 44), file.length)).dataBytes).toBe(2 * SAMPLES)
  })

  test("a view into a larger buffer", () => {
    const file = bytes(new Uint8Array(7), wavOf(signal)).subarray(7)
    expect(Either.getOrThrow(parseWav(file)).dataBytes).toBe(2 * SAMPLES)
  })

  test("what ffmpeg writes, to a file and to a pipe", async () => {
    const signal = ["-f", "lavfi", "-i", "sine=duration=0.5:sample_rate=16000"]
    // With a title, which it writes before the samples.
    const make = [...signal, "-metadata", "title=a", "-c:a", "pcm_s16le"]
    const saved = await ffmpegToFile(make, "a.wav")
    const piped = await ffmpeg([...make, "-f", "wav", "pipe:1"])
    for (const file of [saved, piped]) {
      expect(Either.getOrThrow(parseWav(file))).toEqual({
        formatTag: 1,
        sampleRate: 16_000,
        channels: 1,
        bitsPerSample: 16,
        dataOffset: 66,
        dataBytes: 16_000,
        blockAlign: 2,
        hasSize: file === saved,
        isBigEndian: false,
      })
    }
  })
})

describe("chunks at the end", () => {
  const samples = wavOf(tone(1)).subarray(44)
  const list = chunk("LIST", ascii("INFOISFTsome text"))
  const atEnd: ReadonlyArray<readonly [string, Uint8Array, number | undefined]> = [
    ["none", samples, undefined],
    ["one", bytes(samples, chunk("LIST", new Uint8Array(100))), samples.length],
    ["one of odd size with its pad byte", bytes(samples, list, Uint8Array.of(0)), samples.length],
    ["one of odd size without its pad byte", bytes(samples, list), samples.length],
    [
      "two",
      bytes(samples, chunk("cue ", new Uint8Array(28)), chunk("id3 ", new Uint8Array(64))),
      samples.length,
    ],
    ["nothing but chunks", chunk("LIST", new Uint8Array(4160)), 0],
    ["samples", bytes(samples, chunk("data", new Uint8Array(100))), undefined],
    ["a size that does not fit", bytes(samples, ascii("LIST"), uint32(999), new Uint8Array(100)), undefined],
    ["an id that is not text", bytes(samples, chunk("L\0ST", new Uint8Array(100))), undefined],
    ["nothing", new Uint8Array(0), undefined],
  ]
  test.each(atEnd)("%s", (_, tail, expected) => {
    expect(trailingChunksAt(tail)).toBe(expected)
  })
})

describe("parseWav refuses", () => {
  const cases: ReadonlyArray<readonly [string, Uint8Array, WavProblem]> = [
    ["nothing", new Uint8Array(0), "truncated"],
    ["HTML", ascii("<!doctype html><html>"), "not-wav"],
    ["few bytes of something else", ascii("OggS"), "not-wav"],
    ["another RIFF", bytes(ascii("RIFF"), uint32(100), ascii("AVI LIST")), "not-wav"],
    ["RF64", bytes(ascii("RF64"), uint32(0xffffffff), ascii("WAVEds64")), "rf64"],
    ["BW64", bytes(ascii("BW64"), uint32(0xffffffff), ascii("WAVEds64")), "rf64"],
    ["RIFF big-endian without chunks", bytes(ascii("RIFX"), uint32(0), ascii("WAVE")), "truncated"],
    ["a start only", wavOf(signal).subarray(0, 9), "truncated"],
    ["half a format", wavOf(signal).subarray(0, 30), "truncated"],
    ["no samples' chunk", riff(pcm16), "truncated"],
    ["a chunk that claims all there is", riff(bytes(ascii("LIST"), uint32(0xffffffff))), "truncated"],
    ["samples before the format", riff(chunk("data", new Uint8Array(8)), pcm16), "no-format"],
    [
      "a format too short",
      riff(chunk("fmt ", new Uint8Array(14)), chunk("data", new Uint8Array(8))),
      "bad-format",
    ],
    [
      "a format of zeros",
      riff(chunk("fmt ", new Uint8Array(16)), chunk("data", new Uint8Array(8))),
      "bad-format",
    ],
  ]
  for (const [name, file, problem] of cases) {
    test(name, () => expect(parseWav(file)).toEqual(Either.left(problem)))
  }
})

test("parseWav ends, and stays in bounds, for any bytes", () => {
  const part = FastCheck.oneof(
    FastCheck.uint8Array({ maxLength: 40 }),
    FastCheck.constantFrom("RIFF", "WAVE", "fmt ", "data", "LIST", "JUNK").map(ascii),
    FastCheck.constantFrom(0, 1, 7, 16, 0xfffffff8, 0xffffffff).map(uint32),
    FastCheck.constant(pcm16),
  )
  const file = FastCheck.tuple(FastCheck.boolean(), FastCheck.array(part)).map(([isRiff, parts]) =>
    isRiff ? riff(...parts) : bytes(...parts),
  )
  FastCheck.assert(
    FastCheck.property(file, FastCheck.option(FastCheck.nat()), (data, size) => {
      const fileBytes = Math.max(data.length, size ?? 0)
      const parsed = parseWav(data, fileBytes)
      if (Either.isLeft(parsed)) return
      expect(parsed.right.dataOffset).toBeLessThanOrEqual(data.length)
      expect(parsed.right.dataOffset + parsed.right.dataBytes).toBeLessThanOrEqual(fileBytes)
      expect(parsed.right.dataBytes).toBeGreaterThanOrEqual(0)
    }),
    { numRuns: 2000 },
  )
})

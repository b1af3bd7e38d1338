import { describe, expect, test } from "bun:test"
import { chromiumWebm, recordings, webmOpus } from "./audio.ts"
import * as hostile from "./audio-hostile.ts"
import { decode, probe } from "./ffmpeg.ts"
import { heardIn, tonesIn } from "./listen.ts"
import { silence, tone } from "./wav.ts"

describe("recordings match their names", () => {
  test.each(Object.entries(recordings))("%s", async (_name, { make, format, codec, seconds }) => {
    const bytes = await make()
    const [found, sound] = await Promise.all([probe(bytes), decode(bytes, { rate: 16_000, from: "file" })])
    expect(found?.format).toBe(format)
    expect(found?.streams.find(({ kind }) => kind === "audio")?.codec).toBe(codec)
    expect(sound.exitCode).toBe(0)
    expect(Math.abs(sound.samples.length / 16_000 - seconds)).toBeLessThan(0.1)
    expect(loudest(sound.samples)).toBeGreaterThan(3000)
  })

  test("MediaRecorder's WebM has no duration and no cluster sizes", async () => {
    for (const make of [webmOpus, chromiumWebm]) {
      const bytes = Buffer.from(await make())
      expect((await probe(bytes))?.duration).toBeUndefined()
      expect(bytes.includes(Buffer.from("1f43b67501ffffffffffffff", "hex"))).toBeTrue()
    }
  })

  test("the index of M4A and MP4 is at the end", async () => {
    const order = async (make: () => Promise<Uint8Array>) => {
      const bytes = Buffer.from(await make())
      return ["moov", "mdat", "moof"]
        .filter((box) => bytes.includes(box))
        .sort((a, b) => bytes.indexOf(a) - bytes.indexOf(b))
    }
    expect(await order(recordings.m4a.make)).toEqual(["mdat", "moov"])
    expect(await order(recordings.m4aFaststart.make)).toEqual(["moov", "mdat"])
    expect(await order(recordings.mp4Fragmented.make)).toEqual(["moov", "moof", "mdat"])
    expect(await order(recordings.chromiumMp4.make)).toEqual(["moov", "moof", "mdat"])
  })

  test("a longer M4A cannot be read from a pipe", async () => {
    const bytes = await recordings.m4aLonger.make()
    expect((await decode(bytes, { from: "pipe" })).samples).toHaveLength(0)
  })

  test("covers and videos have a second stream", async () => {
    const kinds = async (make: () => Promise<Uint8Array>) =>
      (await probe(await make()))?.streams.map(({ kind }) => kind).sort()
    expect(await kinds(recordings.mp3WithCover.make)).toEqual(["audio", "video"])
    expect(await kinds(recordings.mp4WithVideo.make)).toEqual(["audio", "video"])
  })

  test("a second call returns the same files", async () => {
    expect(await recordings.flac.make()).toBe(await recordings.flac.make())
  })
})

describe("hostile files", () => {
  const { empty, oneByte, text, json, html, ...media } = hostile.notAudio
  test.each(Object.entries(media))("%s has no decodable audio", async (_name, make) => {
    const bytes = await make()
    const { samples } = await decode(bytes, { inputArgs: ["-protocol_whitelist", "pipe"] })
    expect(samples).toHaveLength(0)
  })

  test("40 minutes are a small file; WebM has no duration", async () => {
    const flac = await hostile.flacOf40Minutes()
    expect(flac.length).toBeLessThan(1024 ** 2)
    expect((await probe(flac))?.duration).toBe(2400)
    const webm = await hostile.webmOf6Minutes()
    expect((await probe(webm))?.duration).toBeUndefined()
    expect((await decode(webm, { rate: 16_000 })).samples.length / 16_000).toBeCloseTo(360, 0)
  })

  test("26 MB of WAV are shorter than 300 s", async () => {
    const bytes = hostile.wavOfSize()
    expect(bytes).toHaveLength(26 * 1024 ** 2)
    expect((await probe(bytes))?.duration).toBeCloseTo(142, 0)
  })

  test("a WAV with a wrong size decodes to the smaller size", async () => {
    const seconds = async (bytes: Uint8Array) =>
      (await decode(bytes, { rate: 16_000 })).samples.length / 16_000
    expect(await seconds(hostile.wavClaimingMore())).toBe(2)
    expect(await seconds(hostile.wavClaimingLess())).toBe(1)
    expect(await seconds(hostile.oddlyAligned(hostile.wavClaimingLess()))).toBe(1)
    expect(hostile.oddlyAligned(new Uint8Array(4)).byteOffset % 2).toBe(1)
  })

  test.each(["wav16k", "mp3", "webmOpus", "oggVorbis", "flac", "mp4Fragmented"] as const)(
    "three quarters of %s can be decoded",
    async (name) => {
      const { samples } = await decode(hostile.truncated(await recordings[name].make(), 0.75))
      expect(samples.length).toBeGreaterThan(24_000)
    },
  )

  test("an M4A without its index cannot be decoded", async () => {
    const { samples } = await decode(hostile.truncated(await recordings.m4a.make(), 0.75))
    expect(samples).toHaveLength(0)
  })
})

test("tones and the gap between them are detected", () => {
  const parts = [
    tone(0.2, 250, 24_000),
    silence(0.1, 24_000),
    tone(0.2, 1625, 24_000),
    tone(0.1, 375, 24_000),
  ]
  const samples = Int16Array.from(parts.flatMap((part) => [...part]).map((sample) => sample * 32_767))
  expect(tonesIn(samples)).toEqual([250, 1625, 375])
  const heard = heardIn(samples)
  expect(heard.map(({ hz }) => hz)).toEqual([250, undefined, 1625, 375])
  for (const [index, ms] of [200, 100, 200, 100].entries()) {
    expect(Math.abs((heard[index]?.ms ?? 0) - ms)).toBeLessThan(20)
  }
})

const loudest = (samples: Int16Array) => samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0)

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { ffmpeg, ffmpegToFile } from "../support/ffmpeg.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { silence, tone, wavOf } from "../support/wav.ts"

/** What the recognizer receives: a tone of 1 kHz at -9 dBFS, of 2 s, however it was recorded. */
let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const send = (bytes: Uint8Array) => service.converse(key, new Blob([bytes]), { accept: "application/json" })

/** The length in seconds, the level in dBFS and the frequency of what the recognizer got last. */
const heard = () => {
  const file = service.upstream.calls("stt").at(-1)?.request.file.bytes ?? new Uint8Array()
  const samples = new Int16Array(file.slice(44).buffer)
  const energy = samples.reduce((sum, sample) => sum + sample ** 2, 0) / samples.length
  const rises = samples.filter((sample, n) => sample >= 0 && (samples[n - 1] ?? 0) < 0).length
  const seconds = samples.length / 16_000
  return { seconds, dbfs: 10 * Math.log10(energy / 32_768 ** 2), hz: rises / seconds }
}

const second = 16_000
const mono = wavOf(tone(2, 1000))
const samples = mono.subarray(44)

/** Channels of 16-bit samples at 16 kHz, each with a share of the tone. */
const channelsOf = (shares: ReadonlyArray<number>, mask?: number) => {
  const data = Buffer.alloc(2 * 2 * second * shares.length)
  for (const [n, sample] of tone(2, 1000).entries()) {
    for (const [c, share] of shares.entries()) {
      data.writeInt16LE(Math.round(sample * share * 32_767), 2 * (n * shares.length + c))
    }
  }
  const file = Buffer.from(wavOf(silence(0), { extensible: mask !== undefined, sizes: "unknown" }))
  const format = 20
  file.writeUInt16LE(shares.length, format + 2)
  file.writeUInt32LE(2 * second * shares.length, format + 8)
  file.writeUInt16LE(2 * shares.length, format + 12)
  if (mask !== undefined) file.writeUInt32LE(mask >>> 0, format + 20)
  return Buffer.concat([file, data])
}
const alone = (channel: number, channels: number) =>
  Array.from({ length: channels }, (_, at) => (at === channel ? 1 : 0))
const alternating = (channels: number) => Array.from({ length: channels }, (_, at) => (at % 2 === 0 ? 1 : -1))
const equal = (channels: number) => Array<number>(channels).fill(1)

const encoded = (shares: ReadonlyArray<number>, name: string, ...args: ReadonlyArray<string>) =>
  ffmpegToFile(["-i", "pipe:0", ...args], name, channelsOf(shares))
const ofChannels = (shares: ReadonlyArray<number>, mask?: number) => () =>
  Promise.resolve(channelsOf(shares, mask))

const chunk = (id: string, content: Uint8Array, size = content.length) => {
  const header = Buffer.from(`${id}\0\0\0\0`, "latin1")
  header.writeUInt32LE(size, 4)
  return Buffer.concat([header, content])
}
const list = chunk("LIST", Buffer.alloc(4160, "INFO"))
const id3 = (size: number) =>
  Buffer.concat([
    Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, (size >> 14) & 127, (size >> 7) & 127, size & 127]),
    Buffer.alloc(size, "A"),
  ])
const mp3 = ffmpeg(["-i", "pipe:0", "-b:a", "96k", "-id3v2_version", "0", "-f", "mp3", "pipe:1"], mono)
const rf64 = ffmpegToFile(["-i", "pipe:0", "-rf64", "always"], "a.wav", mono)
const behind =
  (...before: ReadonlyArray<Uint8Array>) =>
  async () =>
    Buffer.concat([...before, await mp3])

/** Big-endian, of one channel at 44.1 kHz. */
const rifx = (bits: 16 | 24 | 32 | 64, tag = 1) => {
  const rate = 44_100
  const data = Buffer.alloc(2 * rate * (bits / 8))
  for (const [n, sample] of tone(2, 1000, rate).entries()) {
    if (tag === 3 && bits === 32) data.writeFloatBE(sample, 4 * n)
    else if (tag === 3 && bits === 64) data.writeDoubleBE(sample, 8 * n)
    else if (bits < 64) data.writeIntBE(Math.round(sample * (2 ** (bits - 1) - 1)), (n * bits) / 8, bits / 8)
  }
  const head = Buffer.alloc(44)
  head.write("RIFX....WAVEfmt ....", "latin1")
  head.writeUInt32BE(36 + data.length, 4)
  head.writeUInt32BE(16, 16)
  head.writeUInt16BE(tag, 20)
  head.writeUInt16BE(1, 22)
  head.writeUInt32BE(rate, 24)
  head.writeUInt32BE((rate * bits) / 8, 28)
  head.writeUInt16BE(bits / 8, 32)
  head.writeUInt16BE(bits, 34)
  head.write("data", 36)
  head.writeUInt32BE(data.length, 40)
  return Buffer.concat([head, data])
}

/** Two audio tracks, of which ffmpeg knows only the codec of the second, 1 kHz. */
const twoTracks = async (
  name: string,
  rename: ReadonlyArray<readonly [string, string]>,
  ...args: ReadonlyArray<string>
) => {
  const other = ["-f", "lavfi", "-i", "sine=f=300:d=2:r=16000"]
  const file = Buffer.from(
    await ffmpegToFile([...other, "-i", "pipe:0", "-map", "0", "-map", "1", ...args], name, mono),
  )
  for (const [from, to] of rename) file.write(to, file.indexOf(from), "latin1")
  return file
}
const mp4Names = [
  ["mp4a", "apac"],
  ["esds", "free"],
] as const

describe("channels", () => {
  test.each([
    ["two equal", ofChannels(equal(2))],
    ["two in opposite phase", ofChannels([1, -1])],
    ["two in opposite phase, one weaker", ofChannels([-0.6, 1])],
    ["one silent of two", ofChannels([0, 1])],
    ["MP3 in opposite phase", () => encoded([1, -1], "a.mp3", "-b:a", "128k")],
    ["WebM in opposite phase", () => encoded([1, -1], "a.webm", "-c:a", "libopus")],
    ["M4A in opposite phase", () => encoded([1, -1], "a.m4a", "-c:a", "aac", "-b:a", "128k")],
    ["FLAC of 8, the last", () => encoded(alone(7, 8), "a.flac", "-c:a", "flac")],
    ["AAC of 5.1, the centre", () => encoded(alone(2, 6), "a.m4a", "-c:a", "aac", "-b:a", "300k")],
    ...[3, 9, 10, 12, 16, 60, 64].flatMap((channels) => [
      [`${channels} equal`, ofChannels(equal(channels))] as const,
      [`${channels} in alternating phase`, ofChannels(alternating(channels))] as const,
      [`the last of ${channels}`, ofChannels(alone(channels - 1, channels))] as const,
    ]),
    ["of no mask", ofChannels([1, 1], 0)],
    ["of an odd mask", ofChannels([1, 1], 0x8000_0001)],
    ["of a mask of fewer", ofChannels(equal(6), 0x4)],
    ["of a mask of more", ofChannels([1, 0], 0x3_ffff)],
  ] as const)("%s", async (_, make) => {
    expect((await send(await make())).status).toBe(200)
    const { seconds, dbfs, hz } = heard()
    expect(seconds).toBeCloseTo(2, 1)
    expect(Math.abs(dbfs + 9)).toBeLessThan(1)
    expect(Math.abs(hz - 1000)).toBeLessThan(20)
  })

  test("a quiet voice beside a silent channel is above the gate", async () => {
    expect((await send(channelsOf([0, 0.004]))).status).toBe(200)
    expect(heard().dbfs).toBeGreaterThan(-58)
  })
})

describe("all of it, and nothing else:", () => {
  test.each([
    [
      "two chunks of samples",
      async () =>
        Buffer.concat([
          mono.subarray(0, 36),
          chunk("data", samples.subarray(0, 32_000)),
          list,
          chunk("data", samples.subarray(32_000)),
        ]),
    ],
    [
      "a size of 0 and a chunk behind",
      async () => Buffer.concat([wavOf(tone(2, 1000), { sizes: "zero" }), list]),
    ],
    [
      "stereo with a size of 0 and a chunk behind",
      async () => Buffer.concat([wavOf(tone(2, 1000), { channels: 2, sizes: "zero" }), list]),
    ],
    [
      "an odd chunk without its pad byte",
      async () => Buffer.concat([mono.subarray(0, 36), chunk("junk", Buffer.alloc(33)), mono.subarray(36)]),
    ],
    ["RF64", () => rf64],
    ["BW64", async () => Buffer.concat([Buffer.from("BW64"), (await rf64).subarray(4)])],
    ["RIFX", async () => rifx(16)],
    ["RIFX of 24 bits", async () => rifx(24)],
    ["RIFX of floats", async () => rifx(32, 3)],
    ["RIFX of long floats", async () => rifx(64, 3)],
    ["RIFX with a chunk behind", async () => Buffer.concat([rifx(16), Buffer.from("LIST\0\0\0\x04INFO")])],
    ["a WAV behind an ID3 tag", async () => Buffer.concat([id3(300), mono])],
    ["a stereo WAV behind an ID3 tag", async () => Buffer.concat([id3(300), channelsOf([1, 1])])],
    ["an MP3 behind two ID3 tags", behind(id3(300), id3(1_500_000))],
    ["a WAV behind 7 zeros", async () => Buffer.concat([Buffer.alloc(7), mono])],
    ["a WAV behind a byte order mark", async () => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), mono])],
    ["an MP3 behind 10 MB of zeros", behind(Buffer.alloc(10_000_000))],
    ["an MP3 behind 150 ID3 tags", behind(...Array<Buffer>(150).fill(id3(10)))],
    ["an MP3 behind 10 KB of zeros", behind(Buffer.alloc(10_240))],
    ["an MP3 behind a tag and 100 KB of zeros", behind(id3(300), Buffer.alloc(102_400))],
    ["an MP3 behind a tag that is longer than it says", behind(id3(300), Buffer.alloc(9000, "J"))],
    ["an MP4's second track", () => twoTracks("a.mp4", mp4Names, "-c:a", "aac", "-b:a", "96k")],
    [
      "a streamable MP4's second track",
      () => twoTracks("a.mp4", mp4Names, "-c:a", "aac", "-b:a", "96k", "-movflags", "+faststart"),
    ],
    ["a Matroska's second track", () => twoTracks("a.mka", [["A_FLAC", "A_ZZZZ"]], "-c:a", "flac")],
  ] as const)("%s", async (_, make) => {
    expect((await send(await make())).status).toBe(200)
    const { seconds, dbfs, hz } = heard()
    // An MP3 without an Info frame has its encoder's delay and padding.
    expect(Math.abs(seconds - 2)).toBeLessThan(0.1)
    expect(Math.abs(dbfs + 9)).toBeLessThan(1)
    expect(Math.abs(hz - 1000)).toBeLessThan(40)
  })
})

test("a RIFX of floats of 16 bits is refused", async () => {
  expect(await (await send(rifx(16, 3))).json()).toMatchObject({ error: "INVALID_AUDIO" })
})

describe("an audio track is", () => {
  test("the first, where it can be decoded", async () => {
    const file = await twoTracks("a.mp4", [], "-c:a", "aac")
    expect((await send(file)).status).toBe(200)
    expect(Math.abs(heard().hz - 300)).toBeLessThan(10)
    expect(service.ffmpegs()).toHaveLength(1)
  })

  test("none of three", async () => {
    const file = Buffer.from(await twoTracks("a.mka", [], "-map", "1", "-c:a", "flac"))
    for (let at = file.indexOf("A_FLAC"); at >= 0; at = file.indexOf("A_FLAC")) file.write("A_ZZZZ", at)
    expect(await (await send(file)).json()).toMatchObject({ error: "INVALID_AUDIO" })
    expect(service.ffmpegs()).toHaveLength(3)
  })

  const one = (name: string, ...args: ReadonlyArray<string>) =>
    ffmpegToFile(["-i", "pipe:0", ...args], name, mono)
  const cut = (file: Uint8Array) => file.subarray(0, Math.floor(file.length / 2))
  const picture = ["-f", "lavfi", "-i", "color=s=64x64:d=1", "-map", "1"]
  test.each([
    ["an MP4 without its index", async () => cut(await one("a.mp4", "-c:a", "aac")), 1],
    [
      "a streamable MP4 without most of it",
      async () => (await one("a.mp4", "-movflags", "+faststart")).subarray(0, 300),
      1,
    ],
    ["a WebM without most of it", async () => (await one("a.webm", "-c:a", "libopus")).subarray(0, 40), 1],
    ["an MP4 without sound", () => one("a.mp4", ...picture, "-c:v", "mpeg4"), 1],
    ["a Matroska without sound", () => one("a.mkv", ...picture, "-c:v", "mpeg4"), 1],
    [
      "a Matroska with one unknown track",
      async () => {
        const file = Buffer.from(await one("a.mka", "-c:a", "flac"))
        file.write("A_ZZZZ", file.indexOf("A_FLAC"))
        return file
      },
      2,
    ],
  ])("not looked for in vain: %s", async (_, make, starts) => {
    expect(await (await send(await make())).json()).toMatchObject({ error: "INVALID_AUDIO" })
    expect(service.ffmpegs()).toHaveLength(starts)
  })
})

describe("too short", () => {
  const cut = (length: number, rate: number, channels: number) =>
    wavOf(tone(1, 1000, rate).subarray(0, length), { rate, channels })

  test.each([
    ["1599 samples", 1599, 16_000, 1],
    ["one sample", 1, 16_000, 1],
    ["0.05 s of 44.1 kHz stereo", 2205, 44_100, 2],
  ])("%s", async (_, length, rate, channels) => {
    const answer = await send(cut(length, rate, channels))
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({
      error: "INVALID_AUDIO",
      message: "The recording is shorter than 0.1 seconds. Send a longer recording.",
    })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test.each([8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])(
    "0.1 s of %d Hz is not",
    async (rate) => {
      expect((await send(cut(Math.ceil(rate / 10), rate, 2))).status).toBe(200)
      expect(heard().seconds).toBeGreaterThanOrEqual(0.1)
    },
  )
})

describe("silence is", () => {
  const offset = new Float32Array(32_000).fill(0.05)

  test.each([
    ["an offset", wavOf(offset)],
    ["an offset at 44.1 kHz in stereo", wavOf(offset, { rate: 44_100, channels: 2 })],
    ["a click", wavOf(silence(2).fill(1, 1000, 1002))],
  ])("%s", async (_, file) => {
    const answer = await send(file)
    expect(await answer.json()).toMatchObject({ error: "NO_SPEECH_DETECTED" })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test.each(["[BLANK_AUDIO]", "(silence)", "...", "♪♪"])("the transcript %p", async (text) => {
    service.upstream.default("stt", { raw: { body: JSON.stringify({ text }) } })
    expect(await (await send(mono)).json()).toMatchObject({ error: "NO_SPEECH_DETECTED" })
    expect(service.upstream.calls("llm")).toEqual([])
  })
})

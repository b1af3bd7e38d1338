import { describe, expect, test } from "bun:test"
import { FastCheck } from "effect"
import { makeMp3Joiner } from "../../src/audio/mp3.ts"
import { frameAt, isIndexFrame, type Mp3Format, tagAt } from "../../src/audio/mp3-frame.ts"
import type { SpeechJoiner } from "../../src/audio/speech-joiner.ts"
import { decode, ffmpeg, ffmpegToFile, withTempDir } from "../support/ffmpeg.ts"

/** The most silence that a seam may add, in ms, and the level below which a sample is silent. */
const SEAM_MS_MAX = 150
const SILENT = 0.002 * 32768

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)
const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => new Uint8Array(Buffer.concat([...parts]))
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer))

/** A tone as an MP3 file with all that LAME and ffmpeg add: ID3v2, an Info frame, ID3v1. */
const tone = (hz: number, seconds: number, ...encoder: ReadonlyArray<string>): Promise<Uint8Array> =>
  ffmpegToFile(
    ["-f", "lavfi", "-i", `sine=frequency=${hz}:duration=${seconds}`, "-write_id3v1", "1", ...encoder],
    "tone.mp3",
  )

const speech = (hz: number, seconds: number) => tone(hz, seconds, "-ar", "24000", "-ac", "1", "-b:a", "160k")
const fixtures = Promise.all([speech(440, 0.7), speech(880, 0.5), speech(330, 1.1)])

const join = (joiner: SpeechJoiner, segments: ReadonlyArray<Uint8Array>) => {
  const parts = segments.flatMap((segment) => [joiner.push(segment), joiner.endSegment()])
  return {
    joined: concat(...parts.map(({ bytes }) => bytes)),
    ms: parts.reduce((sum, { ms }) => sum + ms, 0),
  }
}

const joinAll = (...segments: ReadonlyArray<Uint8Array>) => join(makeMp3Joiner(), segments)

/** How many frames have side information of zeros: those that the joiner silenced. */
const silencedIn = (joined: Uint8Array) =>
  layout(joined).frames.filter((at) => {
    const frame = frameAt(joined, at)
    const sideInfo =
      frame && joined.subarray(at + frame.sideInfoAt, at + frame.sideInfoAt + frame.sideInfoBytes)
    return sideInfo?.every((byte) => byte === 0)
  }).length

/** The offsets of the frames of a file, and the number of tags and index frames. */
const layout = (file: Uint8Array) => {
  const frames: Array<number> = []
  let extras = 0
  for (let at = 0; at < file.length; ) {
    const tag = tagAt(file, at)
    const frame = frameAt(file, at)
    if (frame === undefined && (tag ?? 0) === 0) throw new Error(`neither frame nor tag at ${at}`)
    if (frame === undefined || isIndexFrame(file, at, frame)) extras += 1
    else frames.push(at)
    at += frame?.bytes ?? tag ?? 0
  }
  return { frames, extras }
}

/** The longest runs of silence, in ms. */
const silences = (samples: Int16Array, rate: number): ReadonlyArray<number> => {
  const runs: Array<number> = []
  let run = 0
  for (const sample of samples) {
    if (Math.abs(sample) < SILENT) run += 1
    else {
      if (run > 0) runs.push((run * 1000) / rate)
      run = 0
    }
  }
  return runs.sort((a, b) => b - a)
}

const encoders = [
  {
    name: "24 kHz mono, 160 kbit/s, as hosted voices",
    args: ["-ar", "24000", "-ac", "1", "-b:a", "160k"],
    rate: 24_000,
  },
  { name: "24 kHz mono, 32 kbit/s", args: ["-ar", "24000", "-ac", "1", "-b:a", "32k"], rate: 24_000 },
  {
    name: "44.1 kHz joint stereo, 128 kbit/s, padded",
    args: ["-ar", "44100", "-ac", "2", "-b:a", "128k"],
    rate: 44_100,
  },
  {
    name: "48 kHz stereo, variable",
    args: ["-ar", "48000", "-ac", "2", "-joint_stereo", "0", "-q:a", "3"],
    rate: 48_000,
  },
  { name: "48 kHz mono, 320 kbit/s", args: ["-ar", "48000", "-ac", "1", "-b:a", "320k"], rate: 48_000 },
  {
    name: "32 kHz mono, no reservoir",
    args: ["-ar", "32000", "-ac", "1", "-b:a", "64k", "-reservoir", "0"],
    rate: 32_000,
  },
  { name: "22.05 kHz mono, variable", args: ["-ar", "22050", "-ac", "1", "-q:a", "5"], rate: 22_050 },
  { name: "16 kHz mono, 48 kbit/s", args: ["-ar", "16000", "-ac", "1", "-b:a", "48k"], rate: 16_000 },
  {
    name: "12 kHz stereo, 32 kbit/s (MPEG-2.5)",
    args: ["-ar", "12000", "-ac", "2", "-b:a", "32k"],
    rate: 12_000,
  },
]

const parts = [440, 660, 880].map((hz, i) => ({ hz, seconds: 0.6 + i / 7 }))

/** The segments of each encoder, made in one run of ffmpeg. */
const encoded = withTempDir(async (dir) => {
  const path = (encoder: number, part: number) => `${dir}/${encoder}-${part}.mp3`
  const source = ({ hz, seconds }: (typeof parts)[number]) => `sine=frequency=${hz}:duration=${seconds}`
  const inputs = parts.flatMap((part) => ["-f", "lavfi", "-i", source(part)])
  const outputs = encoders.flatMap(({ args }, encoder) =>
    parts.flatMap((_, part) => ["-map", `${part}:a`, "-write_id3v1", "1", ...args, path(encoder, part)]),
  )
  await ffmpeg([...inputs, ...outputs])
  const read = (encoder: number) => Promise.all(parts.map((_, part) => Bun.file(path(encoder, part)).bytes()))
  return Promise.all(encoders.map((_, encoder) => read(encoder)))
})

describe("segments become one stream", () => {
  for (const [at, { name, rate }] of encoders.entries()) {
    test(name, async () => {
      const segments = (await encoded)[at] ?? []
      expect(segments).toHaveLength(parts.length)
      const { joined, ms } = joinAll(...segments)

      const { frames, extras } = layout(joined)
      expect(extras).toBe(0)
      expect(frames).toHaveLength(segments.reduce((sum, segment) => sum + layout(segment).frames.length, 0))

      const decoded = await decode(joined, { rate })
      expect(decoded.log).toBe("")
      const durationMs = (decoded.samples.length * 1000) / rate
      expect(durationMs).toBeCloseTo(ms, 6)
      // A segment brings the encoder's delay and padding along: never more than the seam may have.
      const soundMs = parts.reduce((sum, { seconds }) => sum + 1000 * seconds, 0)
      expect(durationMs - soundMs).toBeWithin(0, 3 * SEAM_MS_MAX)
      expect(silences(decoded.samples, rate)[0]).toBeLessThan(SEAM_MS_MAX)
    })
  }

  test("without a click at the seam: no step is larger than the segments' own", async () => {
    const [a, b] = await Promise.all([speech(440, 0.7001), speech(440, 0.5003)])
    const largestStep = async (file: Uint8Array) => {
      const { samples } = await decode(file)
      return samples.reduce(
        (most, sample, i) => Math.max(most, Math.abs(sample - (samples[i - 1] ?? sample))),
        0,
      )
    }
    const own = Math.max(await largestStep(a), await largestStep(b))
    expect(await largestStep(joinAll(a, b).joined)).toBeLessThan(1.1 * own)
  })
})

describe("chunks of any size", () => {
  test("join to the same bytes", async () => {
    const [a, b] = await fixtures
    const segments = [concat(ascii("junk\xff\xfb"), a), b.subarray(0, -700), concat(b.subarray(3000), a)]
    const whole = joinAll(...segments).joined
    FastCheck.assert(
      FastCheck.property(FastCheck.infiniteStream(FastCheck.integer({ min: 1, max: 2000 })), (sizes) => {
        const joiner = makeMp3Joiner()
        const out: Array<Uint8Array> = []
        for (const segment of segments) {
          for (let at = 0; at < segment.length; ) {
            const size = sizes.next().value ?? 1
            out.push(joiner.push(segment.subarray(at, at + size)).bytes)
            at += size
          }
          out.push(joiner.endSegment().bytes)
        }
        expect(same(concat(...out), whole)).toBe(true)
      }),
    )
  })

  test("may be single bytes", async () => {
    const [a] = await fixtures
    const joiner = makeMp3Joiner()
    const byteByByte = Array.from(a, (_, i) => joiner.push(a.subarray(i, i + 1)).bytes)
    const out = concat(...byteByByte, joiner.endSegment().bytes)
    expect(same(out, joinAll(a).joined)).toBe(true)
  })

  test("release a frame with its last byte", async () => {
    const [a] = await fixtures
    const joiner = makeMp3Joiner()
    for (const [index, at] of layout(a).frames.entries()) {
      const end = at + (frameAt(a, at)?.bytes ?? 0)
      expect(joiner.push(a.subarray(index === 0 ? 0 : at, end - 1)).bytes).toHaveLength(0)
      expect(joiner.push(a.subarray(end - 1, end)).bytes).toHaveLength(end - at)
    }
  })

  test("do not change earlier results, nor the input", async () => {
    const [a] = await fixtures
    const input = Uint8Array.from(a)
    const joiner = makeMp3Joiner()
    const first = joiner.push(input.subarray(0, 8000)).bytes
    const copy = Uint8Array.from(first)
    input.fill(0, 0, 8000)
    joiner.push(input.subarray(8000))
    expect(first).toEqual(copy)
    expect(input.subarray(8000)).toEqual(Uint8Array.from(a).subarray(8000))
  })
})

describe("what is not a frame is dropped", () => {
  const id3v2 = (bodyBytes: number, footer: boolean): Uint8Array => {
    const size = [21, 14, 7, 0].map((shift) => (bodyBytes >> shift) & 0x7f)
    const head = [4, 0, footer ? 0x10 : 0, ...size]
    // The body is full of false frame headers.
    const body = new Uint8Array(bodyBytes).fill(0xff)
    return concat(
      ascii("ID3"),
      Uint8Array.from(head),
      body,
      footer ? concat(ascii("3DI"), Uint8Array.from(head)) : ascii(""),
    )
  }
  const ape = (isHeader: boolean): Uint8Array => {
    const head = Buffer.alloc(32)
    head.write("APETAGEX")
    head.writeUInt32LE(2000, 8)
    head.writeUInt32LE(isHeader ? 40 + 32 : 0, 12)
    head.writeUInt32LE(isHeader ? 0xa0000000 : 0x80000000, 20)
    return head
  }

  test("tags before, between and after", async () => {
    const [a, b] = await fixtures
    const bare = joinAll(a, b).joined
    const sound = joinAll(a).joined
    const v1 = concat(ascii("TAG"), new Uint8Array(125).fill(0xff))
    for (const tag of [
      id3v2(300, false),
      id3v2(5000, true),
      v1,
      concat(ape(true), new Uint8Array(40).fill(0xff), ape(false)),
    ]) {
      const { joined } = joinAll(concat(tag, sound, tag), concat(tag, tag, b))
      expect(same(joined, bare)).toBe(true)
    }
  })

  test("a VBRI index", async () => {
    const [a] = await fixtures
    const { joined } = joinAll(a)
    const frame = joined.slice(0, frameAt(joined, 0)?.bytes)
    frame.fill(0, 4)
    frame.set(ascii("VBRI"), 36)
    expect(same(joinAll(concat(frame, joined)).joined, joined)).toBe(true)
  })

  test("junk before the sound, with false headers in it", async () => {
    const [a] = await fixtures
    const sound = joinAll(a).joined
    // A true header, alone; then one whose frame would end at nothing like a header.
    const junk = concat(
      ascii("HTTP/1.1 200 OK\r\n"),
      sound.subarray(0, 4),
      ascii("noise"),
      sound.subarray(0, 90),
    )
    const { joined } = joinAll(concat(junk, sound))
    expect(same(joined, sound)).toBe(true)
  })

  test("a partial frame at the end of a segment", async () => {
    const [a, b] = await fixtures
    const sound = joinAll(a).joined
    const last = layout(sound).frames.at(-1) ?? 0
    const { joined } = joinAll(sound.subarray(0, -1), b)
    expect(same(joined, concat(sound.subarray(0, last), joinAll(b).joined))).toBe(true)
    expect((await decode(joined)).log).toBe("")
  })

  test("a body that is not MP3", async () => {
    const wav = await ffmpeg(["-f", "lavfi", "-i", "anoisesrc=d=2:c=white:a=0.1", "-f", "wav", "pipe:1"])
    const aac = await ffmpeg(["-f", "lavfi", "-i", "sine=d=2", "-f", "adts", "pipe:1"])
    const html = ascii(`<!doctype html><title>502</title>${"<p>Bad gateway</p>".repeat(200)}`)
    const layer2 = await ffmpeg(["-f", "lavfi", "-i", "sine=d=2", "-c:a", "mp2", "-f", "mp2", "pipe:1"])
    for (const body of [
      html,
      wav,
      aac,
      layer2,
      new Uint8Array(5000),
      new Uint8Array(5000).fill(0xff),
      new Uint8Array(0),
    ]) {
      const { joined, ms } = joinAll(body)
      expect(joined).toHaveLength(0)
      expect(ms).toBe(0)
    }
  })
})

describe("the bit reservoir", () => {
  test("is not taken from the segment before", async () => {
    const args = ["-ar", "44100", "-ac", "2", "-b:a", "128k"]
    const [a, b] = await Promise.all([tone(440, 1, ...args), tone(880, 1, ...args)])
    const cut = b.subarray(layout(b).frames[10])
    const { joined } = joinAll(a, cut, cut)
    // Up to 511 bytes may be drawn on; a frame of 128 kbit/s at 44.1 kHz brings 382.
    expect(silencedIn(joined)).toBeWithin(2, 6)
    // 4 bytes of header, 32 of side information: all 0 is silence.
    const seam = layout(joined).frames[layout(a).frames.length] ?? 0
    expect(joined.subarray(seam + 4, seam + 36)).toEqual(new Uint8Array(32))
    const decoded = await decode(joined, { rate: 44_100 })
    expect(decoded.log).toBe("")
    expect(decoded.samples).toHaveLength(layout(joined).frames.length * 1152)
    // The length stays, and what is silenced is within the bound of a seam.
    expect(layout(joined).frames).toHaveLength(layout(a).frames.length + 2 * layout(cut).frames.length)
    expect(silences(decoded.samples, 44_100)[0]).toBeLessThan(SEAM_MS_MAX)
  })

  test("does not reach across a hole in a segment", async () => {
    const [a] = await fixtures
    const { frames } = layout(a)
    const hole = concat(a.subarray(0, (frames[10] ?? 0) + 50), a.subarray(frames[12]))
    const { joined } = joinAll(hole)
    expect(layout(joined).frames).toHaveLength(frames.length - 2)
    expect((await decode(joined)).log).toBe("")
  })

  test("a frame with a checksum is silenced without one", async () => {
    const [a] = await fixtures
    const frame = Uint8Array.from(joinAll(a).joined).slice(0, frameAt(joinAll(a).joined, 0)?.bytes)
    frame[1] = (frame[1] ?? 0) & 0xfe
    frame[6] = 200
    const { joined } = joinAll(frame)
    expect((joined[1] ?? 0) & 1).toBe(1)
    expect(joined.subarray(4, 15)).toEqual(new Uint8Array(11))
    expect(joined.subarray(15)).toEqual(frame.subarray(15))
  })
})

describe("a segment of another format", () => {
  const others: ReadonlyArray<readonly [string, ReadonlyArray<string>]> = [
    ["sample rate", ["-ar", "16000", "-ac", "1"]],
    ["channels", ["-ar", "24000", "-ac", "2"]],
    ["version", ["-ar", "48000", "-ac", "1"]],
  ]
  for (const [name, args] of others) {
    test(`(${name}) is held back`, async () => {
      const [a, b] = await fixtures
      const joiner = makeMp3Joiner()
      const first = join(joiner, [a])
      expect(join(joiner, [await tone(440, 0.5, ...args)])).toEqual({ joined: new Uint8Array(0), ms: 0 })
      const last = join(joiner, [b])
      expect((await decode(concat(first.joined, last.joined))).log).toBe("")
    })
  }

  test("is held back by every joiner that shares the format of the stream", async () => {
    const [a, b] = await fixtures
    let first: Mp3Format | undefined
    const shared = () =>
      makeMp3Joiner((found) => {
        first ??= found
        return first
      })
    expect(join(shared(), [a]).joined.length).toBeGreaterThan(0)
    expect(join(shared(), [await tone(440, 0.5, "-ar", "16000", "-ac", "1")]).joined).toHaveLength(0)
    expect(join(shared(), [b]).joined).toEqual(joinAll(b).joined)
  })
})

describe("for any bytes", () => {
  const nearMp3 = FastCheck.array(
    FastCheck.oneof(
      FastCheck.uint8Array({ maxLength: 50 }),
      FastCheck.constantFrom("ID3", "TAG", "APETAGEX", "3DI", "Xing", "VBRI").map(ascii),
      FastCheck.tuple(
        FastCheck.constantFrom(0xfb, 0xfa, 0xf3, 0xf2, 0xe3),
        FastCheck.nat(255),
        FastCheck.nat(255),
      ).map(([b1, b2, b3]) => Uint8Array.of(0xff, b1, b2, b3)),
      FastCheck.nat(1500).map((size) => new Uint8Array(size)),
    ),
    { maxLength: 60 },
  ).map((parts) => concat(...parts))

  const check = (joiner: SpeechJoiner, input: Uint8Array): void => {
    const { joined, ms } = join(joiner, [input])
    expect(joined.length).toBeLessThanOrEqual(input.length)
    const frames = layout(joined).frames.flatMap((at) => frameAt(joined, at) ?? [])
    expect(ms).toBeCloseTo(
      frames.reduce((sum, { samples, sampleRate }) => sum + (samples * 1000) / sampleRate, 0),
      6,
    )
  }

  test("the result is whole frames of one format", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(nearMp3, { maxLength: 3 }), (segments) => {
        const joiner = makeMp3Joiner()
        for (const segment of segments) check(joiner, segment)
      }),
      { numRuns: 1000 },
    )
  })

  test("also of damaged files", async () => {
    const [a] = await fixtures
    const damage = FastCheck.array(FastCheck.tuple(FastCheck.nat(a.length - 1), FastCheck.nat(255)), {
      maxLength: 200,
    })
    FastCheck.assert(
      FastCheck.property(damage, (changes) => {
        const file = Uint8Array.from(a)
        for (const [at, value] of changes) file[at] = value
        check(makeMp3Joiner(), file)
      }),
    )
  })
})

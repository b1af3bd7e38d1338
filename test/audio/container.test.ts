import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Effect, Exit, Option } from "effect"
import { identify, type Recording } from "../../src/audio/container.ts"
import { frameAt } from "../../src/audio/mp3-frame.ts"
import { flac, m4a, mp3, recordings } from "../support/audio.ts"
import { notAudio } from "../support/audio-hostile.ts"
import { withTempDir } from "../support/ffmpeg.ts"
import { speechLike, wavOf } from "../support/wav.ts"

const identified = (bytes: Uint8Array) =>
  withTempDir(async (folder) => {
    const path = join(folder, "upload")
    await Bun.write(path, bytes)
    return Effect.runPromiseExit(identify({ path, bytes: bytes.length }))
  })

const readFrom = async (bytes: Uint8Array) =>
  Exit.match(await identified(bytes), {
    onFailure: () => undefined,
    onSuccess: (recording): Recording["readFrom"] | undefined => recording.readFrom,
  })

const demuxerOf = async (bytes: Uint8Array) =>
  Exit.match(await identified(bytes), {
    onFailure: () => undefined,
    onSuccess: ({ demuxer }): Recording["demuxer"] | undefined => demuxer,
  })

/** By ffprobe's names. */
const demuxers: Record<string, Recording["demuxer"]> = {
  wav: "wav",
  mp3: "mp3",
  ogg: "ogg",
  flac: "flac",
  "matroska,webm": "matroska",
  "mov,mp4,m4a,3gp,3g2,mj2": "mov",
}

test.each(Object.entries(recordings))("%s is identified by its bytes", async (_, { make, format }) => {
  expect(Option.fromNullable(await demuxerOf(await make()))).toEqual(Option.fromNullable(demuxers[format]))
})

test("only an MP4 with its index last is read from its file", async () => {
  const found = await Promise.all(
    Object.entries(recordings).map(async ([name, { make }]) => [name, await readFrom(await make())]),
  )
  const fromFile = found.filter(([, from]) => from !== "pipe")
  expect(fromFile).toEqual([
    ["m4a", "file"],
    ["m4aLonger", "file"],
    ["mp4WithVideo", "file"],
  ])
})

describe("an MP4 whose boxes", () => {
  const box = (kind: string, size = 8, content = Math.max(0, size - 8)) => {
    const header = Buffer.from(`\0\0\0\0${kind}`, "latin1")
    header.writeUInt32BE(size)
    return Buffer.concat([header, Buffer.alloc(content)])
  }
  const ftyp = box("ftyp", 24)

  test.each([
    ["have the index first", [box("moov", 500), box("mdat", 900)], "pipe"],
    ["have something before the index", [box("wide"), box("free", 4000), box("moov", 500)], "pipe"],
    ["have an index of 64 bits of size", [box("moov", 1, 500)], "pipe"],
    ["have the sound first", [box("mdat", 900), box("moov", 500)], "file"],
    ["have sound of 64 bits of size first", [box("mdat", 1, 900), box("moov", 500)], "file"],
    ["have sound to the end of the file", [box("mdat", 0, 900)], "file"],
    ["have the index within another", [box("free", 508, 0), box("moov", 500), box("mdat", 900)], "file"],
    ["have much before the index", [box("free", 70_000), box("moov", 500)], "file"],
    ["end at once", [], "file"],
    ["have no sense", [box("free", 3, 900), box("moov", 500)], "file"],
    ["are very many", [Buffer.concat(Array(300_000).fill(box("free"))), box("moov", 500)], "file"],
  ] as const)("%s", async (_, boxes, expected) => {
    expect(await readFrom(Buffer.concat([ftyp, ...boxes]))).toBe(expected)
  })
})

/** An ID3v2 tag with a body of `size` bytes. */
const tag = (size: number) => {
  const header = Buffer.from("ID3\x04\0\0\0\0\0\0", "latin1")
  for (const at of [0, 1, 2, 3]) header[9 - at] = (size >> (7 * at)) & 0x7f
  return Buffer.concat([header, Buffer.alloc(size)])
}

/** An APEv2 tag with its header, body and footer, together of `size` bytes. */
const apeTag = (size: number) => {
  const part = (flags: number) => {
    const bytes = Buffer.alloc(32)
    bytes.write("APETAGEX", "latin1")
    bytes.writeUInt32LE(2000, 8)
    bytes.writeUInt32LE(size - 32, 12)
    bytes.writeUInt32LE(flags, 20)
    return bytes
  }
  return Buffer.concat([part(0xa000_0000), Buffer.alloc(size - 64, "k"), part(0x8000_0000)])
}

/** Where the recording starts. Undefined if the bytes are rejected. */
const startOf = async (...parts: ReadonlyArray<Uint8Array>) =>
  Exit.match(await identified(Buffer.concat(parts)), {
    onFailure: () => undefined,
    onSuccess: ({ demuxer, start }): string | undefined => `${demuxer} ${start}`,
  })

describe("a tag before the audio", () => {
  test.each([0, 10, 5000, 70_000, 3_000_000])("of %d bytes, as covers are", async (size) => {
    expect(await startOf(tag(size), await mp3())).toBe(`mp3 ${10 + size}`)
    expect(await startOf(tag(size), await flac())).toBe(`flac ${10 + size}`)
    expect(await startOf(tag(size), wavOf(speechLike(0.2)))).toBe(`wav ${10 + size}`)
  })

  test("that claims more bytes than the file has", async () => {
    expect(await startOf(tag(200_000).subarray(0, 10), await mp3())).toBeUndefined()
  })

  test.each([
    ["two ID3", [tag(500), tag(3000)]],
    ["fifty ID3", Array<Buffer>(50).fill(tag(30))],
    ["thousands of ID3", Array<Buffer>(5000).fill(tag(0))],
    ["10 MB of zeros", [Buffer.alloc(10_000_000)]],
    ["three zeros", [Buffer.alloc(3)]],
    ["a byte order mark", [Buffer.from([0xef, 0xbb, 0xbf])]],
    ["APE", [apeTag(8192)]],
    ["a large APE", [apeTag(200_000)]],
    ["APE behind ID3", [tag(500), apeTag(8192)]],
    ["ID3 behind APE", [apeTag(8192), tag(70_000)]],
    ["ID3v1", [Buffer.from("TAG".padEnd(128))]],
    ["zeros", [Buffer.alloc(10_240)]],
    ["many zeros", [Buffer.alloc(200_000)]],
    ["zeros behind ID3", [tag(500), Buffer.alloc(10_240)]],
    ["zeros between tags", [tag(500), Buffer.alloc(10_240), apeTag(8192), Buffer.alloc(100)]],
    ["spaces", [Buffer.alloc(10_240, " ")]],
    ["0xff", [tag(100), Buffer.alloc(10_240, 0xff)]],
    ["more than ID3 says", [tag(100), Buffer.alloc(9000, "J")]],
    ["lyrics", [Buffer.from(`LYRICSBEGIN${"L".repeat(6000)}006011LYRICS200`)]],
  ])("or several: %s", async (_, tags) => {
    const length = Buffer.concat(tags).length
    expect(await startOf(...tags, await mp3())).toBe(`mp3 ${length}`)
  })

  test.each([
    ["an MP4, whose positions count from the start of the file", m4a],
    ["nothing", async () => new Uint8Array()],
    ["a playlist", async () => notAudio.hlsPlaylist()],
    ["a page", async () => notAudio.html()],
    ["an archive", async () => notAudio.zip()],
    ["noise", async () => notAudio.random()],
  ])("before %s is rejected", async (_, make) => {
    expect(await startOf(tag(500), await make())).toBeUndefined()
    expect(await startOf(Buffer.alloc(10_240), await make())).toBeUndefined()
    expect(await startOf(apeTag(8192), await make())).toBeUndefined()
  })
})

test("an MP3 may start inside a frame", async () => {
  const bytes = await mp3()
  expect(await startOf(bytes.subarray(700))).toStartWith("mp3 ")
  expect(await startOf(Buffer.alloc(4000), bytes)).toBe("mp3 4000")
})

test("far from the start, two frames are chance, and four are an MP3", async () => {
  const bytes = await mp3()
  const frames = (count: number) => {
    let at = 0
    for (let n = 0; n < count; n++) at += frameAt(bytes, at)?.bytes ?? 0
    return bytes.subarray(0, at)
  }
  const junk = Buffer.alloc(8000, "x")
  expect(await startOf(junk.subarray(0, 4000), frames(2), junk)).toBe("mp3 4000")
  expect(await startOf(junk, frames(2), junk)).toBeUndefined()
  expect(await startOf(junk, frames(4), junk)).toBe("mp3 8000")
})

test("zeros and tags without end, are rejected", async () => {
  expect(await startOf(Buffer.alloc(3_000_000))).toBeUndefined()
  expect(await startOf(Buffer.concat(Array(5000).fill(tag(0))), await mp3())).toBeDefined()
  expect(await startOf(Buffer.concat(Array(20_000).fill(tag(0))), await mp3())).toBeUndefined()
})

test.each([1, 3, 7, 8, 15, 16, 20])("%d zeros before a file with a signature are padding", async (zeros) => {
  expect(await startOf(Buffer.alloc(zeros), wavOf(speechLike(0.2)))).toBe(`wav ${zeros}`)
  expect(await startOf(Buffer.alloc(zeros), await flac())).toBe(`flac ${zeros}`)
  expect(await startOf(Buffer.from([0xef, 0xbb, 0xbf]), Buffer.alloc(zeros), await flac())).toBe(
    `flac ${zeros + 3}`,
  )
})

describe("a WAV", () => {
  const wav = wavOf(speechLike(0.5))
  const samples = wav.subarray(44)
  const streamed = wavOf(speechLike(0.5), { sizes: "zero" })
  const chunk = (id: string, content: Uint8Array) => {
    const header = Buffer.from(`${id}\0\0\0\0`, "latin1")
    header.writeUInt32LE(content.length, 4)
    return Buffer.concat([header, content])
  }
  const list = chunk("LIST", Buffer.alloc(4160, "INFO"))
  const boundsOf = async (...parts: ReadonlyArray<Uint8Array>) =>
    Exit.match(await identified(Buffer.concat(parts)), {
      onFailure: () => undefined,
      onSuccess: ({ wav, end, bytes }) => ({
        samples: Option.match(wav, {
          onNone: () => "by ffmpeg",
          onSome: ({ dataOffset, dataBytes }) => `${dataOffset} ${dataBytes}`,
        }),
        behind: bytes - end,
      }),
    })

  test.each([
    ["of one chunk of samples", [wav], `44 ${samples.length}`, 0],
    ["with a chunk behind", [wav, list], `44 ${samples.length}`, 0],
    ["with two chunks of samples", [wav, chunk("data", samples)], "by ffmpeg", 0],
    ["with more samples behind another chunk", [wav, list, chunk("data", samples)], "by ffmpeg", 0],
    [
      "with an empty chunk of samples behind",
      [wav, chunk("data", Buffer.alloc(0))],
      `44 ${samples.length}`,
      0,
    ],
    ["with junk behind", [wav, Buffer.alloc(5000, 0xaa)], `44 ${samples.length}`, 0],
    ["of unknown size", [streamed], `44 ${samples.length}`, 0],
    ["of unknown size with a chunk behind", [streamed, list], `44 ${samples.length}`, list.length],
    [
      "of unknown size with two chunks behind",
      [streamed, list, chunk("id3 ", tag(100))],
      `44 ${samples.length}`,
      list.length + 118,
    ],
    [
      "with 10,000 empty chunks before",
      [
        wav.subarray(0, 36),
        Buffer.concat(Array<Buffer>(10_000).fill(chunk("data", Buffer.alloc(0)))),
        wav.subarray(36),
      ],
      `80044 ${samples.length}`,
      0,
    ],
    ["behind a tag", [tag(100), wav], `154 ${samples.length}`, 0],
  ] as const)("%s", async (_, parts, samples, behind) => {
    expect(await boundsOf(...parts)).toEqual({ samples, behind })
  })

  test("of unknown size with chunks and no samples is rejected", async () => {
    expect(await boundsOf(streamed.subarray(0, 44), list)).toBeUndefined()
  })

  test.each(["RF64", "BW64"])("named %s is left to ffmpeg", async (name) => {
    expect(await boundsOf(Buffer.from(name), wav.subarray(4))).toEqual({ samples: "by ffmpeg", behind: 0 })
  })
})

test("samples of a WAV are found within the first 4 MiB", async () => {
  const [near, far] = [70_000, 5_000_000].map((size) =>
    wavOf(speechLike(0.2), { before: [{ id: "JUNK", bytes: new Uint8Array(size) }] }),
  )
  const wavOfUpload = async (bytes: Uint8Array | undefined) =>
    Exit.match(await identified(bytes ?? new Uint8Array()), {
      onFailure: () => undefined,
      onSuccess: ({ wav }) => Option.isSome(wav),
    })
  expect(await wavOfUpload(near)).toBe(true)
  expect(await wavOfUpload(far)).toBe(false)
})

test.each(
  Object.entries(notAudio).filter(([name]) =>
    /^(empty|oneByte|random|text|json|html|zip|hls|dash|ffconcat|sdp|wavHeaderOnly|id3Only)/.test(name),
  ),
)("%s is rejected", async (_, make) => {
  expect(await demuxerOf(await make())).toBeUndefined()
})

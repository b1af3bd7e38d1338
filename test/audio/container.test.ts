import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { Effect, Exit, Option } from "effect"
import { identify, type Recording } from "../../src/audio/container.ts"
import { flac, mp3, recordings } from "../support/audio.ts"
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

describe("a tag before the audio", () => {
  test.each([0, 10, 5000, 70_000, 3_000_000])("of %d bytes, as covers are", async (size) => {
    expect(await demuxerOf(Buffer.concat([tag(size), await mp3()]))).toBe("mp3")
    expect(await demuxerOf(Buffer.concat([tag(size), await flac()]))).toBe("flac")
  })

  test("that claims more bytes than the file has", async () => {
    expect(await demuxerOf(Buffer.concat([tag(200_000).subarray(0, 10), await mp3()]))).toBeUndefined()
  })
})

test("an MP3 may start inside a frame, but not far from one", async () => {
  const bytes = await mp3()
  expect(await demuxerOf(bytes.subarray(700))).toBe("mp3")
  expect(await demuxerOf(Buffer.concat([Buffer.alloc(4000), bytes]))).toBe("mp3")
  expect(await demuxerOf(Buffer.concat([Buffer.alloc(5000), bytes]))).toBeUndefined()
})

test("samples of a WAV are found within the first 64 KiB", async () => {
  const [near, far] = [1000, 70_000].map((size) =>
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

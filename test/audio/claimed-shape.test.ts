import { describe, expect, test } from "bun:test"
import { longestSpeechBytes } from "../../src/audio/speech-output.ts"
import { encodings, tone } from "../support/encoded-speech.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { readSpeech } from "../support/speech-reader.ts"

// The tone of test/providers/openai/speech-reader.test.ts: both use the same encoded files.
const pcm = await tone(0.8, 3).pcm

type Change = (bytes: Buffer, rate: number, channels: number) => void
const wavFields: Change = (bytes, rate, channels) => {
  const at = bytes.indexOf("fmt ") + 8
  bytes.writeUInt16LE(channels, at + 2)
  bytes.writeUInt32LE(rate, at + 4)
}
/** Formats, and how their headers claim a rate and channels. */
const headers: ReadonlyArray<readonly [name: string, change: Change]> = [
  ["WAV 24 kHz", wavFields],
  ["WAV µ-law 8 kHz", wavFields],
  ["RF64", wavFields],
  [
    "AU",
    (bytes, rate, channels) => {
      bytes.writeUInt32BE(rate, 16)
      bytes.writeUInt32BE(channels, 20)
    },
  ],
]

const changed = async (name: string, change: Change, rate: number, channels: number) => {
  const found = encodings.find((each) => each.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  const body = Buffer.from(await found.encode(pcm))
  change(body, rate, channels)
  return { type: found.type, body }
}

describe.each(headers.map(([name, change]) => [name, change] as const))("%s", (name, change) => {
  test.each([
    [1, 1],
    [8, 1],
    [3999, 1],
    [384_001, 1],
    [4_294_967_295, 1],
    [24_000, 17],
    [24_000, 9999],
  ])("of %p Hz and %p channels is not audio", async (rate, channels) => {
    for (const format of ["pcm", "mp3"] as const) {
      for (const size of [7, 1 << 20]) {
        const { bytes, problem } = await readSpeech(format, {
          ...(await changed(name, change, rate, channels)),
          size,
        })
        expect(bytes.length).toBe(0)
        expect(problem).toContain(`of ${rate} Hz and ${channels} channel`)
      }
    }
  })

  test.each([4000, 384_000])("of %p Hz is audio", async (rate) => {
    const { problem } = await readSpeech("pcm", await changed(name, change, rate, 1))
    expect(problem).toBeUndefined()
  })
})

test("a FLAC of 8 Hz is not audio", async () => {
  const body = Buffer.from(
    await ffmpeg(["-f", "s16le", "-ar", "24000", "-ac", "1", "-i", "pipe:0", "-f", "flac", "pipe:1"], pcm),
  )
  body.writeUInt32BE((8 << 12) | (body.readUInt32BE(18) & 0xfff), 18)
  const { problem } = await readSpeech("pcm", { type: "audio/flac", body, size: 5 })
  expect(problem).toContain("FLAC of 8 Hz and 1 channel")
})

test.each([
  ["audio/pcm;rate=1", "PCM of 1 Hz and 1 channel"],
  ["audio/L16;rate=0;channels=1", "PCM of 0 Hz and 1 channel"],
  ["audio/pcm;rate=1000000000000", "PCM of 1000000000000 Hz and 1 channel"],
  ["audio/L16;rate=24000;channels=99", "PCM of 24000 Hz and 99 channels"],
])("%s is not audio", async (type, reason) => {
  const { bytes, problem } = await readSpeech("pcm", { type, body: new Uint8Array(4000) })
  expect({ length: bytes.length, problem }).toEqual({ length: 0, problem: `${reason} in place of audio` })
})

test("a rate that is no number is the usual one", async () => {
  const { bytes, problem } = await readSpeech("pcm", { type: "audio/pcm;rate=banana", body: pcm })
  expect(problem).toBeUndefined()
  expect(bytes.equals(Buffer.from(pcm))).toBe(true)
})

/** More than three times as long as speech of two characters may be. For MP3, a limit of bytes: 160 kbit/s exceed it. */
const silence = (...args: ReadonlyArray<string>) =>
  ffmpeg(["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "200", ...args, "pipe:1"])

describe("speech that is longer than its text", () => {
  test.each([
    ["audio/flac", "pcm", "FLAC", ["-f", "flac"]],
    ["audio/wav", "pcm", "WAV", ["-c:a", "pcm_u8", "-f", "wav"]],
    ["audio/pcm", "pcm", "PCM", ["-ar", "24000", "-f", "s16le"]],
    ["audio/mpeg", "mp3", "MP3", ["-ar", "24000", "-b:a", "160k", "-f", "mp3"]],
  ] as const)("%s ends", async (type, format, kind, args) => {
    const body = await silence(...args)
    const { bytes, problem } = await readSpeech(format, { type, body, size: 1 << 16, characters: 2 })
    expect(bytes.length).toBeLessThanOrEqual(longestSpeechBytes(format, 2))
    expect(problem).toBe(`${kind} that is longer than any speech of its text`)
    expect(
      (await readSpeech(format, { type, body, size: 1 << 16, characters: 4096 })).problem,
    ).toBeUndefined()
  })
})

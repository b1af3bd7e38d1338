import { expect, test } from "bun:test"
import { wavHeader } from "../../src/audio/wav.ts"
import { encodings, tone } from "../support/encoded-speech.ts"
import { readSpeech } from "../support/speech-reader.ts"

const pcm = Buffer.from(await tone(0.5).pcm)
const shape = { sampleRate: 24_000, channels: 1, bitsPerSample: 16 }
const wav = (samples: Uint8Array, dataBytes?: number) =>
  Buffer.concat([wavHeader(dataBytes === undefined ? shape : { ...shape, dataBytes }), samples])
const sized = wav(pcm, pcm.length)

const mp3 = async () => {
  const found = encodings.find(({ name }) => name === "MP3 24 kHz")
  return (await found?.encode(pcm)) ?? new Uint8Array(0)
}
/** Bytes without a pattern, always the same. */
const junk = (length: number) => {
  let state = 1
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return state >>> 24
  })
}

const sizes = [1, 7, 1000, 1 << 20]

test.each([
  ["gzip", Bun.gzipSync(pcm), "gzip in place of audio"],
  ["Zstandard", Bun.zstdCompressSync(pcm), "Zstandard in place of audio"],
  [
    "a picture",
    Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), junk(3000)]),
    "PNG in place of audio",
  ],
  ["compressed data", junk(20_000), "noise in place of audio"],
] as const)("%s is not played", async (_, body, reason) => {
  for (const type of ["audio/pcm", "audio/mpeg", "application/octet-stream", ""]) {
    for (const size of [7, 1 << 20]) {
      const { bytes, problem } = await readSpeech("pcm", { type, body, size })
      expect({ type, length: bytes.length, problem }).toEqual({ type, length: 0, problem: reason })
    }
  }
})

test("an MP3 behind 8 KB of junk is converted", async () => {
  const body = Buffer.concat([junk(8000), await mp3()])
  const { bytes, problem } = await readSpeech("pcm", { type: "audio/mpeg", body })
  expect(problem).toBeUndefined()
  expect(bytes.length).toBeGreaterThan(pcm.length * 0.9)
  expect(bytes.length).toBeLessThan(pcm.length * 1.2)
})

const error = '{"error":{"message":"é","code":"quota"}}'
test.each([
  ["PCM", "audio/pcm", pcm],
  ["a WAV", "audio/wav", sized],
  ["a WAV without a size", "audio/wav", wav(pcm)],
] as const)("an error object after %s is not played", async (_, type, body) => {
  for (const text of [error, ` \n${error}\n`, error.slice(0, 20), "<html><body>Bad gateway</body></html>"]) {
    for (const size of sizes) {
      const answer = { type, body: Buffer.concat([body, Buffer.from(text)]), size }
      const { bytes, problem } = await readSpeech("pcm", answer)
      expect(bytes.subarray(0, pcm.length).equals(pcm)).toBe(true)
      // White space before the object may stay.
      expect(bytes.length - pcm.length).toBeLessThanOrEqual(2)
      expect(problem).toMatch(/^(JSON|HTML) after the audio/)
    }
  }
})

const tag = (bytes: number) =>
  Buffer.concat([Buffer.from([0x49, 0x44, 0x33, 4, 0, 0, 0, 0, 0, bytes]), Buffer.alloc(bytes)])
test.each([1, 2, 3])("a WAV behind %p tags is whole", async (count) => {
  const body = Buffer.concat([...Array.from({ length: count }, () => tag(10)), sized])
  for (const size of sizes) {
    const { bytes, problem } = await readSpeech("pcm", { type: "audio/mpeg", body, size })
    expect(problem).toBeUndefined()
    expect(bytes.equals(pcm)).toBe(true)
  }
})

const list = Buffer.from("LIST\x04\0\0\0INFO", "latin1")
test.each([
  ["with a size of 7", wav(pcm, 7), 1],
  ["with half its size", wav(pcm, pcm.length / 2), 1],
  ["with chunks at the end", Buffer.concat([sized, list, list]), 1],
  ["with a header for each sentence", Buffer.concat([sized, sized, sized]), 3],
  ["with headers without sizes", Buffer.concat([wav(pcm), wav(pcm)]), 2],
  ["with chunks between headers", Buffer.concat([sized, list, sized]), 2],
  ["with a false size and a second header", Buffer.concat([wav(pcm, 7), sized]), 2],
] as const)("a WAV %s is whole", async (_, body, times) => {
  for (const size of sizes) {
    const { bytes, problem } = await readSpeech("pcm", { type: "audio/wav", body, size })
    expect(problem).toBeUndefined()
    expect(bytes.equals(Buffer.concat(Array.from({ length: times }, () => pcm)))).toBe(true)
  }
})

test("a WAV that another format follows is not complete", async () => {
  const other = Buffer.concat([wavHeader({ ...shape, sampleRate: 8000, dataBytes: pcm.length }), pcm])
  const { bytes, problem } = await readSpeech("pcm", {
    type: "audio/wav",
    body: Buffer.concat([sized, other]),
  })
  expect(bytes.equals(pcm)).toBe(true)
  expect(problem).toBe("WAV that changes its format")
})

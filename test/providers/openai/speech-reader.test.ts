import { describe, expect, spyOn, test } from "bun:test"
import { parseMediaType } from "../../../src/audio/media-type.ts"
import { makeSpeechJoiner } from "../../../src/audio/speech-joiner.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import type { StartConversion } from "../../../src/ffmpeg/convert.ts"
import { type ProviderError, reasonOf } from "../../../src/providers/errors.ts"
import { makeSpeechReader } from "../../../src/providers/openai/speech-reader.ts"
import { startConversion } from "../../support/conversion.ts"
import { encodings, tone } from "../../support/encoded-speech.ts"
import { decode } from "../../support/ffmpeg.ts"
import { tonesIn } from "../../support/listen.ts"

const seconds = 0.8
const { hz, pcm, ...spoken } = tone(seconds, 3)

interface Answer {
  readonly type: string
  readonly body: Uint8Array
  readonly requested?: "mp3" | "pcm" | "wav" | "opus" | undefined
  readonly size?: number
}

/** Reads answers as the segments of one reply. */
const read = async (format: "mp3" | "pcm", answers: ReadonlyArray<Answer>) => {
  let conversions = 0
  const counted: StartConversion = (...args) => {
    conversions += 1
    return startConversion(...args)
  }
  const output = makeSpeechOutput(format)
  const joiner = makeSpeechJoiner(format)
  const parts: Array<Uint8Array> = []
  const problems: Array<string | undefined> = []
  const errors: Array<ProviderError> = []
  for (const { type, body, size = 1000, ...asked } of answers) {
    const requested = "requested" in asked ? asked.requested : format
    const answer = { type: parseMediaType(type), requested, characters: 100 }
    const reader = makeSpeechReader(answer, output, counted, (bytes) => parts.push(joiner.push(bytes).bytes))
    for (let at = 0; at < body.length; at += size) reader.write(body.slice(at, at + size))
    const error = await reader.end()
    problems.push(error === undefined ? undefined : reasonOf(error))
    if (error !== undefined) errors.push(error)
    parts.push(joiner.endSegment().bytes)
    await reader.kill()
  }
  return { bytes: Buffer.concat(parts), problems, errors, conversions }
}

const listen = async (format: "mp3" | "pcm", bytes: Uint8Array) => {
  const { samples, log } =
    format === "mp3"
      ? await decode(bytes)
      : { samples: new Int16Array(Uint8Array.from(bytes).buffer), log: "" }
  expect(log).toBe("")
  return { tones: tonesIn(samples), seconds: samples.length / 24_000 }
}

/** The delay and the padding of an encoder, at both ends of a codec and of an MP3. In seconds. */
const codecSlack = 0.15

// With their own types: test/ffmpeg/convert.test.ts.
describe.each(["mp3", "pcm"] as const)("for %s, with another type", (format) => {
  /** Each file gets one of them, for one of the outputs: its first bytes decide. */
  const wrongTypes = ["", "application/octet-stream", "audio/mpeg", "audio/pcm", "text/plain", "audio/wav"]
  const files = encodings.filter(({ type, name }) => !/pcm|L16/.test(type) && name !== "µ-law")
  const wrong = files.map(
    (each, i) => [each.name, wrongTypes[(i >> 1) % wrongTypes.length] ?? "", each] as const,
  )
  const own = wrong.filter((_, i) => (i % 2 === 0) === (format === "mp3"))
  test.each(own)("%s as %p", async (_, type, { encode }) => {
    const body = await encode(await pcm)
    const { bytes, problems } = await read(format, [{ type, body, size: 7 }])
    expect(problems).toEqual([undefined])
    expect((await listen(format, bytes)).tones).toEqual([hz])
  })
})

/** The n-th of the encodings by name. */
const encoded = async (name: string, index = 3) => {
  const found = encodings.find((each) => each.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  return { type: found.type, body: await found.encode(await tone(seconds, index).pcm) }
}

describe("what needs no conversion", () => {
  test.each([
    ["pcm", "PCM 24 kHz", "audio/pcm"],
    ["pcm", "PCM 24 kHz", ""],
    ["pcm", "PCM 24 kHz", "audio/mpeg"],
    ["pcm", "PCM 24 kHz", "audio/pcm;rate=24000;channels=1"],
    ["pcm", "WAV 24 kHz", "audio/wav"],
    ["pcm", "WAV 24 kHz with sizes of 0", "audio/wav"],
    ["mp3", "MP3 24 kHz", "audio/mpeg"],
    ["mp3", "MP3 44.1 kHz stereo", ""],
    ["mp3", "MP3 without tags", "application/octet-stream"],
  ] as const)("%s: %s as %p", async (format, name, type) => {
    const body = name === "PCM 24 kHz" ? await pcm : (await encoded(name)).body
    for (const size of [1, 1001, 1 << 20]) {
      const { bytes, problems, conversions } = await read(format, [{ type, body, size }])
      expect({ problems, conversions }).toEqual({ problems: [undefined], conversions: 0 })
      if (format === "pcm") expect(bytes.equals(Buffer.from(await pcm))).toBe(true)
      else expect((await listen(format, bytes)).tones).toEqual([hz])
    }
  })

  test("half a sample at the end is dropped", async () => {
    const body = Buffer.concat([await pcm, Uint8Array.of(1)])
    const { bytes } = await read("pcm", [{ type: "", body, size: 333 }])
    expect(bytes.equals(Buffer.from(await pcm))).toBe(true)
  })

  test("a text chunk behind the samples of a WAV is not played", async () => {
    const { body } = await encoded("WAV 24 kHz")
    const list = Buffer.from("LIST\x04\0\0\0INFO", "latin1")
    const { bytes } = await read("pcm", [{ type: "audio/wav", body: Buffer.concat([body, list]) }])
    expect(bytes.equals(Buffer.from(await pcm))).toBe(true)
  })
})

describe("the segments of a reply", () => {
  test.each([
    [["MP3 24 kHz", "MP3 44.1 kHz stereo", "WAV 22.05 kHz", "Ogg Opus"], 3],
    [["MP3 44.1 kHz stereo", "MP3 24 kHz", "MP3 8 kHz"], 2],
    [["WAV 48 kHz stereo", "MP3 16 kHz", "FLAC"], 3],
    [["MP3 16 kHz", "MP3 48 kHz"], 1],
  ])("%p are one MP3", async (names, converted) => {
    const segments = await Promise.all(
      names.map((name, i) => encoded(name === "MP3 48 kHz" ? "MP3 without tags" : name, i + 1)),
    )
    const { bytes, problems, conversions } = await read("mp3", segments)
    expect({ problems, conversions }).toEqual({
      problems: names.map(() => undefined),
      conversions: converted,
    })
    const heard = await listen("mp3", bytes)
    expect(heard.tones).toEqual(names.map((_, i) => tone(seconds, i + 1).hz))
    // Half of the delay and padding is at each seam.
    expect(heard.seconds - names.length * spoken.seconds).toBeLessThan(names.length * codecSlack)
    expect(bytes.includes("ID3") || bytes.includes("Info") || bytes.includes("Xing")).toBe(false)
  })

  test.each([["WAV 24 kHz"], ["PCM 16 kHz"], ["MP3 44.1 kHz stereo"], ["AAC"]])(
    "after PCM, %s is the same PCM",
    async (name) => {
      const first = { type: "audio/pcm", body: await tone(seconds, 1).pcm }
      const { bytes } = await read("pcm", [first, await encoded(name, 2)])
      expect((await listen("pcm", bytes)).tones).toEqual([tone(seconds, 1).hz, tone(seconds, 2).hz])
    },
  )
})

describe("an answer that is not audio", () => {
  const error = (fields: object) => JSON.stringify({ error: { message: "Say not the secret.", ...fields } })
  test.each([
    ["JSON of a known error", error({ code: "model_not_found", type: "x" }), "status 404"],
    ["JSON of a number", JSON.stringify({ code: 42, detail: "no" }), "JSON in place of audio"],
    ["JSON with a sentence", error({ code: "Say not the secret." }), "JSON in place of audio"],
    ["a JSON list", '["a"]', "JSON in place of audio"],
    ["cut JSON", '{"error":{"code":"a', "JSON in place of audio"],
    ["long JSON", error({ type: "t", pad: "x".repeat(10_000) }), "JSON in place of audio"],
    ["HTML", " \n<!DOCTYPE html><title>Bad</title>", "HTML in place of audio"],
    ["XML", '\ufeff<?xml version="1.0"?><Error/>', "XML in place of audio"],
    ["text", "Zu viele Anfragen für heute.", "text in place of audio"],
    ["short text", "no", "text in place of audio"],
  ])("%s", async (_, text, reason) => {
    for (const format of ["mp3", "pcm"] as const) {
      for (const type of ["audio/pcm", "audio/mpeg", "audio/wav", "", "application/json", "text/plain"]) {
        const body = new TextEncoder().encode(text)
        const { bytes, problems, conversions } = await read(format, [{ type, body, size: 5 }])
        expect({ type, problems, bytes: bytes.length, conversions }).toEqual({
          type,
          problems: [reason],
          bytes: 0,
          conversions: 0,
        })
      }
    }
  })

  test.each([
    [{ error: { code: "insufficient_quota" } }, { kind: "no-credit", retryable: false }],
    [
      { message: "x", code: "insufficient_quota" },
      { kind: "no-credit", retryable: false },
    ],
    [{ error: { code: "a", type: "b" } }, { retryable: true, details: { code: "a", type: "b" } }],
    [{ detail: "busy" }, { retryable: true, reason: "JSON in place of audio" }],
    [{ detail: "no", status: 401 }, { _tag: "ProviderRefusedKey" }],
    [[{ error: { code: 429 } }], { _tag: "ProviderRateLimited" }],
  ])("keeps the class of the error in %j", async (json, expected) => {
    const body = new TextEncoder().encode(JSON.stringify(json))
    const { errors } = await read("mp3", [{ type: "audio/mpeg", body }])
    expect(errors).toMatchObject([expected])
  })

  const noise = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919 + (i >> 3) * 31) & 255)
  const riff = Buffer.from("RIFF\xff\xff\xff\xffWAVE", "latin1")
  test.each([
    ["a picture", "image/png", noise, "image/png in place of audio"],
    ["noise", "audio/mpeg", noise, "MP3 that cannot be decoded"],
    ["a broken Ogg", "audio/ogg", Buffer.concat([Buffer.from("OggS"), noise]), "Ogg that cannot be decoded"],
    [
      "a broken FLAC",
      "audio/flac",
      Buffer.concat([Buffer.from("fLaC"), noise]),
      "FLAC that cannot be decoded",
    ],
    ["a broken WAV", "audio/wav", Buffer.concat([riff, noise]), "WAV that cannot be decoded"],
    [
      "a broken MP4",
      "audio/mp4",
      Buffer.concat([Buffer.from("\0\0\0\x10ftypM4A "), noise]),
      "MP4 that cannot be decoded",
    ],
    ["nothing", "audio/mpeg", new Uint8Array(0), "no audio in it"],
    ["an empty WAV", "audio/wav", Buffer.concat([riff]), "WAV that cannot be decoded"],
    ["half a sample", "audio/pcm", Uint8Array.of(7), "PCM that cannot be decoded"],
  ])("%s", async (_, type, body, reason) => {
    const { problems } = await read("mp3", [{ type, body }])
    expect(problems).toEqual([reason])
  })
})

test("a long head is joined a few times, not once for each chunk", async () => {
  const chunk = new Uint8Array(1024)
  const tag = Buffer.concat([Buffer.from("ID3\x04\0\0\x03\x7f\x7f\x7f", "latin1"), chunk])
  const mp4 = Buffer.concat([Buffer.from("\0\0\0\x10ftypM4A \0\0\0\0\x7f\0\0\0mdat", "latin1"), chunk])
  for (const start of [tag, mp4]) {
    const concat = spyOn(Buffer, "concat")
    try {
      const answer = { type: parseMediaType("audio/mpeg"), requested: "mp3", characters: 4000 } as const
      const reader = makeSpeechReader(answer, makeSpeechOutput("mp3"), startConversion, () => true)
      reader.write(start)
      for (let i = 0; i < 4000; i++) reader.write(chunk)
      const bytes = concat.mock.results.map(({ value }) => (value instanceof Uint8Array ? value.length : 0))
      expect(bytes.reduce((a, b) => a + b, 0)).toBeLessThan(16 * 1024 * 1024)
      await reader.kill()
    } finally {
      concat.mockRestore()
    }
  }
})

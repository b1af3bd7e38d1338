import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { recordings } from "../support/audio.ts"
import {
  dashManifest,
  flacOf40Minutes,
  hlsPlaylist,
  notAudio,
  riffPlaylist,
  truncated,
  wavClaimingLess,
  wavClaimingMore,
  webmOf6Minutes,
} from "../support/audio-hostile.ts"
import { decode, ffmpeg } from "../support/ffmpeg.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { tone, wavOf } from "../support/wav.ts"

let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns({ env: { SILENCE_DBFS: "0" } })
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const Answer = Schema.Struct({
  transcript: Schema.String,
  audio: Schema.Struct({ format: Schema.Literal("mp3"), base64: Schema.String }),
  usage: Schema.Struct({ audioSeconds: Schema.Number }),
})
const Problem = Schema.Struct({ error: Schema.String, message: Schema.String, requestId: Schema.String })

const send = (bytes: Uint8Array, accept = "application/json") =>
  service.converse(key, new Blob([bytes]), { accept })

const problemOf = async (answer: Response) => Schema.decodeUnknownSync(Problem)(await answer.json())

/** The length that an encoder may add or drop. */
const TOLERANCE_SECONDS = 0.15

describe("recordings of real devices", () => {
  test.each(Object.entries(recordings))("%s is transcribed and answered", async (name, recording) => {
    const answer = await send(await recording.make())
    expect(answer.status).toBe(200)
    const { transcript, audio, usage } = Schema.decodeUnknownSync(Answer)(await answer.json())
    expect(transcript).toBe("Hello, can you hear me?")
    expect(Math.abs(usage.audioSeconds - recording.seconds)).toBeLessThan(TOLERANCE_SECONDS)
    const heard = await decode(Buffer.from(audio.base64, "base64"))
    expect({ log: heard.log, silent: heard.samples.length === 0 }).toEqual({ log: "", silent: false })

    expect(service.upstream.refusals()).toEqual([])
    const [call] = service.upstream.calls("stt")
    expect(service.upstream.calls("stt")).toHaveLength(1)
    const header = Buffer.from(call?.request.file.bytes ?? []).subarray(0, 44)
    expect({
      riff: header.toString("latin1", 0, 4),
      bytes: header.readUInt32LE(4) + 8,
      format: header.readUInt16LE(20),
      channels: header.readUInt16LE(22),
      rate: header.readUInt32LE(24),
      bits: header.readUInt16LE(34),
    }).toEqual({
      riff: "RIFF",
      bytes: call?.request.file.bytes.length ?? 0,
      format: 1,
      channels: 1,
      rate: 16_000,
      bits: 16,
    })
    expect(header.readUInt32LE(40) / 32_000).toBeCloseTo(usage.audioSeconds, 3)

    const isSpeechWav = recording.codec === "pcm_s16le" && name !== "wavExtensible"
    expect(service.ffmpegs()).toHaveLength(isSpeechWav ? 0 : 1)
  })

  test.each([
    ["a 16 kHz WAV", (wav: Uint8Array) => Promise.resolve(wav)],
    [
      "48 kHz stereo",
      (wav: Uint8Array) => ffmpeg(["-i", "pipe:0", "-ar", "48000", "-ac", "2", "-f", "wav", "pipe:1"], wav),
    ],
    ["Opus", (wav: Uint8Array) => ffmpeg(["-i", "pipe:0", "-c:a", "libopus", "-f", "webm", "pipe:1"], wav)],
    ["MP3", (wav: Uint8Array) => ffmpeg(["-i", "pipe:0", "-f", "mp3", "pipe:1"], wav)],
  ])("a 1 kHz tone stays 1 kHz: %s", async (_, encode) => {
    await send(await encode(wavOf(tone(1.5, 1000))))
    const { samples } = await decode(
      service.upstream.calls("stt")[0]?.request.file.bytes ?? new Uint8Array(),
      {
        rate: 16_000,
      },
    )
    const middle = samples.subarray(4000, 20_000)
    const rises = middle.reduce(
      (sum, sample, at) => sum + (sample >= 0 && (middle[at - 1] ?? 0) < 0 ? 1 : 0),
      0,
    )
    expect(Math.abs(rises - 1000)).toBeLessThanOrEqual(2)
  })
})

describe("files without audio", () => {
  test.each(Object.entries(notAudio))("%s is rejected without a call", async (_, make) => {
    const answer = await send(await make(), "audio/mpeg")
    expect(answer.status).toBe(400)
    expect(await problemOf(answer)).toMatchObject({
      error: "INVALID_AUDIO",
      message: expect.stringContaining("WAV, MP3, WebM, OGG, FLAC, M4A/MP4"),
    })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test.each([
    ["HLS", hlsPlaylist],
    ["DASH", dashManifest],
    ["RIFF, then HLS", riffPlaylist],
    ["ffconcat", (url: string) => Buffer.from(`ffconcat version 1.0\nfile ${url}\n`)],
    [
      "SDP",
      (url: string) =>
        Buffer.from(`v=0\nc=IN IP4 127.0.0.1\na=control:${url}\nm=audio ${new URL(url).port} RTP/AVP 0\n`),
    ],
    [
      "an MP4's reference",
      (url: string) => Buffer.concat([Buffer.from("\0\0\0\x18ftypM4A \0\0\0\0M4A isom"), Buffer.from(url)]),
    ],
    [
      "an ID3 tag, then HLS",
      (url: string) => Buffer.concat([Buffer.from("ID3\x04\0\0\0\0\0\0"), hlsPlaylist(url)]),
    ],
    ["WebM, then HLS", (url: string) => Buffer.concat([Buffer.from("1a45dfa3", "hex"), hlsPlaylist(url)])],
    ["OGG, then HLS", (url: string) => Buffer.concat([Buffer.from("OggS"), hlsPlaylist(url)])],
  ])("%s with a URL: nothing is fetched", async (_, make) => {
    let connections = 0
    using bait = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { open: () => void connections++, data: () => {} },
    })
    const answer = await send(make(`http://127.0.0.1:${bait.port}/secret.mp3`), "audio/mpeg")
    expect(await problemOf(answer)).toMatchObject({ error: "INVALID_AUDIO" })
    expect(connections).toBe(0)
  })
})

describe("too long", () => {
  test.each([
    ["40 minutes of FLAC in 100 KB", flacOf40Minutes],
    ["6 minutes of WebM without a duration", webmOf6Minutes],
    [
      "6 minutes of WebM with a duration",
      async () => {
        const live = await webmOf6Minutes()
        return ffmpeg(["-i", "pipe:0", "-c", "copy", "-f", "webm", "pipe:1"], live)
      },
    ],
    ["301 s of a WAV that needs no decoding", () => Promise.resolve(wavOf(new Float32Array(301 * 16_000)))],
  ])("%s is rejected without a call", async (_, make) => {
    const answer = await send(await make(), "audio/mpeg")
    expect(answer.status).toBe(400)
    expect(await problemOf(answer)).toMatchObject({
      error: "AUDIO_TOO_LONG",
      message: expect.stringContaining("300"),
    })
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test("exactly the maximum length is accepted", async () => {
    const answer = await send(wavOf(new Float32Array(300 * 16_000)))
    expect(await answer.json()).toMatchObject({ usage: { audioSeconds: 300 } })
  })
})

describe("truncated recordings", () => {
  const shares = [0.03, 0.6]
  test.each(Object.entries(recordings))("%s, cut anywhere, is a turn or a 4xx", async (_, { make }) => {
    for (const share of shares) {
      const answer = await send(truncated(await make(), share))
      const body = await answer.json()
      if (answer.status !== 200) expect(body).toMatchObject({ error: "INVALID_AUDIO" })
    }
  })

  test.each([
    ["more", wavClaimingMore, 2],
    ["less", wavClaimingLess, 1],
  ] as const)("a WAV that claims %s than it has", async (_, make, seconds) => {
    const answer = await send(make())
    expect(await answer.json()).toMatchObject({ usage: { audioSeconds: seconds } })
  })
})

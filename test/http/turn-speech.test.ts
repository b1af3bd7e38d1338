/** Speech servers that send another format than the one that was requested. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { encodings, tone } from "../support/encoded-speech.ts"
import { eventsIn, soundIn } from "../support/events.ts"
import { decode } from "../support/ffmpeg.ts"
import { tonesIn } from "../support/listen.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { type Step, startUpstream, type Upstream } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

let second: Upstream
let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  second = await startUpstream()
  service = await startTurns({
    speed: 10,
    env: {
      TTS_FALLBACK_BASE_URL: second.baseUrl,
      TTS_FALLBACK_API_KEY: "sk-second",
      TTS_MAX_CHARACTERS: "100",
    },
  })
  key = await service.register()
  recording = await wav16k()
})
afterAll(async () => {
  await service.stop()
  await second.stop()
})
beforeEach(() => {
  service.reset()
  second.reset()
  service.upstream.default("llm", {
    text: "One short sentence. And another one, which is longer than the first.",
  })
})
afterEach(() => service.nothingLeft())

const ask = (accept: string, signal?: AbortSignal) =>
  service.converse(key, new Blob([recording]), { accept, ...(signal === undefined ? {} : { signal }) })

const seconds = 0.5
const spoken = async (name: string, index: number, more: Step = {}): Promise<Step> => {
  const found = encodings.find((each) => each.name === name)
  if (found === undefined) throw new Error(`there is no ${name}`)
  const audio = await found.encode(await tone(seconds, index).pcm)
  return { audio, headers: { "content-type": found.type }, ...more }
}

/** The samples of a whole answer. */
const samplesOf = async (accept: string, answer: Response) => {
  expect(answer.status).toBe(200)
  const body = Buffer.from(await answer.bytes())
  if (accept === "audio/pcm") return new Int16Array(Uint8Array.from(body).buffer)
  const json: unknown = accept === "application/json" ? JSON.parse(body.toString()) : undefined
  const base64 =
    typeof json === "object" && json !== null ? Reflect.get(Reflect.get(json, "audio") ?? {}, "base64") : ""
  const bytes =
    accept === "application/json"
      ? Buffer.from(String(base64), "base64")
      : accept === "text/event-stream"
        ? soundIn(eventsIn(body))
        : body
  const { samples, log } = await decode(bytes)
  if (accept !== "audio/wav") expect(log).toBe("")
  return samples
}

const renderings = ["audio/mpeg", "audio/wav", "audio/pcm", "application/json", "text/event-stream"]
const kinds: ReadonlyArray<readonly [string, string]> = [
  ["WAV 24 kHz of unknown size", "WAV 24 kHz"],
  ["WAV 48 kHz stereo", "MP3 24 kHz"],
  ["MP3 24 kHz", "MP3 44.1 kHz stereo"],
  ["MP3 22.05 kHz", "Ogg Opus"],
  ["Ogg Vorbis", "FLAC"],
  ["WebM", "AAC"],
  ["MP4", "L16 44.1 kHz stereo"],
  ["PCM 16 kHz", "AIFF"],
]

/** MP3 and samples with every kind. The other renderings are made of these two. */
const some = kinds.slice(1, 4)
const kindsOf: Readonly<Record<string, typeof kinds>> = { "audio/mpeg": kinds, "audio/pcm": kinds }

describe.each(renderings)("as %s", (accept) => {
  test.each(kindsOf[accept] ?? some)("%s, then %s", async (first, then) => {
    service.upstream.script("tts", [
      await spoken(first, 1, { chunkBytes: 777 }),
      await spoken(then, 2, { chunkBytes: 1313 }),
    ])
    const samples = await samplesOf(accept, await ask(accept))
    expect(tonesIn(samples)).toEqual([tone(seconds, 1).hz, tone(seconds, 2).hz])
    expect(Math.abs(samples.length / 24_000 - 2 * tone(seconds).seconds)).toBeLessThan(0.3)
    expect(service.upstream.calls("tts")).toHaveLength(2)
    expect(second.calls("tts")).toEqual([])
  })

  test("JSON of a speech server is never played", async () => {
    const body = JSON.stringify({ error: { message: "You said a secret.", code: "no_credit" } })
    const refusal: Step = { raw: { body, contentType: "audio/pcm" } }
    service.upstream.default("tts", refusal)
    second.default("tts", refusal)
    const answer = await ask(accept)
    if (accept === "text/event-stream") {
      expect(eventsIn(await answer.bytes()).at(-1)).toMatchObject({
        event: "error",
        data: { error: "TTS_FAILED" },
      })
    } else {
      await expectProblem(answer, { status: 500, code: "TTS_FAILED", message: /^(?!.*secret)/ })
    }
  })
})

test("no request for speech is over the limit of characters", async () => {
  const text = `It is ${"long and ".repeat(60)}over. Short. ${"A sentence of many. ".repeat(12)}`
  service.upstream.default("llm", { text })
  // A provider with that limit.
  service.upstream.default("tts", ({ input }) =>
    input.length <= 100 ? { seconds: 0.4 } : { error: { status: 400, message: "input is too long" } },
  )
  const answer = await ask("application/json")
  expect(await answer.json()).toMatchObject({ response: text })
  expect(service.upstream.calls("tts").length).toBeGreaterThan(8)
})

test("a fallback server of another rate continues the reply", async () => {
  service.upstream.script("tts", [
    await spoken("MP3 24 kHz", 1),
    { error: { status: 503, message: "down", type: "server_error" } },
  ])
  second.default("tts", await spoken("MP3 44.1 kHz stereo", 2))
  const samples = await samplesOf("audio/mpeg", await ask("audio/mpeg"))
  expect(tonesIn(samples)).toEqual([tone(seconds, 1).hz, tone(seconds, 2).hz])
})

test("speech that cannot be decoded is asked of the fallback server", async () => {
  service.upstream.default("tts", {
    audio: Buffer.concat([Buffer.from("OggS"), new Uint8Array(3000).fill(9)]),
    headers: { "content-type": "audio/ogg" },
  })
  second.default("tts", await spoken("MP3 24 kHz", 3))
  const samples = await samplesOf("audio/mpeg", await ask("audio/mpeg"))
  expect(tonesIn(samples)).toEqual([tone(seconds, 3).hz])
})

test("the first audio of a conversion does not wait for its end", async () => {
  const long = encodings.find(({ name }) => name === "WAV 48 kHz stereo")
  const audio = await long?.encode(await tone(4, 1).pcm)
  service.upstream.script("tts", [
    { ...(audio === undefined ? {} : { audio }), breakOff: { how: "hang", after: { bytes: 400_000 } } },
  ])
  const controller = new AbortController()
  const answer = await ask("audio/mpeg", controller.signal)
  const reader = answer.body?.getReader()
  const first = await reader?.read()
  expect(first?.value?.length).toBeGreaterThan(0)
  expect(service.upstream.calls("tts")[0]?.outcome).toBe("open")
  controller.abort()
})

describe("a disconnect during a conversion leaves nothing", () => {
  test.each(["audio/mpeg", "audio/pcm", "text/event-stream", "application/json"])("%s", async (accept) => {
    const step = await spoken("WAV 48 kHz stereo", 1, { breakOff: { how: "hang", after: { bytes: 60_000 } } })
    service.upstream.default("tts", step)
    second.default("tts", step)
    const controller = new AbortController()
    const answer = ask(accept, controller.signal).catch(() => undefined)
    await until(() => service.ffmpegsAlive().length > 0, "a conversion")
    controller.abort()
    await answer
    await service.nothingLeft()
  })
})

test("a conversion that hangs ends with the time-out of the stage", async () => {
  const step = await spoken("WAV 48 kHz stereo", 1)
  service.upstream.default("tts", step)
  second.default("tts", step)
  service.ffmpegHangs(true)
  const answer = await ask("audio/pcm")
  await expectProblem(answer, { status: 500, code: "TTS_FAILED" })
  await service.nothingLeft()
})

import { afterAll, beforeEach, describe, expect, test } from "bun:test"
import OpenAI, { toFile } from "openai"
import { decode, probe } from "./ffmpeg.ts"
import { tonesIn } from "./listen.ts"
import {
  DEFAULT_REPLY,
  DEFAULT_TRANSCRIPT,
  fail,
  type Stage,
  type Step,
  startUpstream,
  TONES,
} from "./upstream.ts"
import { tokensOf } from "./upstream-answers.ts"

const upstream = await startUpstream()
const openai = new OpenAI({ apiKey: "sk-test", baseURL: upstream.baseUrl, maxRetries: 0, logLevel: "off" })
beforeEach(upstream.reset)
afterAll(upstream.stop)

const transcribe = async (signal?: AbortSignal, name = "a.wav") => {
  const file = await toFile(new Uint8Array(2000), name, { type: "audio/wav" })
  return openai.audio.transcriptions.create({ file, model: "whisper-1", language: "en" }, { signal })
}
const messages = [{ role: "user" as const, content: "Hi there" }]
const complete = (signal?: AbortSignal) =>
  openai.chat.completions.create({ model: "m", messages }, { signal })
/** The tokens as they come, and what ended them. */
const stream = async (signal?: AbortSignal) => {
  const chunks = await openai.chat.completions.create(
    { model: "m", messages, stream: true, stream_options: { include_usage: true } },
    { signal },
  )
  const got: { tokens: string[]; finish: string; usage: number; error: unknown } = {
    tokens: [],
    finish: "",
    usage: 0,
    error: undefined,
  }
  try {
    for await (const { choices, usage } of chunks) {
      const token = choices?.[0]?.delta.content
      if (token) got.tokens.push(token)
      got.finish ||= choices?.[0]?.finish_reason ?? ""
      got.usage ||= usage?.completion_tokens ?? 0
    }
  } catch (error) {
    got.error = error
  }
  return got
}
const speak = async (input: string, response_format: "mp3" | "wav" | "pcm" = "mp3", signal?: AbortSignal) => {
  const answer = await openai.audio.speech.create(
    { model: "tts-1", voice: "alloy", input, response_format },
    { signal },
  )
  return new Uint8Array(await answer.arrayBuffer())
}
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => expect.unreachable(`answered ${JSON.stringify(value)}`),
    (error: unknown) => error,
  )

const samplesOf = (bytes: Uint8Array) => new Int16Array(bytes.slice().buffer)

const asking: Record<Stage, (signal?: AbortSignal) => Promise<unknown>> = {
  stt: transcribe,
  llm: complete,
  tts: (signal) => speak("Hello there, how are you?", "mp3", signal),
}
const stages: readonly Stage[] = ["stt", "llm", "tts"]

describe("without a script", () => {
  test("transcribes a file and logs the request", async () => {
    expect((await transcribe(undefined, "наме.wav")).text).toBe(DEFAULT_TRANSCRIPT)
    const [call] = upstream.calls("stt")
    expect(call).toMatchObject({
      outcome: "answered",
      status: 200,
      request: { model: "whisper-1", language: "en", file: { name: "наме.wav", type: "audio/wav" } },
    })
    expect(call?.request.file.bytes).toHaveLength(2000)
    expect(call?.headers.authorization).toBe("Bearer sk-test")
  })

  test("replies token by token or in one piece, with usage", async () => {
    const got = await stream()
    expect(got.tokens.join("")).toBe(DEFAULT_REPLY)
    expect(got).toMatchObject({ finish: "stop", usage: got.tokens.length, error: undefined })
    expect((await complete()).choices[0]?.message.content).toBe(DEFAULT_REPLY)
    const [call] = upstream.calls("llm")
    expect(call?.request).toMatchObject({ model: "m", stream: true, messages })
    expect(call?.sent.flatMap(({ token }) => token ?? [])).toEqual(got.tokens)
  })

  test("speaks in a tone per call, as long as the text", async () => {
    const text = "x".repeat(45)
    const mp3 = await speak(text)
    const wav = await speak(text, "wav")
    const pcm = await speak(text, "pcm")
    expect(await probe(mp3)).toMatchObject({
      format: "mp3",
      streams: [{ codec: "mp3", sampleRate: 24_000, channels: 1 }],
    })
    expect(Buffer.from(mp3).toString("latin1", 0, 100)).toMatch(/^ID3.*Info/s)
    const decoded = await Promise.all([decode(mp3, { from: "file" }), decode(wav)])
    const sounds = [...decoded.map(({ samples }) => samples), samplesOf(pcm)]
    for (const [index, sound] of sounds.entries()) {
      expect(sound).toHaveLength(72_000)
      expect(tonesIn(sound)).toEqual([TONES[index] ?? 0])
    }
    expect(upstream.calls("tts").map(({ spoken }) => spoken?.hz)).toEqual([...TONES.slice(0, 3)])
  })

  test("its MP3 has the same sound as its PCM", async () => {
    const mp3 = await speak("x".repeat(300))
    upstream.reset()
    const pcm = samplesOf(await speak("x".repeat(300), "pcm"))
    const { samples, log } = await decode(mp3, { from: "file" })
    expect(log).toBe("")
    expect(samples).toHaveLength(pcm.length)
    // LAME turns the volume down to 95 %
    const difference = samples.map((sample, at) => Math.abs(sample - 0.95 * (pcm[at] ?? 0)))
    expect(Math.max(...difference.subarray(1000, -1000))).toBeLessThan(150)
  })

  test("refuses what OpenAI refuses", async () => {
    expect(await failureOf(transcribe(undefined, "a.txt"))).toBeInstanceOf(OpenAI.BadRequestError)
    expect(await failureOf(speak("x".repeat(4097)))).toBeInstanceOf(OpenAI.BadRequestError)
    expect(await failureOf(openai.models.list().then())).toBeInstanceOf(OpenAI.NotFoundError)
    expect(
      await failureOf(openai.chat.completions.create({ model: "m", messages: [] }).then()),
    ).toMatchObject({
      message: "400 messages.0: is missing",
    })
    expect(upstream.refusals().map(({ status }) => status)).toEqual([400, 400, 404, 400])
  })
})

describe("scripts", () => {
  test("use one step per call, then the default", async () => {
    upstream.default("stt", { text: "later" })
    upstream.script("stt", [{ text: "" }, { text: "Größe 漢字 🎉" }])
    expect([await transcribe(), await transcribe(), await transcribe()].map(({ text }) => text)).toEqual([
      "",
      "Größe 漢字 🎉",
      "later",
    ])
  })

  test("a step may depend on the request", async () => {
    upstream.default("llm", ({ messages }) => ({ text: `You said: ${messages.at(-1)?.content}` }))
    expect((await stream()).tokens.join("")).toBe("You said: Hi there")
  })

  test("tokens as a list, cut by max_tokens, in any chunks", async () => {
    const tokens = ["Grö", "ße ", "漢字", " 🎉"]
    upstream.script("llm", [
      { tokens },
      { tokens, chunkBytes: 7 },
      { tokens, finishReason: "length" },
      { tokens },
    ])
    expect((await stream()).tokens).toEqual(tokens)
    expect(await stream()).toMatchObject({ tokens, finish: "stop" })
    expect(await stream()).toMatchObject({ tokens, finish: "length" })
    const cut = await openai.chat.completions.create({ model: "m", messages, max_tokens: 2 })
    expect(cut.choices[0]).toMatchObject({ finish_reason: "length", message: { content: "Größe " } })
  })

  test("tokens keep the whole text", () => {
    for (const text of [
      "",
      "  a  b\n",
      "Dr. Smith's 3.14 e.g.\n\n- x",
      "漢字かな混じり。ok",
      "👩‍👩‍👧 नमस्ते।",
      "\t",
    ]) {
      expect(tokensOf(text).join("")).toBe(text)
    }
  })
})

describe("errors in OpenAI's envelope", () => {
  const cases: ReadonlyArray<[string, Step, new (...args: never) => Error, object]> = [
    ["429", fail.rateLimited(2), OpenAI.RateLimitError, { status: 429, code: "rate_limit_exceeded" }],
    ["quota", fail.quota(), OpenAI.RateLimitError, { status: 429, code: "insufficient_quota" }],
    ["400", fail.badRequest("No."), OpenAI.BadRequestError, { status: 400, message: "400 No." }],
    ["401", fail.unauthorized(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key" }],
    ["403", fail.forbidden(), OpenAI.PermissionDeniedError, { status: 403 }],
    ["404", fail.notFound(), OpenAI.NotFoundError, { status: 404 }],
    ["408", fail.status(408), OpenAI.APIError, { status: 408 }],
    ["409", fail.status(409), OpenAI.ConflictError, { status: 409 }],
    ["500", fail.status(500), OpenAI.InternalServerError, { status: 500 }],
    ["503", fail.status(503), OpenAI.InternalServerError, { status: 503 }],
  ]
  test.each(cases)("%s, at every stage", async (_name, step, kind, fields) => {
    for (const stage of stages) {
      upstream.script(stage, [step])
      const error = await failureOf(asking[stage]())
      expect(error).toBeInstanceOf(kind)
      expect(error).toMatchObject(fields)
      expect(upstream.calls(stage)).toMatchObject([{ outcome: "failed" }])
    }
  })

  test("a 429 has Retry-After", async () => {
    upstream.script("tts", [fail.rateLimited(7)])
    const error = await failureOf(speak("Hi"))
    expect(error instanceof OpenAI.APIError && error.headers?.get("retry-after")).toBe("7")
  })
})

describe("malformed responses with status 200", () => {
  test("HTML: a string, an empty stream or invalid audio", async () => {
    for (const stage of stages) upstream.default(stage, fail.html())
    expect(String(await transcribe())).toStartWith("<!doctype html>")
    expect(await stream()).toMatchObject({ tokens: [], finish: "", error: undefined })
    expect(new TextDecoder().decode(await speak("Hi"))).toStartWith("<!doctype html>")
  })

  test("an empty body: undefined, an empty stream or no bytes", async () => {
    for (const stage of stages) upstream.default(stage, fail.empty())
    expect(String(await transcribe())).toBe("undefined")
    expect(await stream()).toMatchObject({ tokens: [], finish: "", error: undefined })
    expect(await speak("Hi")).toHaveLength(0)
  })

  test("truncated JSON is a SyntaxError; a wrong shape passes", async () => {
    upstream.script("stt", [fail.cutJson(), fail.wrongShape()])
    expect(await failureOf(transcribe())).toBeInstanceOf(SyntaxError)
    expect((await transcribe()).text).toBeUndefined()
  })

  test("no content and no choices, streamed or not", async () => {
    upstream.script("llm", [fail.nullContent(), fail.noChoices(), fail.nullContent(), fail.noChoices()])
    expect((await complete()).choices[0]?.message.content).toBeNull()
    expect((await complete()).choices).toEqual([])
    expect(await stream()).toMatchObject({ tokens: [], finish: "stop" })
    expect(await stream()).toMatchObject({ tokens: [], finish: "" })
  })
})

describe("broken connections", () => {
  const before: ReadonlyArray<[string, Step]> = [
    ["reset", fail.reset()],
    ["closed", fail.cutOff()],
  ]
  test.each(before)("%s before the headers: one call, a connection error", async (_name, step) => {
    for (const stage of stages) {
      await asking[stage]()
      upstream.script(stage, [step])
      const error = await failureOf(asking[stage]())
      expect(error).toBeInstanceOf(OpenAI.APIConnectionError)
      expect(error).toMatchObject({ cause: { code: "ECONNRESET" } })
      expect(upstream.calls(stage).map(({ outcome }) => outcome)).toEqual(["answered", "failed"])
    }
  })

  const during: ReadonlyArray<[string, (after: "headers" | { bytes: number }) => Step]> = [
    ["reset", fail.reset],
    ["closed", fail.cutOff],
  ]
  test.each(during)("%s in the body: a bare TypeError with ECONNRESET", async (_name, step) => {
    for (const stage of stages) {
      upstream.script(stage, [
        step("headers"),
        step({ bytes: 15 }),
        step({ bytes: Number.POSITIVE_INFINITY }),
      ])
      for (let call = 0; call < 3; call++) {
        expect(await failureOf(asking[stage]())).toMatchObject({ name: "TypeError", code: "ECONNRESET" })
      }
    }
  })

  test("a stream gives the tokens sent before it broke", async () => {
    upstream.script("llm", [fail.reset({ tokens: 3 }), fail.cutOff({ tokens: 3 })])
    for (let call = 0; call < 2; call++) {
      expect(await stream()).toMatchObject({
        tokens: ["Yes", ",", " I"],
        finish: "",
        error: { code: "ECONNRESET" },
      })
    }
  })

  test("a stream without [DONE] ends without finish_reason", async () => {
    upstream.script("llm", [fail.withoutDone(), fail.withoutDone({ tokens: 1 })])
    expect((await stream()).tokens.join("")).toBe(DEFAULT_REPLY)
    expect(await stream()).toMatchObject({ tokens: ["Yes"], finish: "", error: undefined })
    expect(upstream.calls("llm")).toMatchObject([{ outcome: "failed" }, { outcome: "failed" }])
  })

  test("an error event in a stream is an APIError without a status", async () => {
    upstream.script("llm", [fail.errorEvent({ tokens: 2 })])
    const { tokens, error } = await stream()
    expect(tokens).toEqual(["Yes", ","])
    expect(error).toBeInstanceOf(OpenAI.APIError)
    expect(error).toMatchObject({ status: undefined, type: "server_error" })
  })
})

describe("silence and aborts", () => {
  const hangs: ReadonlyArray<[string, Step]> = [
    ["before the headers", fail.hang()],
    ["after the headers", fail.hang("headers")],
    ["in the body", fail.hang({ bytes: 20 })],
    ["by a long delay", { delayMs: 60_000 }],
    ["by a slow body", { firstChunkDelayMs: 60_000 }],
  ]
  test.each(hangs)("%s: the client's abort is seen at every stage", async (_name, step) => {
    for (const stage of stages) {
      upstream.script(stage, [step])
      const hangUp = new AbortController()
      const asked = failureOf(asking[stage](hangUp.signal))
      const call = await upstream.waitFor(() => upstream.calls(stage)[0], "the call")
      expect(upstream.openCalls()).toBe(1)
      if (step.breakOff?.after !== undefined) await upstream.waitFor(() => call.headersAt, "the headers")
      hangUp.abort()
      await asked
      await upstream.waitFor(() => call.outcome === "aborted by client", "the abort")
      expect(call.endedAt).toBeGreaterThan(call.at)
      expect(upstream.openCalls()).toBe(0)
    }
  })

  test("the SDK's own time-out is an abort to the upstream", async () => {
    upstream.script("stt", [fail.hang()])
    const file = await toFile(new Uint8Array(2000), "a.wav")
    const asked = openai.audio.transcriptions.create({ file, model: "whisper-1" }, { timeout: 30 })
    expect(await failureOf(asked.then())).toBeInstanceOf(OpenAI.APIConnectionTimeoutError)
    await upstream.waitFor(() => upstream.calls("stt")[0]?.outcome === "aborted by client")
  })

  test("reset() releases hanging calls", async () => {
    upstream.script("stt", [fail.hang()])
    const asked = failureOf(transcribe())
    const call = await upstream.waitFor(() => upstream.calls("stt")[0])
    upstream.reset()
    expect(await asked).toBeInstanceOf(OpenAI.APIConnectionError)
    await upstream.waitFor(() => call.outcome === "failed")
    expect(upstream.calls("stt")).toEqual([])
  })

  test("waitFor names what did not happen", async () => {
    expect(await failureOf(upstream.waitFor(() => false, "a miracle", 5))).toMatchObject({
      message: "waited 5 ms in vain for a miracle",
    })
  })
})

describe("time", () => {
  test("latencies apply, and the log has every time", async () => {
    upstream.latency({
      llmFirstTokenMs: 30,
      llmTokensPerSecond: 200,
      ttsFirstByteMs: 20,
      ttsRealTimeFactor: 20,
    })
    await Promise.all([stream(), speak("x".repeat(30), "pcm")])
    const [llm] = upstream.calls("llm")
    const [tts] = upstream.calls("tts")
    const tokens = llm?.sent.filter(({ token }) => token !== undefined) ?? []
    const span = (tokens.at(-1)?.at ?? 0) - (tokens[0]?.at ?? 0)
    expect((llm?.headersAt ?? 0) - (llm?.at ?? 0)).toBeGreaterThanOrEqual(29)
    expect(span).toBeGreaterThanOrEqual((tokens.length - 1) * 5 - 1)
    // 2 s of sound at 20 x real time, in pieces of 120 ms
    expect(tts?.sent).toHaveLength(17)
    expect((tts?.sent.at(-1)?.at ?? 0) - (tts?.sent[0]?.at ?? 0)).toBeGreaterThanOrEqual(95)
    expect(tts?.at).toBeLessThan(tokens.at(-1)?.at ?? 0)
  })

  test("runs as a process of its own", async () => {
    const args = ["--reply", "As told.", "--stt-ms", "1"]
    const child = Bun.spawn([process.execPath, `${import.meta.dir}/upstream.ts`, ...args], { stdout: "pipe" })
    const { value } = await child.stdout.getReader().read()
    const baseURL = new TextDecoder().decode(value).trim()
    const other = new OpenAI({ apiKey: "sk-test", baseURL, maxRetries: 0 })
    const { choices } = await other.chat.completions.create({ model: "m", messages })
    child.kill()
    expect(choices[0]?.message.content).toBe("As told.")
  })
})

test("stop() closes every connection", async () => {
  const own = await startUpstream()
  await fetch(`${own.baseUrl}/models`)
  expect(own.openConnections()).toBe(1)
  await own.stop()
  expect(own.openConnections()).toBe(0)
})

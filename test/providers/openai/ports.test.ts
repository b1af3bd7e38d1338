import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, Option } from "effect"
import { pcm16k } from "../../../src/audio/pcm.ts"
import { makeSpeechOutput } from "../../../src/audio/speech-output.ts"
import { WAV_HEADER_BYTES } from "../../../src/audio/wav.ts"
import { cleanReplies, ModelEvent } from "../../../src/providers/language-model.ts"
import type { OpenAiClient } from "../../../src/providers/openai/client.ts"
import { generateWith } from "../../../src/providers/openai/language-model.ts"
import { speakWith } from "../../../src/providers/openai/synthesizer.ts"
import { transcribeWith } from "../../../src/providers/openai/transcriber.ts"
import { noTools } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { startConversion } from "../../support/conversion.ts"
import { clientOf } from "../../support/openai-client.ts"
import { fail, type Step, startUpstream, type Upstream } from "../../support/upstream.ts"
import { encodeSpeech, speechOf } from "../../support/upstream-audio.ts"

let upstream: Upstream
let client: OpenAiClient
beforeAll(async () => {
  upstream = await startUpstream()
  client = clientOf(upstream.baseUrl)
})
afterAll(() => upstream.stop())
beforeEach(() => upstream.reset())

const turnId = newId(TurnId)
const failureOf = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

describe("transcribe", () => {
  const speech = pcm16k(new Uint8Array(3200).fill(7))
  const run = (model = "whisper-1", language = Option.none<string>()) =>
    Effect.runPromiseExit(transcribeWith(client)(speech, { turnId, model, language }))

  test("uploads the samples as a WAV", async () => {
    expect(await run()).toEqual(Exit.succeed({ text: "Hello, can you hear me?" }))
    const { request } = upstream.calls("stt")[0] ?? {}
    expect(request?.file).toMatchObject({ name: "speech.wav", type: "audio/wav" })
    expect(request?.file.bytes.length).toBe(WAV_HEADER_BYTES + 3200)
    expect(request?.file.bytes.subarray(WAV_HEADER_BYTES)).toEqual(speech.bytes)
    expect(upstream.refusals()).toEqual([])
  })

  test.each([
    ["whisper-1", "verbose_json"],
    ["Systran/faster-Whisper-large", "verbose_json"],
    ["gpt-4o-transcribe", "json"],
  ])("asks %s for %s", async (model, format) => {
    await run(model, Option.some("de"))
    expect(upstream.calls("stt")[0]?.request.fields).toEqual({
      model,
      language: "de",
      response_format: format,
    })
  })

  test("drops the segments that Whisper takes for silence, NUL and white space", async () => {
    const segment = (text: string, no_speech_prob: number, avg_logprob: number) => ({
      text,
      no_speech_prob,
      avg_logprob,
    })
    const segments = [
      segment(" Hel\0lo. ", 0.7, -0.9),
      segment(" Thanks for watching!", 0.7, -1.1),
      segment(" Bye.", 0.95, 0),
    ]
    upstream.script("stt", [{ raw: { body: JSON.stringify({ text: "all of it", segments }) } }])
    expect(await run()).toEqual(Exit.succeed({ text: "Hello." }))
  })

  test("an empty transcript is an answer", async () => {
    upstream.script("stt", [{ text: " \n" }])
    expect(await run()).toEqual(Exit.succeed({ text: "" }))
  })

  test.each([
    ["HTML", fail.html()],
    ["another shape", fail.wrongShape()],
    ["cut-off JSON", fail.cutJson()],
    ["nothing", fail.empty()],
  ])("%s is a wrong answer", async (_, step) => {
    upstream.script("stt", [step])
    expect(failureOf(await run())).toMatchObject({ stage: "stt", retryable: true })
  })
})

describe("generate", () => {
  const prompt = {
    instructions: "Be brief.",
    messages: [{ role: "user", content: "Well?" }],
    ...noTools,
  } as const
  const options = { turnId, model: "gpt-x", maxTokens: Option.some(40), temperature: Option.some(0.5) }

  const run = async (...steps: ReadonlyArray<Step>) => {
    upstream.script("llm", steps)
    const events: Array<ModelEvent> = []
    const generate = cleanReplies(generateWith(client))(prompt, options, (event) => {
      // How often a server shows that it lives depends on its packets.
      if (event._tag !== "Alive") events.push(event)
    })
    return { events, exit: await Effect.runPromiseExit(generate) }
  }
  const stream = (...chunks: ReadonlyArray<unknown>): Step => ({
    raw: {
      body: [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"]
        .map((data) => `data: ${data}\n\n`)
        .join(""),
      contentType: "text/event-stream",
    },
  })
  const delta = (content: object, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta: content, finish_reason }],
  })

  test("emits the text, the usage and the end", async () => {
    const { events, exit } = await run({ tokens: ["Yes", "", ".\0"] })
    expect(exit).toEqual(Exit.succeed(undefined))
    expect(events).toEqual([
      ModelEvent.Text({ text: "Yes" }),
      ModelEvent.Text({ text: "." }),
      ModelEvent.Usage({ inputTokens: expect.any(Number), outputTokens: 3 }),
      // The NUL.
      ModelEvent.Removed({ characters: 1 }),
      ModelEvent.End({ reason: "stop" }),
    ])
    expect(upstream.calls("llm")[0]?.request).toEqual({
      model: "gpt-x",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Well?" },
      ],
      max_tokens: 40,
      temperature: 0.5,
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test.each([
    ["stop", "stop"],
    ["length", "length"],
    ["content_filter", "filtered"],
    ["eos", "stop"],
  ] as const)("finish_reason %s is the end %s", async (finishReason, reason) => {
    const { events } = await run({ text: "Yes.", finishReason })
    expect(events.at(-1)).toEqual(ModelEvent.End({ reason }))
  })

  test("a refusal in words is text", async () => {
    const { events } = await run(stream(delta({ refusal: "I can't." }), delta({}, "stop")))
    expect(events).toEqual([ModelEvent.Text({ text: "I can't." }), ModelEvent.End({ reason: "refused" })])
  })

  test("an answer that is filtered whole is not worth another try", async () => {
    const { events, exit } = await run({ nullContent: true, finishReason: "content_filter" })
    expect(events.filter(ModelEvent.$is("End"))).toEqual([])
    expect(failureOf(exit)).toMatchObject({ reason: "the model declined to answer", retryable: false })
  })

  test("chunks of any shape do no harm, and a usage that makes no sense is left out", async () => {
    const odd = [{}, { choices: {} }, { choices: [{ delta: { content: 5 } }] }]
    const usage = { prompt_tokens: -1, completion_tokens: "many" }
    const { events, exit } = await run(
      stream(...odd, delta({ content: "Yes." }), { ...delta({}, "stop"), usage }),
    )
    expect(exit).toEqual(Exit.succeed(undefined))
    expect(events).toEqual([ModelEvent.Text({ text: "Yes." }), ModelEvent.End({ reason: "stop" })])
  })

  test.each<readonly [string, Step]>([
    ["without its end mark", fail.withoutDone()],
    ["that is cut off", fail.cutOff({ tokens: 2 })],
    ["that is reset", fail.reset({ tokens: 2 })],
    ["with an error in it", fail.errorEvent()],
    ["without text", fail.nullContent()],
    ["without choices", fail.noChoices()],
    ["of null", { raw: { body: "data: null\n\ndata: [DONE]\n\n", contentType: "text/event-stream" } }],
    ["of white space", { tokens: [" ", "\n"] }],
    ["that is HTML", fail.html()],
  ])("a stream %s is a wrong answer", async (_, step) => {
    const { events, exit } = await run(step)
    expect(failureOf(exit)).toMatchObject({ stage: "llm", retryable: true })
    expect(events.filter(ModelEvent.$is("End"))).toEqual([])
  })

  test("an interruption closes the connection, and no event follows it", async () => {
    upstream.script("llm", [{ tokens: Array(500).fill("word "), chunkDelayMs: 2 }])
    const controller = new AbortController()
    let events = 0
    const generate = generateWith(client)(prompt, options, ({ _tag }) => {
      if (_tag !== "Alive") events += 1
      if (events === 3) controller.abort()
    })
    const exit = await Effect.runPromiseExit(generate, { signal: controller.signal })
    expect(Exit.isInterrupted(exit)).toBe(true)
    // The rest of the packet was read in the same moment.
    const before = events
    await upstream.waitFor(() => upstream.calls("llm")[0]?.outcome === "aborted by client")
    expect(events).toBe(before)
    expect(events).toBeLessThan(500)
  })

  test("an error of `on` is a defect, and closes the connection", async () => {
    upstream.script("llm", [{ tokens: Array(500).fill("word "), chunkDelayMs: 20 }])
    const bug = new Error("a bug")
    const generate = generateWith(client)(prompt, options, () => {
      throw bug
    })
    expect(await Effect.runPromiseExit(generate)).toEqual(Exit.die(bug))
    await upstream.waitFor(() => upstream.calls("llm")[0]?.outcome === "aborted by client")
  })
})

describe("speak", () => {
  const run = async (step: Step, format: "mp3" | "pcm" = "pcm") => {
    upstream.script("tts", [step])
    const chunks: Array<Uint8Array> = []
    let opened = 0
    const options = { turnId, model: "tts-x", voice: "nova", output: makeSpeechOutput(format) }
    const speak = speakWith(client, { startConversion, format: Option.none() })("Yes.", options, () => {
      opened += 1
      return (chunk) => chunks.push(chunk) > 0
    })
    return { exit: await Effect.runPromiseExit(speak), audio: Buffer.concat(chunks), opened }
  }

  test.each(["mp3", "pcm"] as const)("gives the chunks of %s as they are", async (format) => {
    const audio = Buffer.from(await encodeSpeech(speechOf({ seconds: 0.4 }, 0), format))
    const { exit, opened, ...given } = await run({ audio, chunkBytes: 100 }, format)
    expect(exit).toEqual(Exit.void)
    expect(opened).toBe(1)
    expect(given.audio).toEqual(audio)
    expect(upstream.calls("tts")[0]?.request).toMatchObject({
      model: "tts-x",
      voice: "nova",
      input: "Yes.",
      response_format: format,
    })
  })

  test.each([
    ["HTML", fail.html()],
    ["JSON", { raw: { body: "{}" } }],
    ["text", { raw: { body: "no", contentType: "text/plain" } }],
    ["no byte", fail.empty("audio/mpeg")],
    ["audio that is cut off", fail.cutOff({ bytes: 100 })],
  ])("%s is a wrong answer", async (_, step) => {
    const { exit } = await run(step)
    expect(failureOf(exit)).toMatchObject({ stage: "tts", retryable: true })
  })
})

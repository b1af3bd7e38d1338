import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { eventsIn, writtenIn } from "../support/events.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import type { Step } from "../support/upstream.ts"

let service: TurnService
let key = ""
let sessionId = ""
beforeAll(async () => {
  service = await startTurns({ speed: 20, env: { TURN_TIMEOUT_SECONDS: "300" } })
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  const created = await service.call("POST", "/sessions", { key })
  sessionId = Schema.decodeUnknownSync(Schema.Struct({ sessionId: Schema.String }))(
    await created.json(),
  ).sessionId
})
afterEach(() => service.nothingLeft())

const say = (accept: string, text = "What is the capital of France?") =>
  service.call("POST", `/sessions/${sessionId}/messages`, { key, body: { text }, headers: { accept } })
const spoken = () => service.upstream.calls("tts").map(({ request }) => request.input)
const stored = async () => {
  const rows = await service.database
    .sql`select content from messages where session_id = ${sessionId} and role = 'assistant'`
  return Schema.decodeUnknownSync(Schema.Array(Schema.Struct({ content: Schema.String })))([...rows]).map(
    ({ content }) => content,
  )
}

const paris = "The capital of France is Paris."
const thought = "<think>\nOkay, the user asks. I answer briefly.\n</think>\n\n"
const pieces = (text: string): Step => ({ tokens: text.match(/[\s\S]{1,6}/gu) ?? [] })

const delta = (delta: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta, finish_reason }],
})
const event = (chunk: unknown) => `data: ${JSON.stringify(chunk)}\n\n`
const stream = (...parts: ReadonlyArray<string>): Step => ({
  raw: { body: [...parts, "data: [DONE]\n\n"].join(""), contentType: "text/event-stream" },
})

describe("thinking", () => {
  test.each(["application/json", "audio/mpeg", "text/event-stream"])(
    "is neither spoken, sent, saved nor asked again, for %s",
    async (accept) => {
      service.upstream.default("llm", pieces(`${thought}${paris}<|im_end|>`))
      const answer = await say(accept)
      expect(answer.status).toBe(200)
      const body = await answer.bytes()
      if (accept === "application/json") {
        expect(JSON.parse(new TextDecoder().decode(body))).toMatchObject({ response: paris })
      }
      if (accept === "text/event-stream") expect(writtenIn(eventsIn(body))).toBe(paris)
      expect(spoken()).toEqual([paris])
      expect(await stored()).toEqual([paris])
      await (await say(accept)).bytes()
      expect(service.upstream.calls("llm")[1]?.request.messages.slice(1)).toEqual([
        { role: "user", content: "What is the capital of France?" },
        { role: "assistant", content: paris },
        { role: "user", content: "What is the capital of France?" },
      ])
    },
  )

  test("whose opening tag is in the prompt is not in the answer", async () => {
    service.upstream.default("llm", pieces(`Okay, the user asks for it. I answer.\n</think>\n\n${paris}`))
    expect(await (await say("application/json")).json()).toMatchObject({ response: paris })
    const events = eventsIn(await (await say("text/event-stream")).bytes())
    expect(writtenIn(events)).toBe(paris)
    expect(service.upstream.calls("llm")).toHaveLength(2)
    expect(spoken().at(-1)).toBe(paris)
    expect(await stored()).toEqual([paris, paris])
  })

  const slowly = { chunkBytes: 25, chunkDelayMs: 100 }
  test.each([
    ["comments", ": PROCESSING\n\n".repeat(30)],
    ["thinking apart", event(delta({ reasoning_content: "Let me see. " })).repeat(5)],
    ["thinking in the text", event(delta({ content: `<think>${"Hm. ".repeat(80)}</think>` }))],
  ])("that shows itself in %s for longer than LLM_TIMEOUT_SECONDS is waited for", async (_, sign) => {
    // At 20 times the speed, LLM_TIMEOUT_SECONDS is 0.5 s, and LLM_THINKING_TIMEOUT_SECONDS 3 s.
    const answer = event(delta({ content: paris }, "stop"))
    service.upstream.default("llm", { ...stream(sign, answer), ...slowly })
    expect(await (await say("application/json")).json()).toMatchObject({ response: paris })
    expect(service.upstream.calls("llm")).toHaveLength(1)
  })

  test.each([
    ["an open tag", { text: "<think>\nOkay, the user asks", finishReason: "length" }],
    ["thinking apart", stream(event(delta({ reasoning_content: "Hm." })), event(delta({}, "length")))],
    ["thinking apart that stopped", stream(event(delta({ reasoning: "Hm." })), event(delta({}, "stop")))],
  ] satisfies ReadonlyArray<readonly [string, Step]>)("alone fails once: %s", async (_, step) => {
    service.upstream.default("llm", step)
    const answer = await say("application/json")
    expect(answer.status).toBe(500)
    expect(await answer.json()).toMatchObject({
      error: "LLM_FAILED",
      message: expect.stringMatching(/used up its answer with thinking.*LLM_MAX_TOKENS/),
    })
    expect(service.upstream.calls("llm")).toHaveLength(1)
    expect(await stored()).toEqual([])
  })
})

test("a content filter fails once", async () => {
  service.upstream.default("llm", { nullContent: true, finishReason: "content_filter" })
  const answer = await say("application/json")
  expect(answer.status).toBe(500)
  expect(await answer.json()).toMatchObject({
    error: "LLM_FAILED",
    message: "The model declined to answer.",
  })
  expect(service.upstream.calls("llm")).toHaveLength(1)
})

test("a refusal is the reply", async () => {
  service.upstream.default(
    "llm",
    stream(event(delta({ refusal: "I can't help." })), event(delta({}, "stop"))),
  )
  expect(await (await say("application/json")).json()).toMatchObject({ response: "I can't help." })
  expect(spoken()).toEqual(["I can't help."])
})

test("a reply that its provider broke off with finish_reason error is asked for again", async () => {
  service.upstream.script("llm", [
    stream(event(delta({ content: "The capital of" })), event(delta({}, "error"))),
  ])
  service.upstream.default("llm", { text: paris })
  expect(await (await say("application/json")).json()).toMatchObject({ response: paris })
  expect(service.upstream.calls("llm")).toHaveLength(2)
})

test("a server that does not stream is heard", async () => {
  const body = JSON.stringify({ choices: [{ message: { role: "assistant", content: paris } }] })
  service.upstream.default("llm", { raw: { body } })
  expect(await (await say("application/json")).json()).toMatchObject({ response: paris })
  expect(service.upstream.calls("llm")).toHaveLength(1)
})

test("half a surrogate pair reaches neither the client nor the voice", async () => {
  const parts = ["Fine \ud83d", "\ude00 today. And then \ude00 so on.", " The end is near \ud83d"]
  const chunks = parts.map((content) => event(delta({ content })))
  service.upstream.default("llm", stream(...chunks, event(delta({}, "stop"))))
  const body = await (await say("text/event-stream")).bytes()
  expect(new TextDecoder().decode(body)).not.toMatch(/\\ud[89a-f]/i)
  const written = "Fine \u{1f600} today. And then \ufffd so on. The end is near \ufffd"
  expect(writtenIn(eventsIn(body))).toBe(written)
  expect(spoken().every((text) => text.isWellFormed())).toBe(true)
  expect(await stored()).toEqual([written])
})

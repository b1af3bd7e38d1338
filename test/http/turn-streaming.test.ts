import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { decode } from "../support/ffmpeg.ts"
import { tonesIn } from "../support/listen.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Requests, SAMPLE_RATE, type Step } from "../support/upstream.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ speed: 30, env: { LLM_MAX_TOKENS: "5000" } })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => {
  service.reset()
  service.upstream.default("tts", brief)
})
afterEach(() => service.nothingLeft())

/** Enough audio to detect tones, in few bytes. */
const brief: Step = { seconds: 0.6 }

const converse = (accept = "audio/mpeg") => service.converse(key, new Blob([recording]), { accept })

/** Sentences of about 90 characters with their numbers. */
const sentences = (count: number) =>
  Array.from(
    { length: count },
    (_, n) => `Sentence number ${n} says a few words about the weather, the sea and the time of the day.`,
  )

/** A step for the first call whose text matches. Other calls use the default. */
const once = (wanted: RegExp, step: Step) => {
  let left = 1
  return ({ input }: Requests["tts"]): Step => ({
    ...brief,
    ...(wanted.test(input) && left-- > 0 ? step : {}),
  })
}

/** The completely spoken sentences of the reply, in order. */
const spokenOf = (reply: string) =>
  service.upstream
    .calls("tts")
    .filter(({ request, outcome }) => outcome === "answered" && reply.includes(request.input))
    .toSorted((a, b) => reply.indexOf(a.request.input) - reply.indexOf(b.request.input))
    .flatMap(({ spoken }) => (spoken === undefined ? [] : [spoken]))

/** Expects the whole reply in order, as one MP3 that decodes without warnings. */
const expectSpoken = async (audio: Uint8Array, reply: string) => {
  const spoken = spokenOf(reply)
  const { samples, log } = await decode(audio)
  expect(log).toBe("")
  expect(tonesIn(samples)).toEqual(spoken.map(({ hz }) => hz))
  const seconds = spoken.reduce((sum, { samples: length }) => sum + length, 0) / SAMPLE_RATE
  // An encoder adds up to two frames of silence (24 ms each) to each segment.
  expect(Math.abs(samples.length / SAMPLE_RATE - seconds)).toBeLessThan(0.1 * spoken.length)
}

describe("a reply in segments", () => {
  test.each([
    ["two sentences", sentences(2)],
    ["ten sentences", sentences(10)],
    ["more than the limit of one TTS call", sentences(60)],
  ])("%s are one MP3", async (_, said) => {
    const reply = said.join(" ")
    service.upstream.script("llm", [{ text: reply }])
    await expectSpoken(await (await converse()).bytes(), reply)
    const inputs = service.upstream.calls("tts").map(({ request }) => request.input)
    expect(inputs.toSorted((a, b) => reply.indexOf(a) - reply.indexOf(b)).join(" ")).toBe(reply)
    expect(service.upstream.refusals()).toEqual([])
  })

  test.each([1, 2, 3, 4])("are sent in order, whichever is ready first (%d)", async (seed) => {
    const reply = sentences(10).join(" ")
    service.upstream.script("llm", [{ text: reply }])
    service.upstream.default("tts", ({ input }) => ({
      ...brief,
      delayMs: Number(Bun.hash(input, seed) % 40n),
      chunkDelayMs: Number(Bun.hash(input, seed + 1) % 5n),
      chunkBytes: 500 + Number(Bun.hash(input, seed + 2) % 5000n),
    }))
    await expectSpoken(await (await converse()).bytes(), reply)
  })

  test("the first is spoken while the model writes", async () => {
    service.upstream.script("llm", [{ text: sentences(4).join(" "), chunkDelayMs: 10 }])
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("open")
    expect((await client.answer()).whole).toBe(true)
    client.leave()
  })

  test("at most two are prepared ahead", async () => {
    service.upstream.script("llm", [{ text: sentences(20).join(" ") }])
    service.upstream.default("tts", { ...fail.hang({ bytes: 9000 }), ...brief })
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    await service.upstream.waitFor(() => service.upstream.calls("tts").length === 3)
    await Bun.sleep(50)
    expect(service.upstream.calls("tts")).toHaveLength(3)
    client.leave()
  })

  test("slow text without a sentence end is spoken", async () => {
    const words = Array.from({ length: 20 }, () => " and")
    service.upstream.script("llm", [{ tokens: words, chunkDelayMs: 60 }])
    const client = await service.converseRaw(key, recording)
    await client.until(({ body }) => body.length > 0)
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("open")
    client.leave()
  })

  test.each([
    ["Markdown", "## Hi\n\n**Bold** and _soft_ words, see `x_y`.\n\n- one thing\n- another thing\n", /[#*`]/],
    ["emoji", "Sure! 🎉 I can do that for you. 👍🏽", /\p{Extended_Pictographic}/u],
    ["code", "Here is the code for it.\n\n```js\nlet x = 1\n```\n\nThat is all of it.", /```|let x/],
    ["a formula", "The area is $A = \\pi r^2$, so \\[ r = \\sqrt{\\frac{A}{\\pi}} \\] it is.", /[\\\\$^{}]/],
    ["entities", "The caf&eacute; is open &mdash; it&#8217;s \u200bnear.\u202e", /[&;\u200b\u202e]/],
    ["a link", "Look at [the page](https://example.com/a?b=c) for more about it.", /https?:/],
  ])("%s: spoken as words, stored as written", async (_, reply, unspeakable) => {
    service.upstream.script("llm", [{ text: reply }])
    const answer = await converse("application/json")
    expect(await answer.json()).toMatchObject({ response: reply })
    const inputs = service.upstream.calls("tts").map(({ request }) => request.input)
    expect(inputs.length).toBeGreaterThan(0)
    for (const input of inputs) expect(input).not.toMatch(unspeakable)
  })
})

describe("failures before any audio are retried", () => {
  test.each([
    ["in a sentence", fail.reset({ tokens: 4 })],
    ["after a sentence with a TTS request", fail.cutOff({ tokens: 16 })],
    ["at its very end", fail.withoutDone()],
    ["by an error in the stream", fail.errorEvent({ tokens: 16 })],
  ])("the model breaks %s: the second reply is used", async (_, step) => {
    const second = "This is the second reply of the two."
    service.upstream.script("llm", [
      { ...step, text: "The first reply breaks off, as you may hear. And then it goes on." },
      { text: second },
    ])
    // The first reply is never spoken: on a busy machine, a delay could end before the model breaks.
    service.upstream.default("tts", ({ input }) => (second.includes(input) ? brief : fail.hang()))
    const answer = await converse()
    await expectSpoken(await answer.bytes(), second)
    const messages = await service.call("GET", `/sessions/${answer.headers.get("x-session-id")}/messages`, {
      key,
    })
    expect(await messages.json()).toMatchObject({
      messages: [{ role: "user" }, { role: "assistant", content: second }],
    })
    const dropped = service.upstream.calls("tts").filter(({ request }) => !second.includes(request.input))
    await service.upstream.waitFor(() => dropped.every(({ outcome }) => outcome === "aborted by client"))
  })

  const [first = "", second = "", ...others] = sentences(5)
  test.each([
    ["before its first byte", fail.status(500)],
    ["by a reset", fail.reset()],
    ["without a byte", fail.empty("audio/mpeg")],
    ["after bytes, while the previous one is sent", fail.reset({ bytes: 9000 })],
    ["after bytes, silently", fail.hang({ bytes: 9000 })],
  ])("a later segment fails %s", async (_, step) => {
    const reply = [first, second, ...others].join(" ")
    const failing = once(/number 1/, step)
    service.upstream.script("llm", [{ text: reply }])
    service.upstream.default("tts", (request) =>
      /number 0/.test(request.input) ? { ...brief, chunkBytes: 1500, chunkDelayMs: 120 } : failing(request),
    )
    const answer = await converse()
    await expectSpoken(await answer.bytes(), reply)
    const tries = service.upstream.calls("tts").filter(({ request }) => /number 1/.test(request.input))
    expect(tries).toHaveLength(2)
  })
})

describe("failures after audio abort the response", () => {
  /** The first sentence of the reply has 18 tokens. */
  const reply = sentences(3).join(" ")
  const speakFirst = (step: Step) => service.upstream.default("tts", once(/number 0/, step))

  /** Each with the result as JSON: nothing was sent yet, so a single failure is retried. */
  const failures: ReadonlyArray<readonly [string, () => void, string]> = [
    [
      "speech reset",
      () => speakFirst({ ...fail.reset({ bytes: 9000 }), chunkBytes: 1500, chunkDelayMs: 60 }),
      "completed",
    ],
    ["speech closed", () => speakFirst(fail.cutOff({ bytes: 9000 })), "completed"],
    ["speech stalled", () => speakFirst(fail.hang({ bytes: 9000 })), "completed"],
    [
      "a later segment without audio",
      () =>
        service.upstream.default("tts", ({ input }) => (/number 1/.test(input) ? fail.status(500) : brief)),
      "TTS_FAILED",
    ],
    [
      "a later segment rejected",
      () =>
        service.upstream.default("tts", ({ input }) => (/number 1/.test(input) ? fail.badRequest() : brief)),
      "INVALID_REQUEST",
    ],
    [
      "the model stalled",
      () => service.upstream.script("llm", [{ ...fail.hang({ tokens: 30 }), text: reply }]),
      "completed",
    ],
    [
      "the model reset",
      () =>
        service.upstream.script("llm", [{ ...fail.reset({ tokens: 30 }), text: reply, chunkDelayMs: 20 }]),
      "completed",
    ],
    [
      "the model without its end mark",
      () => service.upstream.script("llm", [{ ...fail.withoutDone(), text: reply, chunkDelayMs: 20 }]),
      "completed",
    ],
  ]
  beforeEach(() => service.upstream.default("llm", { text: reply }))

  test.each(failures)("%s: no clean end, the heard part is saved", async (what, letDown) => {
    const before = await service.stored()
    letDown()
    const client = await service.converseRaw(key, recording)
    expect((await client.answer()).whole).toBe(false)
    await service.nothingLeft()
    const { sessions, messages } = await service.stored()
    expect({ sessions, messages }).toEqual({ sessions: before.sessions + 1, messages: before.messages + 2 })
    const [turn] = await service.database.sql`
      select t.state, t.response, t.usage, m.content, m.interrupted from turns t join messages m on turn_id = t.id
      where role = 'assistant' order by t.sequence desc limit 1`
    expect(turn).toMatchObject({ state: "interrupted", interrupted: true })
    // The item has whole sentences; the turn keeps the whole text.
    expect(turn.content).toBe(what.startsWith("speech") ? "" : turn.response.slice(0, turn.content.length))
    if (/later piece|model (silent|reset)/.test(what)) expect(turn.content).toBe(sentences(1)[0])
    expect(reply.startsWith(turn.response)).toBe(true)
    expect(turn.usage).toMatchObject({ audioSeconds: expect.any(Number), inputTokens: expect.any(Number) })
    expect(turn.usage.outputTokens).toBeGreaterThan(0)
    expect(turn.usage.charactersSpoken > 0).toBe(true)
  })

  test.each(failures.slice(0, 2))("%s: fetch rejects", async (_, letDown) => {
    letDown()
    await expect(converse().then((answer) => answer.bytes())).rejects.toThrow()
  })

  test.each(failures)("%s: JSON gets a status or a retry", async (_, letDown, end) => {
    letDown()
    const answer = await converse("application/json")
    expect(await answer.json()).toMatchObject(end === "completed" ? { response: reply } : { error: end })
  })

  test("nothing is retried", async () => {
    service.upstream.script("llm", [{ ...fail.hang({ tokens: 30 }), text: reply }])
    const client = await service.converseRaw(key, recording)
    await client.answer()
    expect(service.upstream.calls("llm")).toHaveLength(1)
    service.reset()
    service.upstream.script("llm", [{ text: sentences(1).join(" ") }])
    speakFirst({ ...fail.reset({ bytes: 9000 }), chunkBytes: 1500, chunkDelayMs: 60 })
    await (await service.converseRaw(key, recording)).answer()
    expect(service.upstream.calls("tts")).toHaveLength(1)
  })

  test("a deleted session is not restored", async () => {
    const first = await converse()
    await first.bytes()
    const sessionId = first.headers.get("x-session-id") ?? ""
    service.upstream.default("llm", { text: reply, chunkDelayMs: 5 })
    const turn = await service.converse(key, new Blob([recording]), { sessionId })
    expect(turn.headers.get("x-session-id")).toBe(sessionId)
    expect((await service.call("DELETE", `/sessions/${sessionId}`, { key })).status).toBe(204)
    await expect(turn.bytes()).rejects.toThrow()
    await service.nothingLeft()
    expect((await service.call("GET", `/sessions/${sessionId}`, { key })).status).toBe(404)
  })
})

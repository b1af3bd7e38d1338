import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { recordings, wav16k } from "../support/audio.ts"
import { decode } from "../support/ffmpeg.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

let service: TurnService
let key = ""
let recording: Blob
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
  recording = new Blob([await wav16k()])
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const sessionOf = (answer: Response) => answer.headers.get("x-session-id") ?? ""

const messagesOf = async (sessionId: string, as = key) =>
  (await service.call("GET", `/sessions/${sessionId}/messages?limit=200`, { key: as })).json()

/** The messages of the last LLM call without the system prompt. */
const shown = () =>
  service.upstream
    .calls("llm")
    .at(-1)
    ?.request.messages.slice(1)
    .map(({ content }) => content)

/** Runs one complete turn. */
const turn = async (said: string, replied: string, sessionId?: string, on = service, as = key) => {
  on.upstream.script("stt", [{ text: said }])
  on.upstream.script("llm", [{ text: replied }])
  const answer = await on.converse(as, recording, sessionId === undefined ? {} : { sessionId })
  expect(answer.status).toBe(200)
  await answer.bytes()
  return answer
}

test("a spoken question is answered, saved and remembered", async () => {
  service.upstream.script("stt", [{ text: "What is the capital of France?" }, { text: "And of Spain?" }])
  service.upstream.script("llm", [{ text: "It is Paris. Ask me more!" }, { text: "That is Madrid." }])

  const first = await service.converse(key, recording)
  expect(first.status).toBe(200)
  expect(first.headers.get("content-type")).toBe("audio/mpeg")
  expect(first.headers.get("x-transcript")).toBe("What is the capital of France?")
  const heard = await decode(await first.bytes(), { from: "pipe" })
  expect(heard.log).toBe("")
  expect(heard.samples.length).toBeGreaterThan(24_000)
  const sessionId = sessionOf(first)

  const second = await service.converse(key, new Blob([await recordings.webmOpus.make()]), {
    sessionId,
    accept: "application/json",
  })
  expect(await second.json()).toMatchObject({
    sessionId,
    transcript: "And of Spain?",
    response: "That is Madrid.",
  })
  expect(service.upstream.calls("llm").at(-1)?.request.messages).toMatchObject([
    { role: "system", content: expect.stringContaining("voice assistant") },
    { role: "user", content: "What is the capital of France?" },
    { role: "assistant", content: "It is Paris. Ask me more!" },
    { role: "user", content: "And of Spain?" },
  ])
  expect(await messagesOf(sessionId)).toMatchObject({
    messages: [
      { role: "user", content: "What is the capital of France?", interrupted: false },
      { role: "assistant", content: "It is Paris. Ask me more!" },
      { role: "user", content: "And of Spain?" },
      { role: "assistant", content: "That is Madrid." },
    ],
  })
})

test("the providers get the configured options", async () => {
  await turn("Hello?", "Hello there, good to hear you.")
  const { stt, llm, tts } = {
    stt: service.upstream.calls("stt")[0],
    llm: service.upstream.calls("llm")[0],
    tts: service.upstream.calls("tts")[0],
  }
  expect(stt?.request.fields).toEqual({ model: "whisper-1", response_format: "verbose_json" })
  expect(llm?.request).toMatchObject({
    model: "gpt-3.5-turbo",
    max_tokens: 500,
    temperature: 0.7,
    stream: true,
  })
  expect(tts?.request).toMatchObject({ model: "tts-1", voice: "alloy", response_format: "mp3" })
  for (const call of [stt, llm, tts]) expect(call?.headers.authorization).toBe("Bearer sk-test")
  expect(service.upstream.refusals()).toEqual([])
})

describe("the transcript", () => {
  test.each([
    ["plain English", "What's up - really?", "What's up - really?"],
    ["Japanese", "今日はいい天気ですね。", undefined],
    ["a curly apostrophe", "It’s five o’clock", "It%E2%80%99s five o%E2%80%99clock"],
    ["a line break", "First.\r\nSecond.\tThird.", "First.%0D%0ASecond.%09Third."],
    ["a percent sign", "100% of 50%41", "100%25 of 50%2541"],
    ["emoji", "Great 👩🏽‍🚀🎉", undefined],
    ["what a header would end at", 'a"b\\c;d,e:f\u007f\u0085\u2028g', undefined],
    ["Arabic and Hindi", "مرحبا नमस्ते", undefined],
  ])("%s is decoded from the header", async (_, text, plain) => {
    const answer = await turn(text, "All right then.")
    const header = answer.headers.get("x-transcript") ?? ""
    expect(decodeURIComponent(header)).toBe(text)
    expect(header).toMatch(/^[ -~]+$/)
    if (plain !== undefined) expect(header).toBe(plain)
    expect(answer.headers.get("x-transcript-truncated")).toBeNull()
    expect(await messagesOf(sessionOf(answer))).toMatchObject({ messages: [{ content: text }, {}] })
  })

  test.each([
    ["English", "a quick brown fox ".repeat(700).trim()],
    ["Japanese", "天気".repeat(6000)],
    ["emoji", `${"🎉".repeat(6000)}x`],
    ["emoji, a byte on", `x${"🎉".repeat(6000)}`],
  ])("12,000 characters of %s are cut between characters", async (_, text) => {
    const answer = await turn(text, "That was quite a speech.")
    const header = answer.headers.get("x-transcript") ?? ""
    expect(header.length).toBeLessThanOrEqual(2048)
    expect(header.length).toBeGreaterThan(2000)
    expect(text.startsWith(decodeURIComponent(header))).toBe(true)
    expect(answer.headers.get("x-transcript-truncated")).toBe("true")
    expect(await messagesOf(sessionOf(answer))).toMatchObject({ messages: [{ content: text }, {}] })
  })

  test("NUL and half a character do no harm", async () => {
    const answer = await turn("Hel\0lo \ud83d there", "Good\0 day \udc00 to you.")
    expect(decodeURIComponent(answer.headers.get("x-transcript") ?? "")).toBe("Hello \ufffd there")
    expect(await messagesOf(sessionOf(answer))).toMatchObject({
      messages: [{ content: "Hello \ufffd there" }, { content: "Good day \ufffd to you." }],
    })
  })
})

describe("the prompt", () => {
  test("of 26 turns: the newest 20 messages and the transcript", async () => {
    let sessionId: string | undefined
    for (let n = 1; n <= 25; n++)
      sessionId = sessionOf(await turn(`Question ${n}?`, `Answer number ${n} is this.`, sessionId))
    await turn("Question 26?", "The last answer.", sessionId)
    const newest = Array.from({ length: 10 }, (_, i) => [
      `Question ${16 + i}?`,
      `Answer number ${16 + i} is this.`,
    ])
    expect(shown()).toEqual([...newest.flat(), "Question 26?"])
    expect(service.upstream.calls("llm").at(-1)?.request.messages[0]?.role).toBe("system")
  })

  test("drops the oldest turns over CONTEXT_TOKENS", async () => {
    const small = await startTurns({ env: { CONTEXT_TOKENS: "60", CONTEXT_MESSAGES: "100" } })
    try {
      const as = await small.register()
      const said = (n: number) => `Question ${n} `.padEnd(40, "?")
      const replied = (n: number) => `Answer ${n} `.padEnd(40, ".")
      let sessionId: string | undefined
      for (let n = 1; n <= 5; n++)
        sessionId = sessionOf(await turn(said(n), replied(n), sessionId, small, as))
      await turn("And now?", "Nothing more.", sessionId, small, as)
      // 20 tokens a turn: three fit.
      const contents = small.upstream
        .calls("llm")
        .at(-1)
        ?.request.messages.slice(1)
        .map(({ content }) => content)
      expect(contents).toEqual([...[3, 4, 5].flatMap((n) => [said(n), replied(n)]), "And now?"])
      await small.nothingLeft()
    } finally {
      await small.stop()
    }
  })
})

describe("the session", () => {
  test.each([
    ["that is not a UUID", () => "not-a-uuid"],
    ["that is unknown", () => crypto.randomUUID()],
    ["with a NUL", () => "\0"],
    ["with SQL in it", () => "'; drop table sessions; --"],
    [
      "of another user",
      async () => {
        const other = await service.register()
        return sessionOf(await turn("My secret.", "I keep it well.", undefined, service, other))
      },
    ],
    [
      "that is expired",
      async () => {
        const id = sessionOf(await turn("Long ago.", "Indeed it was."))
        await service.database
          .sql`update sessions set last_activity_at = now() - interval '31 minutes' where id = ${id}`
        return id
      },
    ],
  ])("%s: the turn gets a new one", async (_, make) => {
    const asked = await make()
    const answer = await turn("Hello?", "Good to hear you.", asked)
    expect(sessionOf(answer)).not.toBe(asked)
    expect(shown()).toEqual(["Hello?"])
    expect(await messagesOf(sessionOf(answer))).toMatchObject({ messages: [{ content: "Hello?" }, {}] })
  })

  test("accepts an id in capitals", async () => {
    const id = sessionOf(await turn("Hello?", "Good to hear you."))
    expect(sessionOf(await turn("Again?", "Again it is.", id.toUpperCase()))).toBe(id)
  })

  test("a failed turn leaves no session and no message", async () => {
    const id = sessionOf(await turn("First.", "First answer."))
    const before = await service.stored()
    for (const sessionId of [undefined, id]) {
      for (const stage of ["stt", "llm", "tts"] as const) {
        service.upstream.script(stage, [fail.badRequest()])
        const answer = await service.converse(key, recording, sessionId === undefined ? {} : { sessionId })
        expect(answer.status).toBe(400)
        await answer.json()
      }
    }
    expect(await service.stored()).toEqual(before)
    await turn("Second.", "Second answer.", id)
    expect(shown()).toEqual(["First.", "First answer.", "Second."])
  })
})

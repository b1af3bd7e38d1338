/** Replies without words to speak. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { eventsIn } from "../support/events.ts"
import { decode } from "../support/ffmpeg.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

let service: TurnService
let user = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns()
  user = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const code = "```js\nconsole.log(1)\n```\n"
const replies = ["👍", "♥", "...", "---", code, "🎉 🎉\n\n", "**", "| - |\n", "!?", "(…)"]

const ask = (accept: string, headers: Record<string, string> = {}) =>
  service.converse(user, new Blob([recording]), { accept, headers })

/** One request to the model, none to the voice: nothing is paid twice. */
const expectOnePayment = () => {
  expect(service.upstream.calls("llm")).toHaveLength(1)
  expect(service.upstream.calls("tts")).toEqual([])
}

const expectSaved = async (session: string | null, reply: string) => {
  const messages = await service.call("GET", `/sessions/${session}/messages`, { key: user })
  expect(await messages.json()).toMatchObject({
    messages: [{ role: "user" }, { role: "assistant", content: reply, interrupted: false }],
  })
}

test.each(replies)("%j as JSON has no audio", async (text) => {
  service.upstream.default("llm", { text })
  const answer = await ask("application/json")
  expect(answer.status).toBe(200)
  expect(await answer.json()).toMatchObject({ response: text, audio: null, usage: { charactersSpoken: 0 } })
  expectOnePayment()
  await expectSaved(answer.headers.get("x-session-id"), text)
})

test.each(replies)("%j as events has no audio event", async (text) => {
  service.upstream.default("llm", { text })
  const answer = await ask("text/event-stream")
  const events = eventsIn(await answer.bytes())
  expect(events.map(({ event }) => event)).not.toContain("audio")
  expect(events.map(({ event }) => event)).not.toContain("error")
  expect(events.at(-1)).toMatchObject({ event: "turn.completed", data: { response: text } })
  expectOnePayment()
  await expectSaved(answer.headers.get("x-session-id"), text)
})

/** The samples of an answer, all of them silent. */
const silenceOf = async (type: string, bytes: Uint8Array) => {
  const inputArgs = type === "audio/pcm" ? ["-f", "s16le", "-ar", "24000", "-ac", "1"] : []
  const { samples, log } = await decode(bytes, { inputArgs })
  // Of a WAV without sizes and of raw samples, ffmpeg says what it assumes.
  if (type === "audio/mpeg") expect(log).toBe("")
  expect(samples.every((sample) => sample === 0)).toBe(true)
  return samples.length / 24_000
}

describe.each(["audio/mpeg", "audio/wav", "audio/pcm"])("as %s", (type) => {
  test.each(replies)("%j is 0.2 s of silence", async (text) => {
    service.upstream.default("llm", { text })
    const answer = await ask(type)
    expect({ status: answer.status, type: answer.headers.get("content-type") }).toEqual({ status: 200, type })
    expect(decodeURIComponent(answer.headers.get("x-response") ?? "")).toBe(text)
    expect(answer.headers.get("x-response-truncated")).toBeNull()
    const seconds = await silenceOf(type, await answer.bytes())
    expect(seconds).toBeGreaterThanOrEqual(0.2)
    expect(seconds).toBeLessThan(0.25)
    expectOnePayment()
    await expectSaved(answer.headers.get("x-session-id"), text)
  })
})

test("a long reply is cut in X-Response", async () => {
  service.upstream.default("llm", { text: "👍".repeat(400) })
  const answer = await ask("audio/mpeg")
  await answer.bytes()
  const text = decodeURIComponent(answer.headers.get("x-response") ?? "")
  expect(text).toBe("👍".repeat(Math.floor(2048 / 12)))
  expect(answer.headers.get("x-response-truncated")).toBe("true")
})

test("a spoken reply has no X-Response", async () => {
  const answer = await ask("audio/mpeg")
  await answer.bytes()
  expect(answer.headers.get("x-response")).toBeNull()
})

test("words after an emoji are spoken, and a code block after them is kept", async () => {
  const text = `👍\n\n${code}Here it is.\n${code}`
  service.upstream.default("llm", { text })
  const answer = await ask("application/json")
  expect(await answer.json()).toMatchObject({ response: text, audio: { format: "mp3" } })
  expect(service.upstream.calls("tts").map(({ request }) => request.input)).toEqual(["Here it is."])
  await expectSaved(answer.headers.get("x-session-id"), text)
})

describe("a text turn", () => {
  test.each(["audio/mpeg", "application/json", "text/event-stream"])("as %s", async (accept) => {
    service.upstream.default("llm", { text: "👍" })
    const created = await service.call("POST", "/sessions", { key: user })
    const { sessionId } = (await created.json()) as { readonly sessionId: string }
    const answer = await service.call("POST", `/sessions/${sessionId}/messages`, {
      key: user,
      body: { text: "Do you like it?" },
      headers: { accept },
    })
    expect(answer.status).toBe(200)
    await answer.bytes()
    expectOnePayment()
    await expectSaved(sessionId, "👍")
  })
})

describe("a retry with the same Idempotency-Key", () => {
  const renderings = ["audio/mpeg", "audio/wav", "application/json", "text/event-stream"]
  const pairs = renderings.flatMap((first) => renderings.map((second) => [first, second] as const))
  test.each(pairs)("%s, then %s", async (first, second) => {
    service.upstream.default("llm", { text: "👍" })
    const headers = { "idempotency-key": crypto.randomUUID() }
    await (await ask(first, headers)).bytes()
    const answer = await ask(second, headers)
    const body = await answer.bytes()
    expect({ status: answer.status, replayed: answer.headers.get("idempotent-replayed") }).toEqual({
      status: 200,
      replayed: "true",
    })
    if (second.startsWith("audio/")) {
      expect(decodeURIComponent(answer.headers.get("x-response") ?? "")).toBe("👍")
      expect(await silenceOf(second, body)).toBeLessThan(0.25)
    } else if (second === "application/json") {
      expect(JSON.parse(new TextDecoder().decode(body))).toMatchObject({ response: "👍", audio: null })
    } else {
      expect(eventsIn(body).at(-1)).toMatchObject({ event: "turn.completed", data: { response: "👍" } })
    }
    expectOnePayment()
  })
})

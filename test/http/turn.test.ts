import { afterAll, beforeAll, expect, test } from "bun:test"
import { recordings } from "../support/audio.ts"
import { decode } from "../support/ffmpeg.ts"
import { type Service, startService } from "../support/service.ts"

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterAll(() => service.stop())

const blob = async (name: keyof typeof recordings) => new Blob([await recordings[name].make()])

test("a spoken question is answered in speech, saved, and known to the next turn", async () => {
  const key = await service.register()
  service.upstream.script("stt", [{ text: "What is the capital of France?" }, { text: "And of Spain?" }])
  service.upstream.script("llm", [{ text: "It is Paris. Ask me more!" }, { text: "That is Madrid." }])

  const first = await service.converse(key, await blob("wav16k"))
  expect(first.status).toBe(200)
  expect(first.headers.get("content-type")).toBe("audio/mpeg")
  expect(first.headers.get("x-transcript")).toBe("What is the capital of France?")
  const heard = await decode(await first.bytes(), { from: "pipe" })
  expect(heard.log).toBe("")
  expect(heard.samples.length).toBeGreaterThan(24_000)
  const sessionId = first.headers.get("x-session-id") ?? ""

  const second = await service.converse(key, await blob("webmOpus"), {
    sessionId,
    accept: "application/json",
  })
  expect(await second.json()).toMatchObject({
    sessionId,
    transcript: "And of Spain?",
    response: "That is Madrid.",
  })
  expect(
    service.upstream
      .calls("llm")
      .at(-1)
      ?.request.messages.map(({ content }) => content),
  ).toEqual([
    expect.stringContaining("voice assistant"),
    "What is the capital of France?",
    "It is Paris. Ask me more!",
    "And of Spain?",
  ])

  const messages = await service.call("GET", `/sessions/${sessionId}/messages`, { key })
  expect(await messages.json()).toMatchObject({
    messages: [
      { role: "user", content: "What is the capital of France?", interrupted: false },
      { role: "assistant", content: "It is Paris. Ask me more!" },
      { role: "user", content: "And of Spain?" },
      { role: "assistant", content: "That is Madrid." },
    ],
  })
})

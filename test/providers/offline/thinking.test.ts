import { expect, test } from "bun:test"
import { ModelEvent } from "../../../src/providers/language-model.ts"
import { withEngines } from "./engines.ts"

const engines = withEngines({ ffmpegPath: "ffmpeg" })

test("a reply comes word by word, then its usage, then its end", async () => {
  const events = await engines().think(
    { role: "user", content: "My name is Robert." },
    { role: "assistant", content: "Nice to meet you." },
    { role: "user", content: "What did I just say?" },
  )
  const reply = 'You just said: "My name is Robert."'
  const texts = events.filter(ModelEvent.$is("Text")).map(({ text }) => text)
  expect(texts.join("")).toBe(reply)
  expect(texts).toHaveLength(7)
  expect(events.slice(7)).toEqual([
    ModelEvent.Usage({ inputTokens: expect.any(Number), outputTokens: Math.ceil(reply.length / 4) }),
    ModelEvent.End({ reason: "stop" }),
  ])
})

test("the talker hears the user alone, and calls no tool", async () => {
  const events = await engines().think(
    { role: "user", content: "My name is Robert." },
    { role: "assistant", content: "Hello, Robert." },
    { role: "note", content: "The reply above was interrupted." },
    { role: "assistant", content: "", toolCalls: [{ callId: "1", name: "look", arguments: "{}" }] },
    { role: "tool", callId: "1", content: "My name is Ada." },
    { role: "system", content: "Speak German." },
    { role: "user", content: "What did you just say?" },
  )
  const text = events.flatMap((event) => (event._tag === "Text" ? [event.text] : [])).join("")
  expect(text).toBe("I said: Hello, Robert.")
})

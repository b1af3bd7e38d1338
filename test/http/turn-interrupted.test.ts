import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { FastCheck as fc } from "effect"
import { mp3, wav16k } from "../support/audio.ts"
import { eventsIn, soundIn, writtenIn } from "../support/events.ts"
import type { RawAnswer } from "../support/raw-http.ts"
import { noTurnRuns, openSession, type TestSession } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Requests, type Step } from "../support/upstream.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
let session: TestSession
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  service.upstream.default("llm", { text: reply })
  service.upstream.default("tts", brief)
  session = await openSession(service, key, recording)
})
afterEach(async () => {
  await service.nothingLeft()
  await noTurnRuns(service)
})

/** Each is long enough to be a segment and a TTS call of its own. */
const sentences = [50, 90, 140, 210].map(
  (length, n) => `Sentence number ${n} ${"says a little more of it, ".repeat(9).slice(0, length - 19)}.`,
)
const reply = sentences.join(" ")
const brief: Step = { seconds: 0.3 }
const question = "Hello, can you hear me?"

/** The audio of one sentence stalls after its first bytes. */
const hangIn =
  (sentence: number) =>
  ({ input }: Requests["tts"]): Step => ({
    ...brief,
    ...(input.includes(`number ${sentence}`) ? fail.hang({ bytes: 6000 }) : {}),
  })

const live = ["audio/mpeg", "audio/pcm", "text/event-stream"]

/** The number of received audio bytes. */
const heardBytes = (accept: string, { body }: RawAnswer) =>
  accept === "text/event-stream" ? soundIn(eventsIn(body)).length : body.length

/** The audio of the first sentences, in bytes. */
const speechOf = async (count: number, accept: string) => {
  if (count === 0) return 0
  service.upstream.script("llm", [{ text: sentences.slice(0, count).join(" ") }])
  const client = await service.converseRaw(key, recording, accept)
  const answer = await client.answer()
  client.leave()
  expect(answer.whole).toBe(true)
  service.upstream.reset()
  service.upstream.default("llm", { text: reply })
  return heardBytes(accept, answer)
}

/** Disconnects after this many sentences and a part of the next. */
const leaveWithin = async (sentence: number, accept: string, how: "close" | "reset" = "close") => {
  const enough = await speechOf(sentence, accept)
  service.upstream.default("tts", hangIn(sentence))
  const client = await session.begin(accept)
  await client.until((answer) => heardBytes(accept, answer) > enough)
  client.leave(how)
  await service.nothingLeft()
  await noTurnRuns(service)
}

const messagesOf = (content: string, interrupted = true) => [
  { role: "user", content: question, interrupted: false },
  { role: "assistant", content, interrupted },
]

describe.each(live)("a client of %s that disconnects", (accept) => {
  test.each([1, 2, 3])("after %d sentences: these are saved", async (count) => {
    await leaveWithin(count, accept, count % 2 === 0 ? "reset" : "close")
    expect(await session.messages()).toMatchObject(messagesOf(sentences.slice(0, count).join(" ")))
    const [turn, ...others] = await session.turns()
    expect(others).toEqual([])
    expect(turn).toMatchObject({ state: "interrupted", response: reply })
    const { audioSeconds, inputTokens = 0, outputTokens = 0, charactersSpoken = 0 } = turn?.usage ?? {}
    expect(audioSeconds).toBe(2)
    expect(Math.min(inputTokens, outputTokens, charactersSpoken)).toBeGreaterThan(0)
    expect(Object.keys(turn?.timings ?? {})).toEqual(
      expect.arrayContaining(["upload", "validate", "stt", "llmTtft", "ttsTtfb", "firstAudio"]),
    )
    expect(Object.keys(turn?.timings ?? {})).not.toContain("total")
  })

  test("while the model writes: the row has the text so far", async () => {
    const enough = await speechOf(1, accept)
    service.upstream.script("llm", [{ ...fail.hang({ tokens: 30 }), text: reply }])
    service.upstream.default("tts", hangIn(1))
    const client = await session.begin(accept)
    const written = () => {
      const [call] = service.upstream.calls("llm")
      return (call?.sent ?? []).map(({ token = "" }) => token).join("")
    }
    await client.until((answer) => {
      const isWritten = accept !== "text/event-stream" || writtenIn(eventsIn(answer.body)) === written()
      return heardBytes(accept, answer) >= enough && isWritten
    })
    await Bun.sleep(60)
    client.leave()
    await service.nothingLeft()
    const [turn] = await session.turns()
    expect(turn).toMatchObject({ state: "interrupted", response: written() })
    expect(reply.startsWith(written()) && written().length < reply.length).toBe(true)
    expect(await session.messages()).toMatchObject(messagesOf(sentences[0] ?? ""))
  })

  test("in the first sentence: no reply is saved", async () => {
    await leaveWithin(0, accept)
    expect(await session.messages()).toMatchObject(messagesOf(""))
    expect(await session.turns()).toMatchObject([{ state: "interrupted", response: reply }])
    service.upstream.reset()
    expect((await session.take()).status).toBe(200)
    const asked = service.upstream.calls("llm")[0]?.request.messages.slice(1)
    expect(asked).toEqual([{ role: "user", content: `${question}\n${question}` }])
    expect(await session.messages()).toHaveLength(4)
  })

  test("before the first audio: only the usage is saved", async () => {
    service.upstream.default("tts", fail.hang())
    const before = await service.stored()
    const client = await service.converseRaw(key, recording, accept)
    await service.upstream.waitFor(() => service.upstream.calls("tts")[0])
    client.leave()
    await service.nothingLeft()
    expect(await service.stored()).toEqual(before)
    const [turn] = await service.database.sql`select state, usage from turns order by sequence desc limit 1`
    expect(turn).toMatchObject({ state: "failed", usage: { audioSeconds: 2 } })
    expect(turn.usage.inputTokens).toBeGreaterThan(0)
  })

  test("before any cost: nothing is saved", async () => {
    service.ffmpegHangs(true)
    const [{ before }] = await service.database.sql`select count(*)::int as before from turns`
    const stored = await service.stored()
    const client = await service.converseRaw(key, await mp3(), accept)
    await until(() => service.ffmpegs().length === 1, "a start of ffmpeg")
    client.leave()
    await service.nothingLeft()
    const [{ after }] = await service.database.sql`select count(*)::int as after from turns`
    expect({ ...(await service.stored()), turns: after }).toEqual({ ...stored, turns: before })
  })
})

test("a disconnect before the JSON: nothing is saved", async () => {
  service.upstream.default("tts", hangIn(2))
  const client = await session.begin("application/json")
  await service.upstream.waitFor(() => service.upstream.calls("tts")[2]?.sent.length)
  client.leave()
  await service.nothingLeft()
  expect(await session.messages()).toEqual([])
  expect(await session.turns()).toMatchObject([{ state: "failed", usage: { audioSeconds: 2 } }])
})

/** A part of the body's bytes, or a time in ms. */
const moment = fc.oneof(
  fc.record({ share: fc.double({ min: 0, max: 1.01, noNaN: true }) }),
  // Around the end, where the save happens.
  fc.record({ share: fc.double({ min: 0.98, max: 1.01, noNaN: true }) }),
  fc.record({ ms: fc.nat(150) }),
)
const draw = fc.record({
  accept: fc.constantFrom(...live, "audio/wav"),
  moment,
  how: fc.constantFrom("close" as const, "reset" as const),
  pace: fc.nat(3),
})

test("a disconnect at any moment: saved once or not at all", async () => {
  const sizes = new Map<string, number>()
  for (const accept of [...live, "audio/wav"]) {
    const client = await service.converseRaw(key, recording, accept)
    sizes.set(accept, (await client.answer()).body.length)
    client.leave()
  }
  await fc.assert(
    fc.asyncProperty(draw, async ({ accept, moment, how, pace }) => {
      service.upstream.reset()
      service.upstream.default("llm", { text: reply, chunkDelayMs: pace / 4 })
      service.upstream.default("tts", { ...brief, chunkDelayMs: pace, chunkBytes: 1500 })
      session = await openSession(service, key, recording)
      const client = await service.converseRaw(key, recording, accept, { sessionId: session.id })
      if ("ms" in moment) await Promise.race([client.answer(), Bun.sleep(moment.ms)])
      else {
        const enough = Math.floor(moment.share * (sizes.get(accept) ?? 0))
        await client.until(({ body }) => body.length >= enough)
      }
      client.leave(how)
      service.upstream.default("llm", { text: "And on it goes." })
      const next = await session.take()
      expect(next.status).toBe(200)
      const all = await session.messages()
      const saved = all.slice(0, -2)
      expect([0, 2]).toContain(saved.length)
      const [, assistant] = saved
      if (assistant !== undefined) {
        expect(saved).toMatchObject(messagesOf(assistant.content, assistant.interrupted))
        expect(reply.startsWith(assistant.content)).toBe(true)
        if (!assistant.interrupted) expect(assistant.content).toBe(reply)
      }
      // After a very early disconnect there may be no row, or a row after the next turn's.
      const [left] = (await session.turns()).filter(({ id }) => id !== next.headers.get("x-turn-id"))
      const state = assistant?.interrupted ? "interrupted" : "completed"
      expect(left?.state ?? "failed").toBe(assistant === undefined ? "failed" : state)
      await service.nothingLeft()
      await noTurnRuns(service)
    }),
    { seed: 7, numRuns: 60, endOnFailure: true },
  )
}, 60_000)

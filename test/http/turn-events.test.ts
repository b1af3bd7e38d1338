import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { commentsIn, eventsIn, orderOf, soundIn, writtenIn } from "../support/events.ts"
import { decode } from "../support/ffmpeg.ts"
import { tonesIn } from "../support/listen.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT, fail } from "../support/upstream.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const ask = () => service.converse(key, new Blob([recording]), { accept: "text/event-stream" })
const askRaw = () => service.converseRaw(key, recording, "text/event-stream")

/** All events of a complete turn. */
const listen = async () => eventsIn(await (await ask()).bytes())

const UUID = expect.stringMatching(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
const MS = expect.any(Number)

describe("the events of a turn", () => {
  test("have every header but the transcript", async () => {
    const answer = await ask()
    const events = eventsIn(await answer.bytes())
    expect(answer.status).toBe(200)
    const { headers } = answer
    expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8")
    expect(headers.get("cache-control")).toBe("no-store")
    expect(headers.get("x-accel-buffering")).toBe("no")
    expect(headers.get("content-length")).toBeNull()
    expect(headers.get("x-transcript")).toBeNull()
    expect(headers.get("idempotent-replayed")).toBeNull()
    expect(events[0]?.data).toEqual({
      sessionId: headers.get("x-session-id"),
      turnId: headers.get("x-turn-id"),
    })
    // The headers that do not depend on the transcript.
    expect(headers.get("server-timing")).toMatch(
      /^upload;dur=\d+, validate;dur=\d+, transcode;dur=\d+, stt;dur=\d+$/,
    )
  })

  test("are numbered and contain the whole turn", async () => {
    const events = await listen()
    expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => `${index + 1}`))
    const order = orderOf(events)
    expect(order.slice(0, 4)).toEqual(["turn.started", "transcript", "reply.delta", "audio"])
    expect(order.at(-1)).toBe("turn.completed")
    expect(new Set(order.slice(2, -1))).toEqual(new Set(["reply.delta", "audio"]))
    for (const { event, data } of events) {
      if (event === "turn.started") expect(data).toEqual({ sessionId: UUID, turnId: UUID })
      if (event === "transcript") expect(data).toEqual({ text: DEFAULT_TRANSCRIPT })
      if (event === "reply.delta") expect(data).toEqual({ text: expect.stringMatching(/./) })
      if (event === "audio") {
        expect(data).toEqual({ base64: expect.stringMatching(/^[\w+/]+=*$/), format: "mp3" })
      }
    }
    const timings = { upload: MS, validate: MS, transcode: MS, stt: MS, llmTtft: MS, ttsTtfb: MS }
    expect(events.at(-1)?.data).toEqual({
      transcript: DEFAULT_TRANSCRIPT,
      response: DEFAULT_REPLY,
      toolCalls: [],
      timings: { ...timings, firstAudio: MS, total: MS },
      usage: {
        audioSeconds: 2,
        inputTokens: MS,
        outputTokens: MS,
        charactersSpoken: MS,
        cost: null,
        currency: "USD",
      },
    })
    expect(events.filter(({ event }) => event === "reply.delta").length).toBeGreaterThan(5)
    expect(writtenIn(events)).toBe(DEFAULT_REPLY)
    const { samples, log } = await decode(soundIn(events))
    expect(log).toBe("")
    const calls = service.upstream.calls("tts")
    expect(tonesIn(samples)).toEqual(calls.flatMap(({ spoken }) => (spoken === undefined ? [] : [spoken.hz])))
    expect(calls.map(({ request }) => request.input).join(" ")).toBe(DEFAULT_REPLY)
  })

  test("end with the stored turn", async () => {
    const events = await listen()
    const [started, last] = [events[0], events.at(-1)]
    const turnId = started?.data instanceof Object ? Reflect.get(started.data, "turnId") : undefined
    const [turn] = await service.database.sql`
      select session_id as "sessionId", id as "turnId", state, transcript, response, timings, usage, speech
      from turns where id = ${turnId}`
    const { sessionId, state, speech, ...said } = turn
    expect(started?.data).toEqual({ sessionId, turnId })
    expect(last?.data).toEqual({
      transcript: said.transcript,
      response: said.response,
      toolCalls: [],
      timings: said.timings,
      usage: { ...said.usage, cost: null, currency: "USD" },
    })
    // Without an Idempotency-Key the audio is not kept.
    expect({ state, speech }).toEqual({ state: "completed", speech: null })
    const messages = await service.database.sql`
      select role, content, interrupted from messages where turn_id = ${turnId} order by sequence`
    expect([...messages]).toEqual([
      { role: "user", content: DEFAULT_TRANSCRIPT, interrupted: false },
      { role: "assistant", content: DEFAULT_REPLY, interrupted: false },
    ])
  })

  test.each([
    ["lines", "One\n\ntwo\r\nthree\rfour. ", ["One\n", "\n", "two\r", "\nthree\r", "four."]],
    [
      "what looks like events",
      "id: 9\n\nevent: error\ndata: {}\n\n: x",
      ["data: 1\n\n", "event: error", "."],
    ],
    ["other scripts", "Größe, 東京, नमस्ते, \u2028 and \u0085.", ["Größe ", "東京\u2028", "नमस्ते", "\u0085."]],
    ["halves of a character", "Party 🎉!", ["Party ", "\ud83c", "\udf89", "!"]],
    ["quotes and control characters", '"\\" \u0001\t\u001b[0m', ['"', "\\", "\u0007\t", " said."]],
  ])("contain %s unchanged", async (_, transcript, tokens) => {
    service.upstream.script("stt", [{ text: transcript }])
    service.upstream.script("llm", [{ tokens }])
    const events = await listen()
    expect(orderOf(events).filter((name) => name !== "audio" && name !== "reply.delta")).toEqual([
      "turn.started",
      "transcript",
      "turn.completed",
    ])
    expect(events[1]?.data).toEqual({ text: transcript.trim() })
    expect(writtenIn(events)).toBe(tokens.join(""))
    expect(events.at(-1)?.data).toMatchObject({ transcript: transcript.trim(), response: tokens.join("") })
  })

  test("are numbered without a limit", async () => {
    const reply = "This is one of a great many sentences. ".repeat(50).trim()
    service.upstream.script("llm", [{ text: reply }])
    service.upstream.default("tts", { seconds: 0.4 })
    const events = await listen()
    expect(events.length).toBeGreaterThan(400)
    expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => `${index + 1}`))
    expect(writtenIn(events)).toBe(reply)
  })
})

describe("the events are live", () => {
  test("the transcript comes before the model answers", async () => {
    service.upstream.script("llm", [fail.hang()])
    const client = await askRaw()
    const { status, body } = await client.until(({ body }) => body.includes("event: transcript\n"))
    expect(status).toBe(200)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0]?.outcome === "open", "the model")
    expect(orderOf(eventsIn(body))).toEqual(["turn.started", "transcript"])
    client.leave()
  })

  test("text comes as the model writes it", async () => {
    service.upstream.script("llm", [
      { ...fail.hang({ tokens: 3 }), tokens: ["Well", ", I", " think", " so."] },
    ])
    const client = await askRaw()
    const { body } = await client.until(({ body }) => writtenIn(eventsIn(body)) === "Well, I think")
    expect(orderOf(eventsIn(body))).toEqual(["turn.started", "transcript", "reply.delta"])
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("open")
    client.leave()
  })

  test("all text comes before its audio", async () => {
    service.upstream.default("tts", fail.hang())
    const client = await askRaw()
    const { body } = await client.until(({ body }) => writtenIn(eventsIn(body)) === DEFAULT_REPLY)
    await service.upstream.waitFor(() => service.upstream.calls("tts")[0]?.outcome === "open", "the voice")
    expect(orderOf(eventsIn(body))).toEqual(["turn.started", "transcript", "reply.delta"])
    client.leave()
  })

  test("audio comes while the model writes", async () => {
    service.upstream.script("llm", [
      { ...fail.hang({ tokens: 12 }), text: "This is said first. And more. ".repeat(5) },
    ])
    const client = await askRaw()
    const { body } = await client.until(({ body }) => soundIn(eventsIn(body)).length > 2000)
    expect(orderOf(eventsIn(body)).at(-1)).toBe("audio")
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("open")
    client.leave()
  })

  test("audio comes while TTS speaks", async () => {
    service.upstream.script("tts", [fail.hang({ bytes: 9000 })])
    const client = await askRaw()
    const { body } = await client.until(({ body }) => soundIn(eventsIn(body)).length > 2000)
    expect(soundIn(eventsIn(body)).length).toBeLessThan(9000)
    expect(service.upstream.calls("tts")[0]?.outcome).toBe("open")
    client.leave()
  })
})

describe("a client that disconnects", () => {
  const long = "This is a reply of several sentences. ".repeat(40).trim()

  test.each(["close", "reset"] as const)("by %s in mid-reply stops the turn", async (how) => {
    service.upstream.script("llm", [{ text: long, chunkDelayMs: 20 }])
    service.upstream.default("tts", { chunkDelayMs: 20, chunkBytes: 2000 })
    const client = await askRaw()
    // The client has the first sentence and a part of the second.
    await client.until(({ body }) => soundIn(eventsIn(body)).length > 60_000)
    client.leave(how)
    await service.nothingLeft()
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("aborted by client")
    expect(service.upstream.calls("tts").at(-1)?.outcome).toBe("aborted by client")
    const [{ content, interrupted, state, response, usage }] = await service.database.sql`
      select content, interrupted, state, response, usage from messages m join turns t on t.id = m.turn_id
      where role = 'assistant' order by m.sequence desc limit 1`
    expect({ state, interrupted }).toEqual({ state: "interrupted", interrupted: true })
    expect(content).toStartWith("This is a reply of several sentences.")
    expect(long.startsWith(response) && response.startsWith(content)).toBe(true)
    expect(content.length).toBeLessThan(response.length)
    expect(usage.outputTokens).toBeGreaterThan(0)
  })

  test("before any audio: nothing is saved", async () => {
    const before = await service.stored()
    service.upstream.script("llm", [{ ...fail.hang({ tokens: 3 }), text: long }])
    const client = await askRaw()
    await client.until(({ body }) => writtenIn(eventsIn(body)) !== "")
    client.leave()
    await service.nothingLeft()
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("aborted by client")
    expect(await service.stored()).toEqual(before)
    const [{ state, usage }] = await service.database.sql`
      select state, usage from turns order by sequence desc limit 1`
    expect({ state, usage }).toMatchObject({ state: "failed", usage: { audioSeconds: 2 } })
  })
})

test("comments fill silence, for proxies", async () => {
  const patient = await startTurns({ speed: 20, env: { LLM_TIMEOUT_SECONDS: "60" } })
  try {
    patient.upstream.script("llm", [fail.hang()])
    const client = await patient.converseRaw(await patient.register(), recording, "text/event-stream")
    const { body } = await client.until(({ body }) => commentsIn(body) === 2)
    expect(orderOf(eventsIn(body))).toEqual(["turn.started", "transcript"])
    client.leave()
    await patient.nothingLeft()
  } finally {
    await patient.stop()
  }
})

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Predicate } from "effect"
import { ffmpeg } from "../support/ffmpeg.ts"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())

type Event = Record<string, unknown>

/** A field by its path: `response.status`. */
const read = (event: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>((value, name) => (Predicate.isRecord(value) ? value[name] : undefined), event)

const textAt = (event: unknown, path: string): string => {
  const found = read(event, path)
  if (typeof found !== "string") throw new Error(`${path} is no text in ${JSON.stringify(event)}`)
  return found
}

const of = ({ events }: RealtimeClient, type: string): ReadonlyArray<Event> =>
  events.filter((event) => event.type === type)

const nth = async (client: RealtimeClient, type: string, count = 1): Promise<Event | undefined> => {
  const found = await until(
    () => of(client, type)[count - 1],
    () => `${type} number ${count}; there were ${client.events.map((event) => event.type).join(", ")}`,
  )
  return found
}

/** A sentence as 24 kHz samples, then a second of silence. */
const utterance = Buffer.concat([
  await ffmpeg(["-i", "examples/question.wav", "-f", "s16le", "-ar", "24000", "-"]),
  Buffer.alloc(48_000),
])

const speak = (client: RealtimeClient, bytes: Buffer) => {
  for (let at = 0; at < bytes.length; at += 4800) {
    client.send({
      type: "input_audio_buffer.append",
      audio: bytes.subarray(at, at + 4800).toString("base64"),
    })
  }
}

const session = (fields: object) => ({
  type: "session.update",
  session: { type: "realtime", ...fields },
})
const transcribed = session({ audio: { input: { transcription: { model: "whisper-1" } } } })
const say = (text: string, more: object = {}) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }], ...more },
})
const respond = { type: "response.create" }

const connect = (query = "") => connectRealtime(service.url, key, { query })

const close = async (client: RealtimeClient) => {
  client.socket.close()
  await until(() => service.connections().connections === 0, "the session to end")
}

const promptOf = (call: number) =>
  JSON.stringify(service.upstream.calls("llm")[call]?.request ?? "no such call")

/** Three sentences, each a segment of its own. */
const story =
  "This is the first sentence of it. Here is the second one, which is a little longer than the first was. And the third is there to be spoken after all of the others."

test("a voice turn, saved as a turn of HTTP is", async () => {
  const client = await connect()
  client.send(transcribed)
  speak(client, utterance)
  const done = await nth(client, "response.done")
  const types = client.events.map((event) => event.type)
  expect(types.filter((type, at) => type !== types[at - 1])).toEqual([
    "session.created",
    "session.updated",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
  ])
  const ids = client.events.map((event) => event.event_id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(Number(read(done, "response.usage.total_tokens"))).toBeGreaterThan(0)

  const sessionId = textAt(client.events[0], "session.id")
  const answer = await service.call("GET", `/sessions/${sessionId}/messages`, { key })
  expect(await answer.json()).toMatchObject({
    messages: [
      {
        role: "user",
        content: "Hello, can you hear me?",
        id: textAt(await nth(client, "input_audio_buffer.committed"), "item_id"),
      },
      {
        role: "assistant",
        turnId: textAt(done, "response.id"),
        id: textAt(await nth(client, "response.output_item.added"), "item.id"),
      },
    ],
  })
  const [usage] = await service.database.sql`
    select sum((usage ->> 'audioSeconds')::float8) as seconds, count(*)::int as turns from turns where session_id = ${sessionId}`
  expect(usage.turns).toBe(2)
  expect(usage.seconds).toBeGreaterThan(1.5)
  await close(client)
  await service.nothingLeft()
})

describe("a stored session", () => {
  test("goes on over HTTP and another connection, in order", async () => {
    const first = await connect()
    const sessionId = textAt(await nth(first, "session.created"), "session.id")
    first.send(say("My name is Ada.", { id: "ada" }))
    first.send(respond)
    await nth(first, "response.done")
    await close(first)
    await (
      await service.call("POST", `/sessions/${sessionId}/messages?audio=false`, {
        key,
        body: { text: "I like tea." },
        headers: { accept: "application/json" },
      })
    ).text()
    const second = await connect(`?session_id=${sessionId}`)
    expect(textAt(await nth(second, "session.created"), "session.id")).toBe(sessionId)
    second.send({ type: "conversation.item.retrieve", item_id: "ada" })
    expect(await nth(second, "conversation.item.retrieved")).toMatchObject({
      item: { role: "user", content: [{ type: "input_text", text: "My name is Ada." }] },
    })
    second.send(say("What do you know?"))
    expect(await nth(second, "conversation.item.added")).toMatchObject({
      previous_item_id: expect.any(String),
    })
    second.send(respond)
    await nth(second, "response.done")
    expect(promptOf(2)).toMatch(/My name is Ada\..*I like tea\..*What do you know\?/)
    await close(second)
  })

  test("of another user, an unknown one, and an expired one are refused", async () => {
    const client = await connect()
    const sessionId = textAt(await nth(client, "session.created"), "session.id")
    client.send(say("Hi."))
    client.send(respond)
    await nth(client, "response.done")
    await close(client)
    const refused = async (query: string, withKey = key) => {
      const answer = await fetch(`${service.url}/realtime${query}`, {
        headers: {
          authorization: `Bearer ${withKey}`,
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        },
      })
      return [answer.status, read(await answer.json(), "error")]
    }
    expect(await refused(`?session_id=${sessionId}`, await service.register())).toEqual([
      404,
      "SESSION_NOT_FOUND",
    ])
    expect(await refused(`?session_id=${crypto.randomUUID()}`)).toEqual([404, "SESSION_NOT_FOUND"])
    await service.database
      .sql`update sessions set last_activity_at = now() - interval '1 year' where id = ${sessionId}`
    expect(await refused(`?session_id=${sessionId}`)).toEqual([409, "SESSION_EXPIRED"])
  })
})

describe("an interruption", () => {
  test("ends the calls upstream, and the next prompt has what was heard", async () => {
    service.upstream.script("llm", [{ text: story, chunkDelayMs: 5 }, { text: "All right." }])
    // As fast as it plays, so that the reply is not over soon.
    service.upstream.default("tts", { realTimeFactor: 2 })
    const client = await connect()
    client.send(transcribed)
    client.send(say("Tell me a story."))
    client.send(respond)
    await nth(client, "response.output_audio.delta", 3)
    await Bun.sleep(300)
    speak(client, utterance)
    expect(await nth(client, "response.done")).toMatchObject({
      response: { status: "cancelled", status_details: { reason: "turn_detected" } },
    })
    const types = client.events.map((event) => event.type)
    expect(types.indexOf("input_audio_buffer.speech_started")).toBeLessThan(types.indexOf("response.done"))
    const item_id = textAt(await nth(client, "response.output_item.added"), "item.id")
    client.send({ type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms: 0 })
    await nth(client, "conversation.item.truncated")
    await until(
      () => service.upstream.calls("tts").every(({ outcome }) => outcome !== "open"),
      "the calls for speech to end",
    )
    await nth(client, "response.done", 2)
    const prompt = promptOf(1)
    expect(prompt).toContain("Tell me a story.")
    expect(prompt).toContain("Hello, can you hear me?")
    // Nothing of it was heard in the end.
    expect(prompt).not.toContain("first sentence")
    await close(client)
    await service.nothingLeft()
  })

  test("of the connection: nothing is left, and the session goes on", async () => {
    service.upstream.script("llm", [{ text: story, chunkDelayMs: 20 }])
    const client = await connect()
    const sessionId = textAt(await nth(client, "session.created"), "session.id")
    client.send(say("Tell me a story."))
    client.send(respond)
    await nth(client, "response.output_audio.delta")
    client.socket.terminate()
    await service.nothingLeft()
    await until(() => service.connections().connections === 0, "the session to end")
    const again = await connect(`?session_id=${sessionId}`)
    again.send(say("Where were we?"))
    again.send(respond)
    await nth(again, "response.done")
    // Not an event of the response before.
    expect(again.events.map((event) => event.type).slice(0, 4)).toEqual([
      "session.created",
      "conversation.item.added",
      "conversation.item.done",
      "response.created",
    ])
    expect(promptOf(service.upstream.calls("llm").length - 1)).toContain("Tell me a story.")
    await close(again)
  })

  test("of the connection at any stage leaves nothing", async () => {
    const stages: ReadonlyArray<(client: RealtimeClient) => Promise<unknown>> = [
      async () => {},
      (client) => nth(client, "session.created"),
      async (client) => speak(client, utterance.subarray(0, 48_000)),
      async (client) => {
        // Short, because the session ends only after the transcript.
        service.upstream.script("stt", [{ delayMs: 1000 }])
        speak(client, utterance)
        await nth(client, "input_audio_buffer.committed")
      },
      async (client) => {
        service.upstream.script("llm", [{ delayMs: 5000 }])
        speak(client, utterance)
        await until(() => service.upstream.calls("llm")[0], "the model's call")
      },
      async (client) => {
        service.upstream.script("tts", [{ delayMs: 5000 }])
        speak(client, utterance)
        await until(() => service.upstream.calls("tts")[0], "the call for speech")
      },
    ]
    for (const reach of stages) {
      service.reset()
      const client = await connect()
      await reach(client)
      client.socket.terminate()
      await until(() => service.connections().connections === 0, "the session to end")
      await service.nothingLeft()
    }
  })
})

test("twenty connections in a row, each with a turn", async () => {
  for (let at = 0; at < 20; at++) {
    const client = await connect()
    await nth(client, "session.created")
    client.send(say("Hi."))
    client.send({ ...respond, response: { output_modalities: ["text"] } })
    await nth(client, "response.done")
    client.socket.close()
  }
  await until(() => service.connections().connections === 0, "the sessions to end")
})

test("a failure of each stage leaves the socket usable", async () => {
  const error = { error: { status: 500, message: "Scripted" } }
  // Its pauses between the tries of a stage are shorter.
  const hasty = await startTurns({ speed: 8 })
  const client = await connectRealtime(hasty.url, await hasty.register())
  client.send(transcribed)
  hasty.upstream.default("stt", error)
  speak(client, utterance)
  await nth(client, "conversation.item.input_audio_transcription.failed")
  hasty.reset()
  hasty.upstream.default("llm", error)
  speak(client, utterance)
  expect(await nth(client, "response.done")).toMatchObject({
    response: { status: "failed", status_details: { error: { code: "model_failed" } } },
  })
  hasty.reset()
  hasty.upstream.default("tts", error)
  client.send(respond)
  expect(await nth(client, "response.done", 2)).toMatchObject({
    response: { status: "failed", status_details: { error: { code: "speech_failed" } } },
  })
  hasty.reset()
  client.send(respond)
  expect(await nth(client, "response.done", 3)).toMatchObject({ response: { status: "completed" } })
  expect(of(client, "error")).toEqual([])
  client.socket.close()
  await hasty.stop()
})

test("G.711 in and out", async () => {
  const client = await connect()
  const format = { type: "audio/pcmu" }
  client.send(session({ audio: { input: { format, transcription: { model: "x" } }, output: { format } } }))
  await nth(client, "session.updated")
  client.send(say("Hi."))
  client.send(respond)
  expect(await nth(client, "response.created")).toMatchObject({ response: { audio: { output: { format } } } })
  await nth(client, "response.done")
  const bytes = of(client, "response.output_audio.delta").reduce(
    (sum, event) => sum + Buffer.from(textAt(event, "delta"), "base64").length,
    0,
  )
  const spoken = service.upstream.calls("tts").reduce((sum, { spoken }) => sum + (spoken?.samples ?? 0), 0)
  // 8 kHz, one byte a sample; the speech has 24 kHz.
  expect(Math.abs(bytes - spoken / 3)).toBeLessThan(spoken / 100)
  await close(client)
})

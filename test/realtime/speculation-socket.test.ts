/** Speculative answers over a socket, with everything but the providers as in production. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { ffmpeg } from "../support/ffmpeg.ts"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns({ env: { REALTIME_SPECULATIVE: "on" } })
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
/** A test that fails leaves no connection to the next one. */
const open = new Set<RealtimeClient>()
afterEach(() => {
  for (const { socket } of open) socket.close()
  open.clear()
})

/** A sentence as 24 kHz samples, without the silence after it. */
const recording = await ffmpeg(["-i", "examples/question.wav", "-f", "s16le", "-ar", "24000", "-"])
const samples = new Int16Array(recording.slice().buffer)
const sentence = recording.subarray(0, 2 * (samples.findLastIndex((each) => Math.abs(each) > 1000) + 1))
const silence = (ms: number) => Buffer.alloc(48 * ms)

const speak = (client: RealtimeClient, ...parts: ReadonlyArray<Uint8Array>) => {
  const bytes = Buffer.concat([...parts])
  for (let at = 0; at < bytes.length; at += 4800) {
    client.send({
      type: "input_audio_buffer.append",
      audio: bytes.subarray(at, at + 4800).toString("base64"),
    })
  }
}

const types = ({ events }: RealtimeClient) => events.map(({ type }) => type)
const count = (client: RealtimeClient, type: string) => types(client).filter((each) => each === type).length
const calls = (stage: "llm" | "tts") => service.upstream.calls(stage).length
const arrives = (client: RealtimeClient, type: string, times = 1) =>
  until(
    () => count(client, type) >= times,
    () => `${type} number ${times}; there were ${types(client).join(", ")}`,
  )
const replies = ({ events }: RealtimeClient) =>
  events.flatMap(({ type, transcript }) =>
    type === "response.output_audio_transcript.done" ? [transcript] : [],
  )

/** Says a sentence, and pauses until the answer is being worked on. */
const pause = async (stage: "llm" | "tts" = "tts", more: object = {}) => {
  const client = await connectRealtime(service.url, key)
  open.add(client)
  client.send({ type: "session.update", session: { type: "realtime", ...more } })
  speak(client, sentence, silence(300))
  await until(() => calls(stage) > 0, `a call of ${stage} during the pause`)
  expect(types(client)).toEqual(["session.created", "session.updated", "input_audio_buffer.speech_started"])
  return client
}

const leave = async (client: RealtimeClient) => {
  client.socket.close()
  await until(() => service.connections().connections === 0, "the session to end")
  await service.nothingLeft()
}

/** The answers that were dropped. The one that is heard may be speculative, too. */
const dropped = (client: RealtimeClient) =>
  until(async () => {
    const [{ session } = { session: undefined }] = client.events
    const id = typeof session === "object" && session !== null && "id" in session ? session.id : ""
    const rows: ReadonlyArray<{ state: string; spoken: number }> = await service.database.sql`
      select state, (usage ->> 'charactersSpoken')::int as spoken from turns
      where session_id = ${String(id)} and is_speculative and state = 'failed'`
    return rows.length > 0 && [...rows]
  }, "the row of the dropped answer")

describe("a speculative answer", () => {
  test("is the response if the speech does not go on", async () => {
    service.upstream.default("llm", { text: "It is five." })
    const client = await pause()
    speak(client, silence(500))
    await arrives(client, "response.done")
    expect([calls("llm"), replies(client)]).toEqual([1, ["It is five."]])
    expect(types(client).indexOf("response.created")).toBeGreaterThan(
      types(client).indexOf("conversation.item.done"),
    )
    await leave(client)
  })

  test("is dropped unheard if the speech goes on, and its cost is kept", async () => {
    service.upstream.script("llm", [{ text: "It is five." }, { text: "It is six." }])
    const client = await pause()
    speak(client, sentence, silence(1000))
    await arrives(client, "response.done")
    expect([calls("llm"), replies(client)]).toEqual([2, ["It is six."]])
    expect(count(client, "response.created")).toBe(1)
    expect(await dropped(client)).toMatchObject([{ state: "failed", spoken: "It is five.".length }])
    await leave(client)
  })

  test("asks for a tool only when it is the response", async () => {
    const weather = { type: "function", name: "weather", parameters: { type: "object" } }
    const call = { id: "call_1", name: "weather", arguments: "{}" }
    service.upstream.default("llm", { toolCalls: [call] })
    const client = await pause("llm", { tools: [weather] })
    speak(client, silence(500))
    await arrives(client, "response.done")
    expect([calls("llm"), count(client, "response.function_call_arguments.done")]).toEqual([1, 1])
    await leave(client)
  })

  test("asks for no tool if it is dropped", async () => {
    const weather = { type: "function", name: "weather", parameters: { type: "object" } }
    service.upstream.script("llm", [
      { toolCalls: [{ id: "call_1", name: "weather", arguments: "{}" }] },
      { text: "It is six." },
    ])
    const client = await pause("llm", { tools: [weather] })
    speak(client, sentence, silence(1000))
    await arrives(client, "response.done")
    expect(count(client, "response.function_call_arguments.done")).toBe(0)
    expect(replies(client)).toEqual(["It is six."])
    await leave(client)
  })

  test("can be interrupted when it is the response", async () => {
    service.upstream.script("llm", [
      { text: "Here is a sentence that takes a while. And here is another one of that length." },
      { text: "It is six." },
    ])
    service.upstream.default("tts", { realTimeFactor: 2 })
    const client = await pause()
    speak(client, silence(500))
    await arrives(client, "response.output_audio.delta")
    speak(client, sentence, silence(1000))
    await arrives(client, "response.done", 2)
    const ends = client.events.flatMap(({ type, response }) => (type === "response.done" ? [response] : []))
    expect(ends).toMatchObject([
      { status: "cancelled", status_details: { reason: "turn_detected" } },
      { status: "completed" },
    ])
    const all = types(client)
    expect(all.lastIndexOf("input_audio_buffer.speech_started")).toBeLessThan(all.indexOf("response.done"))
    await leave(client)
  })
})

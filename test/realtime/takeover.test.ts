import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Predicate } from "effect"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { type Service, startService } from "../support/service.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
/** Another process of the service, as far as the database can tell. */
let other: Service
/** A third one, whose clock runs `speed` times faster. */
let hasty: Service
const speed = 8
let key = ""
beforeAll(async () => {
  service = await startTurns()
  other = await startService({ database: service.database })
  hasty = await startService({ database: service.database, speed })
  key = await service.register()
})
afterAll(async () => {
  await hasty.stop()
  await other.stop()
  await service.stop()
})
beforeEach(() => {
  service.reset()
  hasty.upstream.reset()
})

const nth = (client: RealtimeClient, type: string, count = 1) =>
  until(
    () => client.events.filter((event) => event.type === type)[count - 1],
    () => `${type} number ${count}; there were ${client.events.map((event) => event.type).join(", ")}`,
  )

const read = (event: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>((value, name) => (Predicate.isRecord(value) ? value[name] : undefined), event)

/** The text of an item's first part. */
const textOf = (event: unknown) => {
  const content = read(event, "item.content")
  const part: unknown = Array.isArray(content) ? content[0] : undefined
  return String(read(part, "text") ?? read(part, "transcript"))
}

const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }

const sessionOf = async (client: RealtimeClient) =>
  String(read(await nth(client, "session.created"), "session.id"))

const ended = async (client: RealtimeClient) => {
  client.socket.close()
  await until(
    () => [service, other, hasty].every((each) => each.connections().connections === 0),
    "the sessions to end",
  )
}

const storedIn = async (sessionId: string): Promise<ReadonlyArray<string>> =>
  (
    await service.database.sql`select payload ->> 'text' as text from items
      where session_id = ${sessionId} order by sequence`
  ).map(({ text }: { readonly text: string }) => text)

const story = { text: "One sentence is here now. ".repeat(40), chunkDelayMs: 20 }

const taken = { type: "error", error: { type: "invalid_request_error", code: "session_taken_over" } }

describe("a second connection to a session", () => {
  for (const where of ["this process", "another process"]) {
    test(`takes it over from ${where}, and the response there ends as what was heard`, async () => {
      service.upstream.script("llm", [story])
      service.upstream.default("tts", { realTimeFactor: 1 })
      const first = await connectRealtime(service.url, key)
      const sessionId = await sessionOf(first)
      first.send(say("Tell me a story."))
      first.send(respond)
      await nth(first, "response.output_audio.delta", 3)
      const to = where === "this process" ? service : other
      const second = await connectRealtime(to.url, key, { query: `?session_id=${sessionId}` })
      expect(await first.closed).toEqual({ code: 1008, reason: "session_taken_over" })
      expect(first.events.at(-1)).toMatchObject(taken)
      expect(first.events.at(-2)).toMatchObject({
        type: "response.done",
        response: { status: "cancelled", status_details: { reason: "client_cancelled" } },
      })
      // It knows the reply that the first one had.
      const reply = read(await nth(first, "response.output_item.added"), "item.id")
      second.send({ type: "conversation.item.retrieve", item_id: reply })
      expect(await nth(second, "conversation.item.retrieved")).toMatchObject({
        item: { status: "incomplete" },
      })
      second.send(say("Go on."))
      expect(read(await nth(second, "conversation.item.added"), "previous_item_id")).toBe(reply)
      second.send(respond)
      expect(await nth(second, "response.done")).toMatchObject({ response: { status: "completed" } })
      const texts = await storedIn(sessionId)
      expect([texts.length, texts[0], texts[2]]).toEqual([4, "Tell me a story.", "Go on."])
      const [turn] = await service.database.sql`select state from turns
        where session_id = ${sessionId} and response like 'One sentence%'`
      expect(turn.state).toBe("interrupted")
      await ended(second)
    }, 60_000)
  }

  test("a third one as well, and the first one that comes back", async () => {
    let holder = await connectRealtime(service.url, key)
    const sessionId = await sessionOf(holder)
    holder.send(say("Hi."))
    await until(async () => (await storedIn(sessionId)).length === 1, "the item")
    for (const to of [other, service, service, other]) {
      const next = await connectRealtime(to.url, key, { query: `?session_id=${sessionId}` })
      expect(await holder.closed).toEqual({ code: 1008, reason: "session_taken_over" })
      holder = next
    }
    holder.send(respond)
    expect(await nth(holder, "response.done")).toMatchObject({ response: { status: "completed" } })
    await ended(holder)
  }, 60_000)

  test("connections to different sessions leave each other alone", async () => {
    const connect = () => connectRealtime(hasty.url, key)
    const [one, two] = [await connect(), await connect()]
    for (const client of [one, two]) {
      client.send(say("Hi."))
      client.send(respond)
      await nth(client, "response.done")
    }
    // More than one look at who has the session.
    await Bun.sleep(1500 / speed)
    expect([...one.events, ...two.events].filter(({ type }) => type === "error")).toEqual([])
    one.socket.close()
    await ended(two)
  })
})

describe("a turn of 14 s of the session", () => {
  test("makes a response wait, and not fail", async () => {
    const client = await connectRealtime(hasty.url, key)
    const sessionId = await sessionOf(client)
    client.send(say("Hi."))
    client.send(respond)
    await nth(client, "response.done")
    const late = { text: Array.from({ length: 14 }, () => "Word").join(" "), chunkDelayMs: 1000 / speed }
    hasty.upstream.script("llm", [late, { text: "At last." }])
    const turn = hasty.call("POST", `/sessions/${sessionId}/messages?audio=false`, {
      key,
      body: { text: "Slow one." },
      headers: { accept: "application/json" },
    })
    await until(() => hasty.upstream.calls("llm")[1], "the model's call of the turn")
    client.send(say("One."))
    client.send(say("Two."))
    client.send(respond)
    expect(await nth(client, "response.done", 2)).toMatchObject({ response: { status: "completed" } })
    expect((await turn).status).toBe(200)
    expect((await storedIn(sessionId)).slice(-5)).toEqual([
      "Slow one.",
      late.text,
      "One.",
      "Two.",
      "At last.",
    ])
    await ended(client)
  }, 60_000)
})

describe("a deleted session", () => {
  const start = async () => {
    const client = await connectRealtime(service.url, key)
    const sessionId = await sessionOf(client)
    client.send(say("Hi."))
    client.send({ ...respond, response: { output_modalities: ["text"] } })
    await nth(client, "response.done")
    service.upstream.reset()
    return { client, sessionId }
  }
  const remove = async (sessionId: string) =>
    expect((await service.call("DELETE", `/sessions/${sessionId}`, { key })).status).toBe(204)
  const expectEnd = async ({ client, sessionId }: Awaited<ReturnType<typeof start>>) => {
    expect(await client.closed).toEqual({ code: 1008, reason: "session_not_found" })
    expect(client.events.at(-1)).toMatchObject({ type: "error", error: { code: "session_not_found" } })
    await until(() => service.connections().connections === 0, "the session to end")
    await service.nothingLeft()
    expect(await service.database.sql`select 1 from turns where session_id = ${sessionId}`).toHaveLength(0)
  }

  test("ends the connection that does nothing", async () => {
    const session = await start()
    await remove(session.sessionId)
    await expectEnd(session)
  })

  test("ends it at a response, before anything is paid", async () => {
    const session = await start()
    await service.database.sql`delete from sessions where id = ${session.sessionId}`
    session.client.send(respond)
    await expectEnd(session)
    expect(service.upstream.calls("llm")).toEqual([])
  })

  test("ends it at an item", async () => {
    const session = await start()
    await service.database.sql`delete from sessions where id = ${session.sessionId}`
    session.client.send(say("Lost."))
    await expectEnd(session)
  })

  test("ends the running response", async () => {
    const session = await start()
    service.upstream.default("llm", story)
    service.upstream.default("tts", { realTimeFactor: 1 })
    session.client.send(respond)
    await nth(session.client, "response.output_audio.delta")
    await remove(session.sessionId)
    await expectEnd(session)
    expect(await nth(session.client, "response.done", 2)).toBeDefined()
  })
})

test("a revoked key ends the running response before the connection", async () => {
  const body = { name: "revoked" }
  const created = await (await service.call("POST", "/users/me/keys", { key, body })).json()
  service.upstream.default("llm", story)
  service.upstream.default("tts", { realTimeFactor: 1 })
  const client = await connectRealtime(service.url, String(read(created, "apiKey")))
  const sessionId = await sessionOf(client)
  client.send(say("Tell me a story."))
  client.send(respond)
  await nth(client, "response.output_audio.delta", 3)
  const id = read(created, "key.id") ?? read(created, "id")
  expect((await service.call("DELETE", `/users/me/keys/${id}`, { key })).status).toBe(204)
  expect(await client.closed).toMatchObject({ code: 1008, reason: "invalid_api_key" })
  expect(client.events.slice(-2)).toMatchObject([
    { type: "response.done", response: { status: "cancelled" } },
    { type: "error", error: { code: "invalid_api_key" } },
  ])
  await until(() => service.connections().connections === 0, "the session to end")
  const [turn] = await service.database.sql`select state from turns
    where session_id = ${sessionId} order by sequence desc limit 1`
  expect(turn.state).toBe("interrupted")
})

const tool = { type: "function", name: "weather", parameters: { type: "object", properties: {} } }

describe("a client that closes", () => {
  /** Closes the connection at this event, and returns how the response is stored. */
  const closeAt = async (type: string) => {
    const client = await connectRealtime(service.url, key)
    const sessionId = await sessionOf(client)
    client.send({ type: "session.update", session: { type: "realtime", tools: [tool] } })
    client.send(say("Tell me a story."))
    client.send(respond)
    await nth(client, type)
    await ended(client)
    await service.nothingLeft()
    const [turn] = await service.database.sql`select state, (response <> '') as has_text from turns
      where session_id = ${sessionId} order by sequence desc limit 1`
    return { state: turn.state, hasText: turn.has_text, items: await storedIn(sessionId) }
  }

  test("before the first text: nothing of it is stored, and nothing runs", async () => {
    service.upstream.default("llm", { text: "Late.", delayMs: 5000 })
    expect(await closeAt("response.created")).toMatchObject({
      state: "completed",
      items: ["Tell me a story."],
    })
  })

  test("during a tool call: the call is stored", async () => {
    service.upstream.default("llm", {
      text: "Let me look.",
      toolCalls: [{ id: "call_1", name: "weather", arguments: "{}" }],
    })
    service.upstream.default("tts", { delayMs: 5000 })
    expect(await closeAt("response.function_call_arguments.done")).toMatchObject({ state: "interrupted" })
  })

  test("between the first text and the first audio: the reply is interrupted, unheard", async () => {
    service.upstream.default("llm", story)
    service.upstream.default("tts", { delayMs: 5000 })
    expect(await closeAt("response.output_audio_transcript.delta")).toEqual({
      state: "interrupted",
      hasText: true,
      items: ["Tell me a story.", ""],
    })
  })
})

describe("what is said during a response", () => {
  test("is stored before it if it was shown before it", async () => {
    service.upstream.script("llm", [{ text: "The reply.", delayMs: 700 }])
    const client = await connectRealtime(service.url, key)
    const sessionId = await sessionOf(client)
    client.send(say("One."))
    client.send(respond)
    await until(() => service.upstream.calls("llm")[0], "the model's call")
    for (const text of ["Two.", "Three."]) client.send(say(text))
    await nth(client, "response.done")
    client.send(say("Four."))
    await until(async () => (await storedIn(sessionId)).length === 5, "the items")
    const shown = client.events.flatMap((event) =>
      event.type === "conversation.item.done" ? [textOf(event)] : [],
    )
    expect(shown).toEqual(["One.", "Two.", "Three.", "The reply.", "Four."])
    expect(await storedIn(sessionId)).toEqual(shown)
    await ended(client)
  })
})

test("1000 items at once are acknowledged and stored, in order", async () => {
  const client = await connectRealtime(service.url, key)
  const sessionId = await sessionOf(client)
  const texts = Array.from({ length: 1000 }, (_, at) => `Item ${at}`)
  for (const text of texts) client.send(say(text))
  await nth(client, "conversation.item.done", 1000)
  expect(client.events.filter(({ type }) => type === "error")).toEqual([])
  await until(async () => (await storedIn(sessionId)).length === 1000, "the items")
  expect(await storedIn(sessionId)).toEqual(texts)
  await ended(client)
}, 60_000)

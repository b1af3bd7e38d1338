import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { Duration, Effect, Option } from "effect"
import type { RunnableTool, ToolInvocation } from "../../src/tools/runnable.ts"
import { wav16k } from "../support/audio.ts"
import { eventsIn } from "../support/events.ts"
import { decode } from "../support/ffmpeg.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Step } from "../support/upstream.ts"

const invocations: Array<ToolInvocation> = []
let toolSeconds = 0
const weather: RunnableTool = {
  tool: {
    name: "weather",
    description: Option.some("The weather of a city."),
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
  isIdempotent: false,
  timeout: Duration.seconds(60),
  run: (invocation) =>
    Effect.suspend(() => {
      invocations.push(invocation)
      return Effect.delay(
        Effect.succeed({ output: `Sunny in ${invocation.arguments.city}.`, isError: false }),
        Duration.seconds(toolSeconds),
      )
    }),
}

let service: TurnService
let user = ""
let recording = new Blob([])
beforeAll(async () => {
  service = await startTurns({ speed: 10, tools: [weather] })
  user = await service.register()
  recording = new Blob([await wav16k()])
})
afterAll(() => service.stop())
beforeEach(() => {
  service.reset()
  invocations.length = 0
  toolSeconds = 0
})
afterEach(async () => {
  expect(service.upstream.refusals()).toEqual([])
  await service.nothingLeft()
})

const words = "Let me look that up."
const reply = "It is sunny in Oslo today."
const asks: Step = {
  text: words,
  toolCalls: [{ id: "call_1", name: "weather", arguments: '{"city":"Oslo"}' }],
}
const newKey = () => ({ "idempotency-key": crypto.randomUUID() })

test("a turn with a tool is answered in each form, with both rounds", async () => {
  const forms = ["application/json", "text/event-stream", "audio/mpeg", "audio/wav"]
  for (const _ of forms) service.upstream.script("llm", [asks, { text: reply }])
  for (const accept of forms) {
    const answer = await service.converse(user, recording, { accept })
    expect(answer.status).toBe(200)
    const bytes = await answer.bytes()
    if (accept === "application/json") {
      const { response, audio } = JSON.parse(Buffer.from(bytes).toString())
      expect(response).toBe(`${words} ${reply}`)
      const sound = await decode(Buffer.from(audio.base64, "base64"))
      expect(sound.log).toBe("")
    }
    if (accept === "audio/mpeg") expect((await decode(bytes)).log).toBe("")
    if (accept === "text/event-stream") {
      const events = eventsIn(bytes)
      const deltas = events.flatMap(({ event, data }) =>
        event === "reply.delta" && data instanceof Object && "text" in data ? [data.text] : [],
      )
      expect(deltas.join("")).toBe(`${words} ${reply}`)
      expect(events.at(-1)).toMatchObject({
        event: "turn.completed",
        data: { response: `${words} ${reply}` },
      })
    }
  }
  expect(invocations).toHaveLength(forms.length)
  expect(new Set(invocations.map(({ idempotencyKey }) => idempotencyKey)).size).toBe(forms.length)
})

test("the next turn sees the calls and their results", async () => {
  service.upstream.script("llm", [asks, { text: reply }])
  const first = await service.converse(user, recording, { accept: "application/json" })
  const { sessionId } = (await first.json()) as { readonly sessionId: string }
  const next = await service.converse(user, recording, { accept: "application/json", sessionId })
  expect(next.status).toBe(200)
  const [, , last] = service.upstream.calls("llm")
  expect(last?.request.messages.map(({ role, content }) => `${role}: ${content}`).slice(1)).toEqual([
    expect.stringContaining("user: "),
    `assistant: ${words}`,
    "tool: Sunny in Oslo.",
    `assistant: ${reply}`,
    expect.stringContaining("user: "),
  ])
})

test("a retry with the same key takes the transcript, the call and its result", async () => {
  const headers = newKey()
  // Three tries of the second round.
  service.upstream.script("llm", [asks, fail.status(500), fail.status(500), fail.status(500)])
  const failed = await service.converse(user, recording, { accept: "application/json", headers })
  expect(failed.status).toBeGreaterThanOrEqual(500)
  await failed.bytes()
  expect(invocations).toHaveLength(1)
  const exported = await (await service.call("GET", "/users/me/export", { key: user })).json()
  expect(exported).toMatchObject({
    turns: expect.arrayContaining([
      expect.objectContaining({
        rounds: [
          {
            transcript: expect.any(String),
            results: [],
            text: words,
            calls: [{ name: "weather", arguments: '{"city":"Oslo"}', output: "Sunny in Oslo." }],
          },
        ],
      }),
    ]),
  })
  const calls = { stt: service.upstream.calls("stt").length, llm: service.upstream.calls("llm").length }

  service.upstream.script("llm", [{ text: reply }])
  const again = await service.converse(user, recording, { accept: "application/json", headers })
  expect(again.status).toBe(200)
  expect(await again.json()).toMatchObject({ response: `${words} ${reply}` })
  expect(invocations).toHaveLength(1)
  expect(service.upstream.calls("stt")).toHaveLength(calls.stt)
  expect(service.upstream.calls("llm")).toHaveLength(calls.llm + 1)
  // And once it is complete, it is replayed.
  const replayed = await service.converse(user, recording, { accept: "application/json", headers })
  expect(replayed.headers.get("idempotent-replayed")).toBe("true")
  expect(await replayed.json()).toMatchObject({ response: `${words} ${reply}` })
})

test("a retry after a cancellation in a call reports the unknown outcome, and does not call again", async () => {
  const headers = newKey()
  toolSeconds = 20
  service.upstream.script("llm", [asks, { text: reply }])
  const cut = await service.converseRaw(
    user,
    new Uint8Array(await recording.arrayBuffer()),
    "text/event-stream",
    {
      headers,
    },
  )
  await until(() => invocations.length === 1, "the call")
  const turnId = invocations[0]?.turnId
  expect((await service.call("DELETE", `/voice/turns/${turnId}`, { key: user })).status).toBe(204)
  await cut.answer()
  toolSeconds = 0
  const again = await service.converse(user, recording, { accept: "application/json", headers })
  expect(await again.json()).toMatchObject({ response: `${words} ${reply}` })
  expect(invocations).toHaveLength(1)
  const told = service.upstream.calls("llm").at(-1)?.request.messages.at(-1)
  expect(told).toMatchObject({ role: "tool", content: expect.stringContaining("unknown") })
})

test("a client that leaves ends the call, and the next turn knows that its outcome is unknown", async () => {
  const created = await service.call("POST", "/sessions", { key: user, body: {} })
  const { sessionId } = (await created.json()) as { readonly sessionId: string }
  toolSeconds = 50
  service.upstream.script("llm", [asks])
  const bytes = new Uint8Array(await recording.arrayBuffer())
  const client = await service.converseRaw(user, bytes, "text/event-stream", { sessionId })
  await until(() => invocations.length === 1, "the call")
  client.leave()
  await service.nothingLeft()
  await service.converse(user, recording, { accept: "application/json", sessionId })
  const told = service.upstream.calls("llm").at(-1)?.request.messages ?? []
  expect(told.map(({ role }) => role)).toEqual(["system", "user", "assistant", "tool", "user"])
  expect(told[3]?.content).toContain("unknown")
  expect(invocations).toHaveLength(1)
})

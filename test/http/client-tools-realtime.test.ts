/** Calls that are left over HTTP and answered in Realtime, and the other way round. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import {
  asks,
  type DoorAgent,
  front,
  makeDoorAgent,
  noCalls,
  opened,
  question,
  readTurn,
  reply,
  shownFront,
  toldFront,
  words,
} from "../support/door-agent.ts"
import { connectRealtime, type RealtimeClient } from "../support/realtime-client.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { expectProblem } from "./answers.ts"

let service: TurnService
let user: DoorAgent
beforeAll(async () => {
  service = await startTurns()
})
afterAll(() => service.stop())
beforeEach(async () => {
  service.reset()
  user = await makeDoorAgent(service)
})
afterEach(() => {
  expect(service.upstream.refusals()).toEqual([])
})

const connect = (sessionId: string) =>
  connectRealtime(service.url, user.key, { query: `?session_id=${sessionId}` })
const end = async (client: RealtimeClient) => {
  client.socket.close()
  await client.closed
}
const done = (client: RealtimeClient, count = 1) =>
  until(
    () => client.events.filter(({ type }) => type === "response.done")[count - 1],
    () => `a response among ${client.events.map(({ type }) => type).join(" ")}`,
  )
const respond = { type: "response.create", response: { output_modalities: ["text"] } }
const resultItem = {
  type: "conversation.item.create",
  item: { type: "function_call_output", call_id: "call_1", output: "open" },
}
const ask = {
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text: question }] },
}
const errorsIn = (client: RealtimeClient) => client.events.filter(({ type }) => type === "error")

test("a call of a turn is answered in Realtime", async () => {
  const turn = await user.asked()
  service.upstream.script("llm", [{ text: reply }])
  const client = await connect(turn.sessionId)
  client.send(resultItem)
  client.send(respond)
  expect(await done(client)).toMatchObject({
    response: { status: "completed", output: [{ content: [{ text: reply }] }] },
  })
  expect(errorsIn(client)).toEqual([])
  expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open"])
  await end(client)
  expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
  await expectProblem(await user.bring(turn.turnId, opened), { status: 409, code: "TOOL_CALL_ANSWERED" })
})

test("a call in Realtime is answered over HTTP", async () => {
  const session = await user.newSession()
  service.upstream.script("llm", [asks, { text: reply }])
  const client = await connect(session)
  client.send(ask)
  client.send(respond)
  expect(await done(client)).toMatchObject({
    response: { output: [{ type: "message" }, { type: "function_call", call_id: "call_1" }] },
  })
  await end(client)
  const open: unknown = await user.openCalls(session)
  expect(open).toEqual({ turnId: expect.any(String), toolCalls: [shownFront] })
  const next = await readTurn(await user.bring(String(Object(open).turnId), opened))
  expect(next).toMatchObject({ sessionId: session, response: reply })
  expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open"])
})

test("of two calls, one is answered in Realtime and the other over HTTP", async () => {
  const turn = await user.asked({ text: words, toolCalls: [front, { ...front, id: "call_2" }] })
  const client = await connect(turn.sessionId)
  client.send(resultItem)
  await until(() => client.events.find(({ type }) => type === "conversation.item.done"), "the item")
  await end(client)
  await until(async () => {
    const rows = await service.database.sql`select 1 from items
      where session_id = ${turn.sessionId} and type = 'tool_result'`
    return rows.length === 1
  }, "the result")
  expect(await user.openCalls(turn.sessionId)).toMatchObject({ toolCalls: [{ callId: "call_2" }] })
  await expectProblem(await user.bring(turn.turnId, opened), { status: 409, code: "TOOL_CALL_ANSWERED" })
  const second = [{ callId: "call_2", output: "shut" }]
  expect((await user.bring(turn.turnId, second)).status).toBe(200)
  expect(user.lastPrompt().slice(-2)).toEqual(["tool: open", "tool: shut"])
})

test("Realtime passes on arguments that do not fit, as its clients expect", async () => {
  const session = await user.newSession()
  service.upstream.script("llm", [{ text: "", toolCalls: [{ ...front, arguments: '{"door":1}' }] }])
  const client = await connect(session)
  client.send(ask)
  client.send(respond)
  expect(await done(client)).toMatchObject({
    response: { output: [{ type: "function_call", arguments: '{"door":1}' }] },
  })
  await end(client)
})

/** Tools of `client.realtime`, against the real service. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { makeClient, type RealtimeOptions, type ToolFunctions } from "../../src/client/client.ts"
import {
  asks,
  back,
  type DoorAgent,
  front,
  makeDoorAgent,
  noCalls,
  question,
  reply,
  shownFront,
  toldFront,
  words,
} from "../support/door-agent.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let user: DoorAgent
beforeAll(async () => {
  service = await startTurns()
  wire = await startWire(service.url)
})
beforeEach(async () => {
  service.reset()
  wire.reset()
  user = await makeDoorAgent(service)
})
afterEach(() => expect(service.upstream.refusals()).toEqual([]))
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

const start = (tools: ToolFunctions | undefined, options: RealtimeOptions = {}) => {
  const texts: Array<string> = []
  const errors: Array<string> = []
  const calls: Array<string> = []
  let ended = 0
  const realtime = makeClient({ baseUrl: wire.url, apiKey: user.key, pauseMs: 1 }).realtime({
    agentId: user.agentId,
    session: { output_modalities: ["text"] },
    tools,
    pauseMs: 1,
    onText: ({ text }) => texts.push(text),
    onToolCall: ({ callId }) => calls.push(callId),
    onReplyEnd: () => {
      ended += 1
    },
    onError: ({ code }) => errors.push(code),
    ...options,
  })
  const said = () => texts.join("")
  return {
    realtime,
    said,
    errors,
    calls,
    replies: (count: number) =>
      until(
        () => ended >= count,
        () => `${count} replies: ${said()} ${errors}`,
      ),
  }
}

test("a call runs its function, and the reply follows", async () => {
  service.upstream.script("llm", [{ text: words, toolCalls: [front, back] }, { text: reply }])
  const doors: Array<unknown> = []
  const { realtime, said, errors, calls, replies } = start({
    open_door: ({ door }) => {
      doors.push(door)
      if (door === "back") throw new Error("It is stuck.")
      return { isOpen: true }
    },
  })
  realtime.say(question)
  await replies(2)
  expect(doors).toEqual(["front", "back"])
  expect(calls).toEqual(["call_1", "call_2"])
  expect(said()).toBe(words + reply)
  expect(user.lastPrompt().slice(-2)).toEqual([
    'tool: {"isOpen":true}',
    "tool: The tool failed: It is stuck.",
  ])
  expect(service.upstream.calls("llm")).toHaveLength(2)
  realtime.close()
  expect(errors).toEqual([])
})

test("a result that comes within another reply is answered after it", async () => {
  service.upstream.script("llm", [asks, { text: "One. Two. Three.", chunkDelayMs: 50 }, { text: reply }])
  let open = (_: string) => {}
  const opening = new Promise<string>((resolve) => {
    open = resolve
  })
  const { realtime, errors, replies } = start(
    { open_door: () => opening },
    { onText: ({ text }) => text.includes("Two") && open("open") },
  )
  realtime.say(question)
  await replies(1)
  realtime.say("Are you there?")
  await replies(3)
  expect(service.upstream.calls("llm")).toHaveLength(3)
  expect(user.lastPrompt()).toContain("tool: open")
  realtime.close()
  expect(errors).toEqual([])
})

test("without functions the call stays open, also for HTTP", async () => {
  service.upstream.script("llm", [asks])
  const { realtime, calls, replies } = start(undefined)
  realtime.say(question)
  await replies(1)
  expect(calls).toEqual(["call_1"])
  const sessionId = realtime.sessionId() ?? ""
  realtime.close()
  const open: unknown = await user.openCalls(sessionId)
  expect(open).toMatchObject({ toolCalls: [shownFront] })
  const result = [{ callId: "call_1", output: "open" }]
  expect((await user.bring(String(Object(open).turnId), result)).status).toBe(200)
  expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open"])
})

test("a result that comes while the connection is lost is sent on the next one", async () => {
  service.upstream.script("llm", [asks, { text: reply }])
  let sessions = 0
  const { realtime, said, replies } = start(
    {
      open_door: async () => {
        wire.refuse()
        await until(() => realtime.state() === "connecting", "the loss")
        wire.accept()
        return "open"
      },
    },
    {
      onSession: () => {
        sessions += 1
      },
    },
  )
  // Stored, so that the next connection continues it.
  realtime.say(question)
  await replies(2)
  await until(() => said().includes(reply), said)
  expect(sessions).toBe(2)
  expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open"])
  const sessionId = realtime.sessionId() ?? ""
  realtime.close()
  expect(await user.openCalls(sessionId)).toEqual(noCalls)
})

test("close ends a function, and sends nothing", async () => {
  service.upstream.script("llm", [asks])
  let isAborted = false
  const { realtime, replies } = start({
    open_door: (_, { signal }) =>
      new Promise((resolve) =>
        signal.addEventListener("abort", () => {
          isAborted = true
          resolve("open")
        }),
      ),
  })
  realtime.say(question)
  await replies(1)
  realtime.close()
  expect(isAborted).toBe(true)
  const sessionId = realtime.sessionId() ?? ""
  expect(await user.openCalls(sessionId)).toMatchObject({ toolCalls: [shownFront] })
})

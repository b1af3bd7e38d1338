/** Tools that the client runs, in turns over HTTP. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Duration, Effect, Metric, Option } from "effect"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { wav16k } from "../support/audio.ts"
import {
  asks,
  back,
  type DoorAgent,
  front,
  json,
  makeDoorAgent,
  newKey,
  noCalls,
  opened,
  readTurn,
  reply,
  shownBack,
  shownFront,
  sse,
  toldFront,
  words,
} from "../support/door-agent.ts"
import { eventsIn } from "../support/events.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { fail, type Step } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

let weatherCalls = 0
const weather: RunnableTool = {
  tool: { name: "weather", description: Option.none(), parameters: { type: "object" } },
  isIdempotent: false,
  timeout: Duration.seconds(60),
  run: () =>
    Effect.sync(() => {
      weatherCalls += 1
      return { output: "Sunny.", isError: false }
    }),
}

let service: TurnService
let user: DoorAgent
let recording = new Blob([])
beforeAll(async () => {
  service = await startTurns({ tools: [weather], env: { BUILT_IN_TOOLS: "none" } })
  recording = new Blob([await wav16k()])
})
afterAll(() => service.stop())

beforeEach(async () => {
  service.reset()
  weatherCalls = 0
  user = await makeDoorAgent(service, [{ type: "builtin", name: "weather" }])
})
afterEach(async () => {
  expect(service.upstream.refusals()).toEqual([])
  await service.nothingLeft()
})

describe("a turn that calls a client's tool", () => {
  test("shows the call in JSON, and takes the result", async () => {
    service.upstream.script("llm", [asks, { text: reply }])
    const turn = await readTurn(await user.say(await user.newSession()))
    expect(turn).toMatchObject({ response: words, toolCalls: [shownFront] })
    expect(await user.openCalls(turn.sessionId)).toEqual({ turnId: turn.turnId, toolCalls: [shownFront] })
    const next = await readTurn(
      await user.bring(turn.turnId, [{ callId: "call_1", output: { isOpen: true } }]),
    )
    expect(next).toMatchObject({ sessionId: turn.sessionId, transcript: "", response: reply, toolCalls: [] })
    expect(user.lastPrompt()).toEqual(["user: Open the front door.", toldFront, 'tool: {"isOpen":true}'])
    expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
    // Both turns are in the history.
    expect((await user.say(turn.sessionId)).status).toBe(200)
    expect(user.lastPrompt()).toEqual([
      "user: Open the front door.",
      toldFront,
      'tool: {"isOpen":true}',
      `assistant: ${reply}`,
      "user: Open the front door.",
    ])
  })

  test("shows the call as an event, when it is known and at the end", async () => {
    service.upstream.script("llm", [asks, { text: reply }])
    const answer = await user.say(await user.newSession(), { headers: sse })
    const turnId = answer.headers.get("x-turn-id") ?? ""
    const first = eventsIn(await answer.bytes())
    expect(first.map(({ event }) => event).filter((name) => name !== "reply.delta")).toEqual([
      "turn.started",
      "transcript",
      "tool_call",
      "turn.completed",
    ])
    expect(first.find(({ event }) => event === "tool_call")?.data).toEqual(shownFront)
    expect(first.at(-1)?.data).toMatchObject({ response: words, toolCalls: [shownFront] })
    const next = eventsIn(await (await user.bring(turnId, opened, { headers: sse })).bytes())
    expect(next.map(({ event }) => event).filter((name) => name !== "reply.delta")).toEqual([
      "turn.started",
      "turn.completed",
    ])
    expect(next.at(-1)?.data).toMatchObject({ transcript: "", response: reply, toolCalls: [] })
  })

  test("is spoken, and so is the reply", async () => {
    service.upstream.script("llm", [asks, { text: reply }])
    const form = new FormData()
    form.append("agentId", user.agentId)
    form.append("audio", recording, "recording")
    const answer = await fetch(`${service.url}/voice/conversation`, {
      method: "POST",
      headers: { authorization: `Bearer ${user.key}`, accept: "audio/mpeg" },
      body: form,
    })
    expect((await answer.bytes()).length).toBeGreaterThan(1000)
    const sessionId = answer.headers.get("x-session-id") ?? ""
    const turnId = answer.headers.get("x-turn-id") ?? ""
    // An audio response shows no calls.
    expect(await user.openCalls(sessionId)).toEqual({ turnId, toolCalls: [shownFront] })
    const next = await user.bring(turnId, opened, { headers: { accept: "audio/wav" }, isSpoken: true })
    expect([next.status, next.headers.get("content-type")]).toEqual([200, "audio/wav"])
    expect((await next.bytes()).length).toBeGreaterThan(1000)
  })

  test("without words has a response, too", async () => {
    const silent = { text: "", toolCalls: [front] }
    const turn = await user.asked(silent)
    expect(turn).toMatchObject({ response: "", toolCalls: [shownFront] })
    service.upstream.script("llm", [silent])
    const answer = await service.call("POST", `/sessions/${turn.sessionId}/messages`, {
      key: user.key,
      body: { text: "Again." },
      headers: { accept: "audio/mpeg" },
    })
    expect([answer.status, answer.headers.get("x-response")]).toEqual([200, ""])
    await answer.bytes()
  })

  test("and one of the service runs that one, and ends with the other", async () => {
    const sunny = { id: "call_w", name: "weather", arguments: "{}" }
    service.upstream.script("llm", [{ text: words, toolCalls: [sunny, front] }, { text: reply }])
    const turn = await readTurn(await user.say(await user.newSession()))
    expect(turn.toolCalls).toEqual([shownFront])
    expect(weatherCalls).toBe(1)
    expect(await user.openCalls(turn.sessionId)).toEqual({ turnId: turn.turnId, toolCalls: [shownFront] })
    await expectProblem(await user.bring(turn.turnId, [{ callId: "call_w", output: "" }]), {
      status: 422,
      code: "TOOL_RESULTS_MISMATCH",
      message: /^results\.0\.callId: /,
    })
    expect((await user.bring(turn.turnId, opened)).status).toBe(200)
    const told = user.lastPrompt()
    expect(told).toContain("tool: Sunny.")
    expect(told).toContain("tool: open")
  })

  test("with arguments that do not fit is told to the model", async () => {
    for (const written of ['{"door":"side"}', "{}", "front", "[1]"]) {
      service.upstream.script("llm", [
        { text: "", toolCalls: [{ ...front, arguments: written }] },
        { text: "", toolCalls: [{ ...front, id: "call_x" }] },
      ])
      const turn = await readTurn(await user.say(await user.newSession()))
      expect(turn.toolCalls).toEqual([{ ...shownFront, callId: "call_x" }])
      expect(user.lastPrompt().at(-1)).toMatch(/^tool: The arguments/)
      expect(await user.openCalls(turn.sessionId)).toMatchObject({ toolCalls: [{ callId: "call_x" }] })
    }
  })
})

describe("results", () => {
  test("may lead to further calls, up to the limit of rounds", async () => {
    const limited = await user.makeAgent({ name: "Limited", limits: { toolRounds: 3 } })
    const session = await user.newSession(limited)
    const call = (id: string): Step => ({ text: "", toolCalls: [{ ...front, id }] })
    service.upstream.script("llm", [call("a"), call("b"), { text: reply }])
    const first = await readTurn(await user.say(session))
    const second = await readTurn(await user.bring(first.turnId, [{ callId: "a", output: "" }]))
    expect(second.toolCalls.map(({ callId }) => callId)).toEqual(["b"])
    const third = await readTurn(await user.bring(second.turnId, [{ callId: "b", output: "" }]))
    expect(third).toMatchObject({ response: reply, toolCalls: [] })
    expect(service.upstream.calls("llm").map(({ request }) => request.tool_choice)).toEqual([
      undefined,
      undefined,
      "none",
    ])
    // The user's next words begin another chain.
    service.upstream.script("llm", [call("c")])
    expect(await readTurn(await user.say(session))).toMatchObject({ toolCalls: [{ callId: "c" }] })
  })

  test("are texts, JSON or failures", async () => {
    const said = async (result: object) => {
      const turn = await user.asked()
      expect((await user.bring(turn.turnId, [{ callId: "call_1", ...result }])).status).toBe(200)
      return user.lastPrompt().at(-1)
    }
    expect(await said({ output: "It\0 is open\ud800." })).toBe("tool: It is open\ufffd.")
    expect(await said({ output: 5 })).toBe("tool: 5")
    expect(await said({ output: null })).toBe("tool: null")
    expect(await said({ output: ["a"], isError: false })).toBe('tool: ["a"]')
    expect(await said({ output: "It is stuck.", isError: true })).toBe("tool: The tool failed: It is stuck.")
    expect(await said({ output: "", isError: true })).toBe("tool: The tool failed.")
    const long = await said({ output: "a".repeat(200_000) })
    expect(long).toEndWith("[The rest is cut off.]")
    expect(long?.length).toBeLessThan(100_100)
  })

  test("that are no results are refused with the field", async () => {
    const { turnId } = await user.asked()
    const refused = async (results: unknown, message: RegExp) =>
      expectProblem(await user.bring(turnId, results), { status: 400, code: "VALIDATION_ERROR", message })
    await refused(undefined, /^results: /)
    await refused("open", /^results: /)
    await refused([], /^results: /)
    await refused(
      Array.from({ length: 129 }, (_, at) => ({ callId: `${at}`, output: "" })),
      /^results: /,
    )
    await refused([{ output: "open" }], /^results\.0\.callId: /)
    await refused([{ callId: 1, output: "open" }], /^results\.0\.callId: /)
    await refused([{ callId: "call_1" }], /^results\.0\.output: /)
    await refused([{ callId: "call_1", output: "", isError: "no" }], /^results\.0\.isError: /)
    await refused([...opened, ...opened], /^results\.1\.callId: /)
    await refused([null], /^results\.0: /)
  })

  test("have to be those of all calls", async () => {
    const { turnId, sessionId } = await user.asked({ text: words, toolCalls: [front, back] })
    const refused = async (results: unknown, message: RegExp) =>
      expectProblem(await user.bring(turnId, results), {
        status: 422,
        code: "TOOL_RESULTS_MISMATCH",
        message,
      })
    await refused(opened, /^results: the call call_2 has no result/)
    await refused([...opened, { callId: "call_3", output: "" }], /^results\.1\.callId: /)
    expect(service.upstream.calls("llm")).toHaveLength(1)
    expect(await user.openCalls(sessionId)).toEqual({ turnId, toolCalls: [shownFront, shownBack] })
    const all = [{ callId: "call_2", output: "B" }, ...opened]
    expect((await user.bring(turnId, all)).status).toBe(200)
    expect(user.lastPrompt().slice(-2)).toEqual(["tool: open", "tool: B"])
  })

  test("belong to a turn of their user", async () => {
    const { turnId } = await user.asked()
    const other = await service.register()
    const missing = { status: 404, code: "TURN_NOT_FOUND" }
    await expectProblem(await user.bring(turnId, opened, {}, other), missing)
    await expectProblem(await user.bring("x", opened), missing)
    await expectProblem(await user.bring(crypto.randomUUID(), opened), missing)
    const calls = await service.call("GET", `/sessions/${(await user.asked()).sessionId}/tool-calls`, {
      key: other,
    })
    await expectProblem(calls, { status: 404, code: "SESSION_NOT_FOUND" })
  })

  test("come once", async () => {
    const { turnId } = await user.asked()
    expect((await user.bring(turnId, opened)).status).toBe(200)
    const answered = { status: 409, code: "TOOL_CALL_ANSWERED", message: /^The call call_1 / }
    await expectProblem(await user.bring(turnId, opened), answered)
    await expectProblem(await user.bring(turnId, [{ callId: "call_1", output: "shut" }]), answered)
  })

  test("come before the conversation goes on", async () => {
    const turn = await user.asked()
    service.upstream.script("llm", [{ text: "Hm." }])
    await readTurn(await user.say(turn.sessionId))
    expect(user.lastPrompt()[2]).toContain("unknown")
    expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
    await expectProblem(await user.bring(turn.turnId, opened), { status: 409, code: "TOOL_CALLS_CLOSED" })
  })

  test("are taken by the agent that called", async () => {
    const other = await user.makeAgent({ name: "Other", instructions: "You are the doorman." })
    const plain = await user.newSession("default")
    service.upstream.script("llm", [asks, { text: reply }])
    const turn = await readTurn(await user.say(plain, {}, { agentId: other }))
    await service.call("PATCH", `/agents/${other}`, { key: user.key, body: { instructions: "You are new." } })
    expect((await user.bring(turn.turnId, opened)).status).toBe(200)
    expect(service.upstream.calls("llm").at(-1)?.request.messages[0]?.content).toBe("You are the doorman.")
  })

  test("of a deleted session have no turn", async () => {
    const turn = await user.asked()
    await service.call("DELETE", `/sessions/${turn.sessionId}`, { key: user.key })
    await expectProblem(await user.bring(turn.turnId, opened), { status: 404, code: "TURN_NOT_FOUND" })
  })
})

test("calls are counted by kind and outcome", async () => {
  const counts = () =>
    Object.fromEntries(
      [...Metric.unsafeSnapshot()].flatMap(({ metricKey: { name, tags }, metricState }) =>
        name === "voice_agent.tool_calls" && "count" in metricState
          ? [
              [
                tags
                  .map(({ value }) => value)
                  .toSorted()
                  .join(" "),
                Number(metricState.count),
              ],
            ]
          : [],
      ),
    )
  const before = counts()
  const sunny = { id: "call_w", name: "weather", arguments: "{}" }
  const turn = await user.asked({ text: words, toolCalls: [sunny, front, { ...back, arguments: "{}" }] })
  await readTurn(await user.bring(turn.turnId, [{ callId: "call_1", output: "", isError: true }]))
  const after = counts()
  const added = Object.entries(after).flatMap(([tags, count]) => {
    const more = count - (before[tags] ?? 0)
    return more === 0 ? [] : [[tags, more]]
  })
  expect(Object.fromEntries(added)).toEqual({
    "builtin ok": 1,
    "client refused": 1,
    "asked client": 1,
    "client failed": 1,
  })
})

describe("exactly once", () => {
  test("a replay shows the same calls", async () => {
    const headers = newKey()
    const session = await user.newSession()
    service.upstream.script("llm", [{ text: words, toolCalls: [front, back] }])
    const first = await readTurn(await user.say(session, { headers: { ...json, ...headers } }))
    const again = await user.say(session, { headers: { ...json, ...headers } })
    expect(again.headers.get("idempotent-replayed")).toBe("true")
    expect(await readTurn(again)).toEqual(first)
    const events = eventsIn(await (await user.say(session, { headers: { ...sse, ...headers } })).bytes())
    expect(events.filter(({ event }) => event === "tool_call").map(({ data }) => data)).toEqual([
      shownFront,
      shownBack,
    ])
    expect(service.upstream.calls("llm")).toHaveLength(1)
  })

  test("a repeated request replays the reply", async () => {
    const turn = await user.asked()
    service.upstream.script("llm", [{ text: reply }])
    const headers = { ...json, ...newKey() }
    const first = await readTurn(await user.bring(turn.turnId, opened, { headers }))
    const again = await user.bring(turn.turnId, opened, { headers })
    expect(again.headers.get("idempotent-replayed")).toBe("true")
    expect(await readTurn(again)).toEqual(first)
    const events = eventsIn(
      await (await user.bring(turn.turnId, opened, { headers: { ...headers, ...sse } })).bytes(),
    )
    expect(events.map(({ event }) => event)).toEqual(["turn.started", "reply.delta", "turn.completed"])
    const reused = { status: 422, code: "IDEMPOTENCY_KEY_REUSED" }
    await expectProblem(
      await user.bring(turn.turnId, [{ callId: "call_1", output: "shut" }], { headers }),
      reused,
    )
    expect(service.upstream.calls("llm")).toHaveLength(2)
  })

  test("two requests at once begin one turn", async () => {
    for (const headers of [newKey(), undefined]) {
      const turn = await user.asked()
      service.upstream.script("llm", [{ text: reply }])
      const before = service.upstream.calls("llm").length
      const answers = await Promise.all(
        [1, 2, 3].map(() => user.bring(turn.turnId, opened, { headers: { ...json, ...headers } })),
      )
      const statuses = answers.map(({ status }) => status).toSorted()
      expect(statuses).toEqual(headers === undefined ? [200, 409, 409] : [200, 200, 200])
      await Promise.all(answers.map((answer) => answer.bytes()))
      expect(service.upstream.calls("llm").length - before).toBe(1)
      const rows = await service.database.sql`select 1 from items
        where session_id = ${turn.sessionId} and type = 'tool_result'`
      expect(rows).toHaveLength(1)
    }
  })

  test("a reply that failed is made again with the same results", async () => {
    for (const headers of [newKey(), {}]) {
      const turn = await user.asked()
      service.upstream.script("llm", [fail.status(400)])
      const failed = await user.bring(turn.turnId, opened, { headers: { ...json, ...headers } })
      expect(failed.status).toBeGreaterThanOrEqual(400)
      await failed.bytes()
      // The results are kept, so that the tool need not run again.
      expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
      await expectProblem(await user.bring(turn.turnId, [{ callId: "call_1", output: "shut" }]), {
        status: 409,
        code: "TOOL_CALL_ANSWERED",
      })
      service.upstream.script("llm", [{ text: reply }])
      expect(
        await readTurn(await user.bring(turn.turnId, opened, { headers: { ...json, ...headers } })),
      ).toMatchObject({
        response: reply,
      })
      expect(user.lastPrompt()).toEqual(["user: Open the front door.", toldFront, "tool: open"])
    }
  })
})

/** Clients that leave, and come back, in each phase of a call of theirs. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
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
  question,
  readTurn,
  reply,
  shownFront,
  sse,
  toldFront,
  words,
} from "../support/door-agent.ts"
import { noTurnRuns } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Step } from "../support/upstream.ts"

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
afterEach(async () => {
  expect(service.upstream.refusals()).toEqual([])
  await service.nothingLeft()
})

/** A client that has left does not see the end of its turn. */
const ended = async () => {
  await noTurnRuns(service)
  await service.nothingLeft()
}

/** Far beyond the end of a test. */
const slow = { delayMs: 600_000 }

/** Reads a response until it contains `text`, then leaves. */
const leaveAfter = async (
  text: string,
  send: (signal: AbortSignal) => Promise<Response>,
): Promise<Response> => {
  const leaving = new AbortController()
  const answer = await send(leaving.signal)
  const reader = answer.body?.getReader()
  const decoder = new TextDecoder()
  let read = ""
  while (!read.includes(text)) {
    const next = await reader?.read()
    expect([read.slice(-1000), next?.done]).toEqual([expect.any(String), false])
    read += decoder.decode(next?.value, { stream: true })
  }
  // Not a cancelled body: fetch may then read the rest.
  leaving.abort()
  return answer
}

/** Sends a request, and leaves once the model is asked. */
const leaveWhenAsked = async (send: (signal: AbortSignal) => Promise<Response>) => {
  const leaving = new AbortController()
  const before = service.upstream.calls("llm").length
  const sent = send(leaving.signal).catch(() => undefined)
  await service.upstream.waitFor(() => service.upstream.calls("llm").length > before, "a request")
  leaving.abort()
  await sent
  await ended()
}

const turnIdOf = (answer: Response) => answer.headers.get("x-turn-id") ?? ""

const resultsIn = async (sessionId: string) => {
  const rows = await service.database.sql`select payload ->> 'output' as output from items
    where session_id = ${sessionId} and type = 'tool_result' order by sequence`
  return [...rows].map(({ output }) => output)
}

test("before the call: nothing is left of it", async () => {
  const session = await user.newSession()
  service.upstream.script("llm", [{ ...asks, ...slow }])
  await leaveWhenAsked((signal) => user.say(session, { headers: sse, signal }))
  expect(await user.openCalls(session)).toEqual(noCalls)
  const turn = await user.asked(asks, session)
  expect(turn.toolCalls).toEqual([shownFront])
  expect((await user.bring(turn.turnId, opened)).status).toBe(200)
})

test("behind the call, before the end of the turn: the call is open", async () => {
  const session = await user.newSession()
  service.upstream.script("llm", [asks])
  service.upstream.script("tts", [slow])
  const answer = await leaveAfter("tool_call", (signal) =>
    user.say(session, { headers: sse, isSpoken: true, signal }),
  )
  await ended()
  expect(await user.openCalls(session)).toEqual({ turnId: turnIdOf(answer), toolCalls: [shownFront] })
  service.upstream.script("llm", [{ text: reply }])
  expect(await readTurn(await user.bring(turnIdOf(answer), opened))).toMatchObject({ response: reply })
  expect(user.lastPrompt().slice(-1)).toEqual(["tool: open"])
})

test("behind the call, with a key: the turn goes on, and shows the same call", async () => {
  const session = await user.newSession()
  const headers = { ...sse, ...newKey() }
  service.upstream.script("llm", [asks])
  service.upstream.script("tts", [{ delayMs: 300 }])
  const answer = await leaveAfter("tool_call", (signal) =>
    user.say(session, { headers, isSpoken: true, signal }),
  )
  const again = await readTurn(await user.say(session, { headers: { ...headers, ...json }, isSpoken: true }))
  expect(again).toMatchObject({ turnId: turnIdOf(answer), toolCalls: [shownFront] })
  expect(service.upstream.calls("llm")).toHaveLength(1)
})

test("a result that comes before the end of its turn waits for it", async () => {
  const session = await user.newSession()
  service.upstream.script("llm", [asks, { text: reply }])
  service.upstream.script("tts", [{ delayMs: 500 }])
  const answer = await user.say(session, { headers: sse, isSpoken: true })
  const reading = answer.text()
  await until(async () => {
    const rows = await service.database.sql`select 1 from turns where id = ${turnIdOf(answer)}`
    return rows.length === 1
  }, "the turn")
  const next = await readTurn(await user.bring(turnIdOf(answer), opened))
  expect(next).toMatchObject({ sessionId: session, response: reply })
  expect(await reading).toContain("turn.completed")
})

test("before the reply: the result is kept, and answered later", async () => {
  for (const headers of [sse, json]) {
    const turn = await user.asked()
    service.upstream.script("llm", [slow])
    await leaveWhenAsked((signal) => user.bring(turn.turnId, opened, { headers, signal }))
    await until(async () => (await resultsIn(turn.sessionId)).length > 0, "the result")
    expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
    service.upstream.script("llm", [{ text: reply }])
    expect(await readTurn(await user.bring(turn.turnId, opened))).toMatchObject({ response: reply })
    expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open"])
    expect(await resultsIn(turn.sessionId)).toEqual(["open"])
  }
})

test("before the reply, and the user says something else: the model knows the result", async () => {
  const turn = await user.asked()
  service.upstream.script("llm", [slow])
  await leaveWhenAsked((signal) => user.bring(turn.turnId, opened, { headers: sse, signal }))
  expect((await user.say(turn.sessionId)).status).toBe(200)
  expect(user.lastPrompt()).toEqual([`user: ${question}`, toldFront, "tool: open", `user: ${question}`])
  expect((await user.bring(turn.turnId, opened)).status).toBe(409)
})

test("within the reply: the part is kept, and the same results are answered again", async () => {
  const turn = await user.asked()
  const long = "This is a sentence of a long reply. ".repeat(20)
  service.upstream.script("llm", [{ text: long, chunkDelayMs: 20 }])
  await leaveAfter("id: 30\n", (signal) => user.bring(turn.turnId, opened, { headers: sse, signal }))
  await ended()
  service.upstream.script("llm", [{ text: reply }])
  expect(await readTurn(await user.bring(turn.turnId, opened))).toMatchObject({ response: reply })
  const [, , told, part] = user.lastPrompt()
  expect(told).toBe("tool: open")
  expect(part).toStartWith("assistant: This is a sentence")
  expect(await resultsIn(turn.sessionId)).toEqual(["open"])
  expect((await user.bring(turn.turnId, opened)).status).toBe(409)
})

test("within the reply, with a key: the reply is made once", async () => {
  const turn = await user.asked()
  const headers = { ...sse, ...newKey() }
  service.upstream.script("llm", [{ text: "One. Two. Three. Four. Five.", chunkDelayMs: 30 }])
  await leaveAfter("reply.delta", (signal) => user.bring(turn.turnId, opened, { headers, signal }))
  const again = await readTurn(await user.bring(turn.turnId, opened, { headers: { ...headers, ...json } }))
  expect(again.response).toBe("One. Two. Three. Four. Five.")
  expect(service.upstream.calls("llm")).toHaveLength(2)
})

test("a cancelled reply keeps the result", async () => {
  const turn = await user.asked()
  service.upstream.script("llm", [{ text: "One. Two. Three. Four. Five. Six.", chunkDelayMs: 200 }])
  const answer = await user.bring(turn.turnId, opened, { headers: sse })
  const reading = answer.text()
  const cancelled = await service.call("DELETE", `/voice/turns/${turnIdOf(answer)}`, { key: user.key })
  expect(cancelled.status).toBe(204)
  expect(await reading).toContain("TURN_CANCELLED")
  expect(await user.openCalls(turn.sessionId)).toEqual(noCalls)
  expect(await resultsIn(turn.sessionId)).toEqual(["open"])
})

/** Park and Miller's generator. */
const makeRandom = (seed: number) => {
  let state = (seed % 2147483646) + 1
  return (below: number) => {
    state = (state * 48271) % 2147483647
    return Math.floor((state / 2147483647) * below)
  }
}

const seed = Number(process.env.WALK_SEED ?? Date.now() % 2 ** 31)

// The scripted provider refuses a call without its result, and a result without its call: `refusals` stays empty.
test(`random steps never leave the model with half a call (WALK_SEED=${seed})`, async () => {
  const random = makeRandom(seed)
  let named = 0
  const answers: ReadonlyArray<() => Step> = [
    () => ({ text: reply }),
    () => ({ text: words, toolCalls: [{ ...front, id: `c${named++}` }] }),
    () => ({
      text: "",
      toolCalls: [
        { ...front, id: `c${named++}` },
        { ...back, id: `c${named++}` },
      ],
    }),
    () => ({ text: "", toolCalls: [{ ...front, id: `c${named++}`, arguments: "{}" }] }),
    () => fail.status(400),
  ]
  const session = await user.newSession()
  let turns: ReadonlyArray<Awaited<ReturnType<typeof readTurn>>> = []
  const note = async (answer: Response) => {
    const known = [200, 400, 409, 422, 500, 502, 503]
    expect(known).toContain(answer.status)
    if (answer.status === 200) turns = [...turns, await readTurn(answer)]
    else await answer.text()
    return answer.status
  }
  const resultsOf = (calls: ReadonlyArray<{ readonly callId: string }>) =>
    calls.map(({ callId }) => ({ callId, output: `result of ${callId}` }))
  for (let step = 0; step < 60; step += 1) {
    service.upstream.reset()
    service.upstream.default("llm", () => (answers[random(answers.length)] ?? answers[0])?.() ?? {})
    const last = turns.at(-1)
    const calls = last?.toolCalls ?? []
    switch (random(5)) {
      case 0:
        await note(await user.say(session))
        break
      case 1: {
        const older = turns[random(Math.max(1, turns.length))]
        if (older !== undefined)
          await note(await user.bring(older.turnId, resultsOf(older.toolCalls.slice(1))))
        break
      }
      case 2:
        if (last !== undefined && calls.length > 0) {
          const both = await Promise.all([1, 2].map(() => user.bring(last.turnId, resultsOf(calls))))
          const statuses = await Promise.all(both.map(note))
          expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(1)
        }
        break
      default:
        if (last !== undefined && calls.length > 0)
          await note(await user.bring(last.turnId, resultsOf(calls)))
    }
    expect(service.upstream.refusals()).toEqual([])
  }
  const rows = await service.database.sql`select payload ->> 'callId' as call, count(*)::int from items
    where session_id = ${session} and type = 'tool_result' group by 1 having count(*) > 1`
  expect([...rows]).toEqual([])
}, 60_000)

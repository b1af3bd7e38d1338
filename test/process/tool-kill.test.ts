/**
 * Kills the service (`kill -9`) at random moments of turns with tools, spread over their length. TOOL_KILLS is the number of
 * kills (4); KILL_SEED repeats a run.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, newFolder, startProcess } from "../support/process.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"
import type { LlmRequest } from "../support/upstream-requests.ts"

const kills = Number(process.env.TOOL_KILLS ?? 4)
const seed = Number(process.env.KILL_SEED ?? Date.now() % 2 ** 31)

/** Park and Miller's generator: the same seed, the same kills. */
let state = (seed % 2147483646) + 1
const random = () => {
  state = (state * 48271) % 2147483647
  return state / 2147483647
}

/** How long the turns take, in ms. */
const turnMs = 1300

const cwd = newFolder()
const countFile = join(cwd, "counted")
let database: TestDatabase
let upstream: Upstream
let user = ""
let asked = 0

/** The model's answer to "Door N": a call of the client's tool, then a round with a call of the service's, then a text. */
const answerDoor = ({ messages }: LlmRequest, number: string) => {
  const at = messages.findLastIndex(({ role }) => role === "user")
  const round = messages.slice(at).filter(({ tool_calls }) => tool_calls !== undefined).length
  if (round === 0) return { toolCalls: [{ id: `door_${number}`, name: "open_door", arguments: "{}" }] }
  if (round === 1) {
    const label = JSON.stringify({ label: `door-${number}` })
    return { text: "Two.", toolCalls: [{ id: `count_${number}`, name: "count", arguments: label }] }
  }
  return { text: `Door ${number} is open.` }
}

/** The model's answer to question N: two rounds with calls, whose labels begin with N, then a text. */
const answerOf = (request: LlmRequest) => {
  const { messages } = request
  const last = messages.findLast(({ role }) => role === "user")
  const door = /Door (\d+)/.exec(`${last?.content}`)?.[1]
  if (door !== undefined) return answerDoor(request, door)
  const at = messages.findLastIndex(
    ({ role, content }) => role === "user" && /Question \d+/.test(`${content}`),
  )
  const number = /Question (\d+)/.exec(`${messages[at]?.content}`)?.[1]
  const round = messages.slice(at).filter(({ tool_calls }) => tool_calls !== undefined).length
  const callOf = (name: string, label: string) => ({
    id: `call_${number}_${label}`,
    name,
    arguments: JSON.stringify({ label: `${number}-${label}` }),
  })
  if (round === 0) return { text: "One.", toolCalls: [callOf("count", "a"), callOf("count_again", "b")] }
  if (round === 1) return { toolCalls: [callOf("count", "c")] }
  return { text: `Question ${number} is answered.` }
}

beforeAll(async () => {
  database = await makeDatabase()
  upstream = await startUpstream()
  upstream.latency({ llmFirstTokenMs: 40, ttsFirstByteMs: 30 })
  upstream.default("llm", answerOf)
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
  await database.drop()
})

const start = () =>
  startProcess({
    cwd,
    args: [join(import.meta.dir, "../support/counting-service.ts")],
    env: {
      NODE_ENV: "production",
      DATABASE_URL: database.url,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      BREAKER_FAILURES: "0",
      COUNT_FILE: countFile,
    },
  })

interface Turn {
  readonly sessionId: string
  readonly text: string
  readonly accept: string
  readonly key?: string
}

const newTurn = (sessionId: string, accept: string, isKeyed: boolean): Turn => {
  asked += 1
  return { sessionId, text: `Question ${asked}`, accept, ...(isKeyed ? { key: crypto.randomUUID() } : {}) }
}

const call = (url: string, path: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${url}/api/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${user}`, ...headers },
    body: JSON.stringify(body),
  })

/** The whole answer; undefined if the connection broke. */
const send = async (url: string, { sessionId, text, accept, key }: Turn) => {
  try {
    const headers = { accept, ...(key === undefined ? {} : { "idempotency-key": key }) }
    const answer = await call(url, `/sessions/${sessionId}/messages`, { text }, headers)
    return { status: answer.status, body: await answer.text() }
  } catch {
    return undefined
  }
}

const newSession = async (url: string, details = {}): Promise<string> => {
  const answer = await call(url, "/sessions", details)
  const { sessionId } = (await answer.json()) as { readonly sessionId: string }
  return sessionId
}

const doorAgent = {
  name: "Doors",
  tools: [
    { type: "client", name: "open_door" },
    { type: "builtin", name: "count" },
  ],
}

interface Visit {
  readonly sessionId: string
  readonly text: string
  readonly keys: readonly [string, string]
  /** The ids of the calls that reached the client at the end of a turn. */
  readonly seen: Set<string>
}

const newVisit = (sessionId: string): Visit => {
  asked += 1
  const keys = [crypto.randomUUID(), crypto.randomUUID()] as const
  return { sessionId, text: `Door ${asked}`, keys, seen: new Set() }
}

interface VisitAnswer {
  readonly turnId: string
  readonly response: string
  readonly toolCalls: ReadonlyArray<{ readonly callId: string }>
}

/** A client that runs its tool, and brings the result: the last answer. Undefined if a connection broke. */
const visit = async (url: string, { sessionId, text, keys, seen }: Visit) => {
  const post = async (path: string, body: object, key: string) => {
    const answer = await call(url, path, body, { accept: "application/json", "idempotency-key": key })
    expect([answer.status, await answer.clone().text()]).toEqual([200, expect.any(String)])
    return (await answer.json()) as VisitAnswer
  }
  const first = await post(`/sessions/${sessionId}/messages`, { text }, keys[0])
  for (const { callId } of first.toolCalls) seen.add(callId)
  const results = first.toolCalls.map(({ callId }) => ({ callId, output: `opened ${callId}` }))
  return post(`/voice/turns/${first.turnId}/tool-results`, { results }, keys[1])
}

/** The calls that were made: tool, label, key. */
const counted = () =>
  (existsSync(countFile) ? readFileSync(countFile, "utf8") : "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [tool = "", label = "", key = ""] = line.split(" ")
      return { tool, label, key }
    })

const expectOnce = () => {
  const byLabel = Map.groupBy(counted(), ({ tool, label }) => `${tool} ${label}`)
  for (const [name, calls] of byLabel) {
    const keys = new Set(calls.map(({ key }) => key))
    expect({ name, keys: keys.size, calls: name.startsWith("count ") ? calls.length : 1 }).toEqual({
      name,
      keys: 1,
      calls: 1,
    })
  }
}

/** Every call that the service made in a saved turn was recorded; of a completed turn it has its result, too. */
const expectResults = async () => {
  const rows = await database.sql`
    select turns.id, state, calls.payload ->> 'callId' as call_id, (
        select count(*)::int from items as results where results.turn_id = turns.id and results.type = 'tool_result'
          and results.payload ->> 'callId' = calls.payload ->> 'callId'
      ) as results
    from turns join items as calls on calls.turn_id = turns.id and calls.type = 'tool_call'
      and calls.payload ->> 'runBy' = 'service'`
  const wrong = [...rows].filter(({ state: end, results }) =>
    end === "completed" ? results !== 1 : results > 1,
  )
  expect(wrong).toEqual([])
  const kept = await database.sql`select 1 from turn_rounds join turns on turns.id = turn_id
    where state <> 'running' and idempotency_key is null`
  expect([...kept]).toEqual([])
}

test.if(process.platform === "linux")(
  `${kills} kills repeat no call (KILL_SEED=${seed})`,
  async () => {
    console.log(`KILL_SEED=${seed}`)
    const figures = { clean: 0, cut: 0, unknown: 0, continued: 0 }
    let service = start()
    let url = await service.url()
    const registered = await call(url, "/users/register", { email: "ada@example.com" })
    user = ((await registered.json()) as { readonly apiKey: string }).apiKey
    const { agent } = (await (await call(url, "/agents", doorAgent)).json()) as {
      readonly agent: { readonly id: string }
    }
    const agentId = agent.id
    for (let kill = 1; kill <= kills; kill++) {
      const shared = await newSession(url)
      const turns = [
        newTurn(shared, "application/json", false),
        newTurn(await newSession(url), "application/json", true),
        newTurn(await newSession(url), "text/event-stream", true),
        newTurn(await newSession(url), "audio/mpeg", true),
      ]
      const doors = [
        newVisit(await newSession(url, { agentId })),
        newVisit(await newSession(url, { agentId })),
      ]
      const under = turns.map((turn) => send(url, turn))
      const visiting = doors.map((each) => visit(url, each).catch(() => undefined))
      await Bun.sleep(((kill - 1 + random()) / kills) * turnMs)
      service.signal("SIGKILL")
      expect(await service.ended).toBe("SIGKILL")
      const answers = await Promise.all(under)
      await Promise.all(visiting)
      figures.clean += answers.filter((answer) => answer?.status === 200).length
      figures.cut += answers.filter((answer) => answer === undefined).length

      service = start()
      url = await service.url()
      await database.sql`update turns set lease_until = least(lease_until, now() + interval '50 ms')
        where state = 'running'`
      // The next turn of a session is told of the calls before it: the provider refuses a call without a result.
      const next = await send(url, newTurn(shared, "application/json", false))
      expect(next?.status).toBe(200)
      const [{ count: dead }] = await database.sql`select count(*)::int from turn_rounds`
      figures.continued += dead
      const retry = async (turn: Turn) => {
        const again = await send(url, turn)
        expect(again?.status).toBe(200)
        if (turn.accept === "application/json") expect(again?.body).toContain(`${turn.text} is answered.`)
        if (turn.accept === "text/event-stream") expect(again?.body).toContain("turn.completed")
      }
      const visitAgain = async (each: Visit) => {
        const { response } = await visit(url, each)
        expect(response).toContain(`${each.text} is open.`)
        expect([...each.seen]).toHaveLength(1)
        const rows = await database.sql`select payload ->> 'output' as output from items
          where session_id = ${each.sessionId} and type = 'tool_result' order by sequence`
        expect([...rows].map(({ output }) => output)[0]).toBe(`opened ${[...each.seen][0]}`)
      }
      const keyed = turns.filter(({ key }) => key !== undefined)
      await Promise.all([...keyed.map(retry), ...doors.map(visitAgain)])
      figures.unknown = upstream
        .calls("llm")
        .filter(({ request }) =>
          request.messages.some(({ content }) => `${content}`.includes("is unknown")),
        ).length
      expect(upstream.refusals()).toEqual([])
      expectOnce()
      await expectResults()
    }
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    console.log({ kills, calls: counted().length, ...figures })
  },
  30_000 + kills * 15_000,
)

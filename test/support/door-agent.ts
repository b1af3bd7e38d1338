/** A user with an agent whose client opens doors, and the requests of its turns. */
import { expect } from "bun:test"
import { Schema } from "effect"
import type { Service } from "./service.ts"
import type { Step } from "./upstream.ts"

const tools = [
  {
    type: "client",
    name: "open_door",
    description: "Opens a door.",
    parameters: {
      type: "object",
      properties: { door: { type: "string", enum: ["front", "back"] } },
      required: ["door"],
    },
  },
]

const Turn = Schema.Struct({
  sessionId: Schema.String,
  turnId: Schema.String,
  transcript: Schema.String,
  response: Schema.String,
  toolCalls: Schema.Array(
    Schema.Struct({ callId: Schema.String, name: Schema.String, arguments: Schema.String }),
  ),
})
const OneAgent = Schema.Struct({ agent: Schema.Struct({ id: Schema.String }) })
const NewSession = Schema.Struct({ sessionId: Schema.String })

export const readTurn = async (answer: Response) => {
  const text = await answer.text()
  expect([answer.status, text]).toEqual([200, expect.any(String)])
  return Schema.decodeUnknownSync(Schema.parseJson(Turn))(text)
}

export const words = "Let me open it."
export const reply = "The door is open."
export const question = "Open the front door."
export const front = { id: "call_1", name: "open_door", arguments: '{"door":"front"}' }
export const back = { id: "call_2", name: "open_door", arguments: '{"door":"back"}' }
export const shownFront = { callId: "call_1", name: "open_door", arguments: '{"door":"front"}' }
export const shownBack = { callId: "call_2", name: "open_door", arguments: '{"door":"back"}' }
/** The model's answer that leaves a call to the client. */
export const asks: Step = { text: words, toolCalls: [front] }
/** The call in the next prompt. */
export const toldFront = `assistant: ${words} ${front.arguments}`
export const opened = [{ callId: "call_1", output: "open" }]

export const json = { accept: "application/json" }
export const sse = { accept: "text/event-stream" }
export const newKey = () => ({ "idempotency-key": crypto.randomUUID() })

interface Request {
  readonly headers?: Record<string, string>
  /** Whether the reply is spoken. Default: no. */
  readonly isSpoken?: boolean
  readonly signal?: AbortSignal
}

/** `others`: further tools. */
export const makeDoorAgent = async (service: Service, others: ReadonlyArray<object> = []) => {
  const key = await service.register()

  const makeAgent = async (more: object = {}) => {
    const answer = await service.call("POST", "/agents", {
      key,
      body: { name: "Doors", tools: [...tools, ...others], ...more },
    })
    expect(answer.status).toBe(201)
    return Schema.decodeUnknownSync(OneAgent)(await answer.json()).agent.id
  }
  const agentId = await makeAgent()

  const newSession = async (agent = agentId) => {
    const answer = await service.call("POST", "/sessions", { key, body: { agentId: agent } })
    return Schema.decodeUnknownSync(NewSession)(await answer.json()).sessionId
  }

  const post = (
    path: string,
    body: object,
    { headers = json, isSpoken = false, signal }: Request,
    as = key,
  ) =>
    fetch(`${service.url}${path}${isSpoken ? "" : "?audio=false"}`, {
      method: "POST",
      headers: { authorization: `Bearer ${as}`, "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
      ...(signal === undefined ? {} : { signal }),
    })

  const say = (sessionId: string, request: Request = {}, more: object = {}) =>
    post(`/sessions/${sessionId}/messages`, { text: question, ...more }, request)

  /** `as`: the key of another user. */
  const bring = (turnId: string, results: unknown, request: Request = {}, as = key) =>
    post(`/voice/turns/${turnId}/tool-results`, { results }, request, as)

  /** A turn that waits for its client. */
  const asked = async (step: Step = asks, sessionId?: string) => {
    service.upstream.script("llm", [step])
    return readTurn(await say(sessionId ?? (await newSession())))
  }

  const openCalls = async (sessionId: string) =>
    (await service.call("GET", `/sessions/${sessionId}/tool-calls`, { key })).json()

  /** What the model was asked last, without the instructions: role, words, arguments of calls. */
  const lastPrompt = () =>
    (service.upstream.calls("llm").at(-1)?.request.messages ?? [])
      .slice(1)
      .map(({ role, content, tool_calls: calls = [] }) =>
        [`${role}: ${content ?? ""}`, ...calls.map((call) => call.function.arguments)].join(" "),
      )

  return { key, agentId, makeAgent, newSession, say, bring, asked, openCalls, lastPrompt }
}
export type DoorAgent = Awaited<ReturnType<typeof makeDoorAgent>>

export const noCalls = { turnId: null, toolCalls: [] }

/** The visits whose model calls a tool, over HTTP. */
import { Schema } from "effect"
import { call } from "./account.ts"
import { questionOf } from "./faults.ts"
import { oneOf, openAgentSession, runTurn, type Scenario } from "./scenario.ts"
import { clientTool, served } from "./tools.ts"
import { jsonRequest } from "./turn.ts"

export const usesServedTool: Scenario = async (place, account, visit) => {
  const sessionId = await openAgentSession(place, account)
  const text = questionOf(0, served[Math.floor(visit.when * served.length)])
  const headers = { authorization: `Bearer ${account.key}`, accept: visit.accept }
  const request = jsonRequest(`/sessions/${sessionId}/messages`, { text }, headers)
  return oneOf([(await runTurn(place, account, visit, request)).end], ["whole"])
}

const Called = Schema.Struct({
  turnId: Schema.UUID,
  toolCalls: Schema.Tuple(Schema.Struct({ callId: Schema.String, name: Schema.Literal(clientTool) })),
})

/** Answers the call. Every second one does it twice, with the same key. */
export const usesClientTool: Scenario = async (place, account, visit) => {
  const { api } = place
  const sessionId = await openAgentSession(place, account)
  const path = `/sessions/${sessionId}/messages?audio=false`
  const asked = await call(
    api,
    account.key,
    "POST",
    path,
    { text: questionOf(0, clientTool) },
    "application/json",
  )
  if (asked.status !== 200) return { ends: [`${asked.status}`], wrong: [`${asked.status}`] }
  const { turnId, toolCalls } = Schema.decodeUnknownSync(Called)(asked.body)
  account.answered.add(turnId)
  const headers = {
    authorization: `Bearer ${account.key}`,
    accept: visit.accept,
    "idempotency-key": crypto.randomUUID(),
  }
  const results = [{ callId: toolCalls[0].callId, output: { isOpen: true } }]
  const request = jsonRequest(`/voice/turns/${turnId}/tool-results`, { results }, headers)
  const tries = visit.when < 0.5 ? [request] : [request, request]
  const ended = await Promise.all(tries.map((each) => runTurn(place, account, visit, each)))
  const ids = new Set(ended.map(({ answer }) => answer.headers.get("x-turn-id")))
  const { ends, wrong } = oneOf(
    ended.map(({ end }) => end),
    ["whole"],
  )
  return { ends: ["call", ...ends], wrong: ids.size === 1 ? wrong : [...wrong, "a retry was another turn"] }
}

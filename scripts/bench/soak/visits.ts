/** What each kind of visit does, and which results are wrong. */
import { type Account, call, closeAccount, openAccount, openSession } from "./account.ts"
import { plannedCodes, plans } from "./faults.ts"
import { type Kind, kinds, type Visit } from "./mix.ts"
import { type Outcome, oneOf, type Place, recordTurn, runTurn, type Scenario } from "./scenario.ts"
import { conversation, interrupts, leavesReply } from "./talks.ts"
import { usesClientTool, usesServedTool } from "./tool-turns.ts"
import { askOf, endOf, formOf, send, waitFor } from "./turn.ts"

const whole: Scenario = async (place, account, visit) => {
  const { end } = await runTurn(place, account, visit, await askOf(place.api, place.inputs, account, visit))
  return oneOf([end], ["whole"])
}

/** In a new session: later turns of the same session would wait for its time-outs. */
const faulty: Scenario = async (place, account, visit) => {
  const alone = { ...visit, continuesSession: false }
  const { end } = await runTurn(place, account, alone, await askOf(place.api, place.inputs, account, alone))
  const codes = plannedCodes(visit.mark)
  const broken = codes.length === 0 ? [] : ["broke off"]
  const refused = codes.map((code) => (code === "RATE_LIMIT_EXCEEDED" ? `429 ${code}` : `500 ${code}`))
  const { ends, wrong } = oneOf(
    [end],
    ["whole", ...broken, ...refused, ...codes.map((code) => `broke off ${code}`)],
  )
  const plan = plans[visit.mark]
  return { ends, wrong: wrong.map((end) => `${end} (${plan?.stage} ${plan?.how})`) }
}

const howToLeave = (when: number) => (Math.floor(when * 1000) % 2 === 0 ? "close" : "reset")

const leavesInUpload: Scenario = async ({ api, inputs }, account, visit) => {
  const { head, body } = await askOf(api, inputs, account, visit)
  const client = await send(api, { head, body: body.subarray(0, Math.floor(visit.when * body.length)) })
  await Bun.sleep(visit.when * 100)
  client.leave(howToLeave(visit.when))
  return { ends: ["left"], wrong: [] }
}

/** The longest wait before a client disconnects, in ms. A response begins before or after. */
const longestWaitMs = 600

const leavesBeforeAnswer: Scenario = async ({ api, inputs }, account, visit) => {
  const client = await send(api, await askOf(api, inputs, account, visit))
  await Bun.sleep(visit.when * longestWaitMs)
  client.leave(howToLeave(visit.when))
  return { ends: ["left"], wrong: [] }
}

/** In bytes, a little more than the shortest response. */
const longestListening = 200_000

const leavesWithin: Scenario = async ({ api, inputs }, account, visit) => {
  const client = await send(api, await askOf(api, inputs, account, visit))
  const answer = await waitFor(client, ({ body }) => body.length >= visit.when * longestListening)
  client.leave(howToLeave(visit.when))
  if (!answer.whole) return answer.status === 200 ? oneOf(["left"], ["left"]) : oneOf(["no response"], [])
  if (endOf(answer, visit.accept) === "whole") recordTurn(account, answer)
  return oneOf([endOf(answer, visit.accept)], ["whole"])
}

const pauses: Scenario = async ({ api, inputs }, account, visit) => {
  const client = await send(api, await askOf(api, inputs, account, visit))
  await waitFor(client, () => true)
  client.pause()
  await Bun.sleep(500 + visit.when * 2500)
  client.resume()
  const answer = await waitFor(client)
  client.leave()
  if (endOf(answer, visit.accept) === "whole") recordTurn(account, answer)
  return oneOf([endOf(answer, visit.accept)], ["whole"])
}

const together: Scenario = async (place, account, visit) => {
  const sessionId = await openSession(place.api, account)
  const one = { ...account, sessionId }
  const request = await askOf(place.api, place.inputs, one, { ...visit, continuesSession: true })
  const turns = Array.from({ length: kinds[visit.kind].turns }, () => runTurn(place, one, visit, request))
  return oneOf(
    (await Promise.all(turns)).map(({ end }) => end),
    ["whole"],
  )
}

/** The first request disconnects, still runs, or has completed. The second one gets the same answer. */
const retried: Scenario = async (place, account, visit) => {
  const { api, inputs } = place
  const request = await askOf(api, inputs, account, visit, { "idempotency-key": crypto.randomUUID() })
  if (visit.when < 1 / 3) {
    const client = await send(api, request)
    await Bun.sleep(visit.when * 3 * longestWaitMs)
    client.leave("reset")
    const { end } = await runTurn(place, account, visit, request)
    return { ends: ["left", end], wrong: end === "whole" ? [] : [end] }
  }
  const first = runTurn(place, account, visit, request)
  if (visit.when > 2 / 3) await first
  const both = await Promise.all([first, runTurn(place, account, visit, request)])
  const [one, other] = both.map(({ answer }) => answer.headers.get("x-turn-id"))
  const ends = both.map(({ end }) => end)
  const wrong = ends.filter((end) => end !== "whole")
  return { ends, wrong: one === other ? wrong : [...wrong, "a retry was another turn"] }
}

const cancelled: Scenario = async ({ api, inputs }, account, visit) => {
  const client = await send(api, await askOf(api, inputs, account, visit))
  const begun = await waitFor(client, () => true)
  const id = begun.headers.get("x-turn-id")
  const { status } = await call(api, account.key, "DELETE", `/voice/turns/${id}`)
  const answer = await waitFor(client)
  client.leave()
  const end = endOf(answer, visit.accept)
  if (end === "whole") recordTurn(account, answer)
  // The turn may have completed before.
  const { ends, wrong } = oneOf([end], ["whole", "broke off", "broke off TURN_CANCELLED"])
  const isDone = status === 204 || (status === 404 && end === "whole")
  return { ends: [...ends, `${status}`], wrong: isDone ? wrong : [...wrong, `DELETE of a turn: ${status}`] }
}

const bad: Scenario = async (place, account, visit) => {
  const { bad } = place.inputs
  const file = bad[Math.floor(visit.when * bad.length)] ?? new Uint8Array()
  const headers = { authorization: `Bearer ${account.key}`, accept: visit.accept }
  const { end } = await runTurn(place, account, visit, formOf(file, undefined, headers))
  return oneOf([end], ["400 INVALID_AUDIO"])
}

const wrongKey: Scenario = async (place, account, visit) => {
  const [headers, end]: [Record<string, string>, string] =
    visit.when < 0.5
      ? [{}, "401 UNAUTHORIZED"]
      : [{ authorization: "Bearer sk_wrong" }, "401 INVALID_API_KEY"]
  const request = formOf(place.inputs.recordings.WAV[0] ?? new Uint8Array(), undefined, headers)
  return oneOf([(await runTurn(place, account, visit, request)).end], [end])
}

/** MAX_AUDIO_SIZE_MB of the service: small, so that an upload that is too large is cheap. */
export const maxAudioMb = 2

const tooLarge: Scenario = async (place, account, visit) => {
  const headers = { authorization: `Bearer ${account.key}`, accept: visit.accept }
  const request = formOf(new Uint8Array((maxAudioMb + 1) * 1024 * 1024), undefined, headers)
  return oneOf([(await runTurn(place, account, visit, request)).end], ["400 AUDIO_TOO_LARGE"])
}

const sessionLife: Scenario = async (place, account, visit) => {
  const { api } = place
  const sessionId = await openSession(api, account)
  const path = `/sessions/${sessionId}`
  const one = { ...account, sessionId, answered: new Set<string>() }
  const { ends, wrong } = await whole(place, one, { ...visit, continuesSession: true })
  const steps: ReadonlyArray<
    readonly [method: string, path: string, status: number, body?: Record<string, string>]
  > = [
    ["GET", "/sessions?limit=5", 200],
    ["GET", path, 200],
    ["PATCH", path, 200, { title: "A walk by the river" }],
    ["GET", `${path}/messages`, 200],
    ["DELETE", path, 204],
    ["GET", path, 404],
  ]
  const calls: Array<string> = []
  for (const [method, where, wanted, body] of steps) {
    const { status } = await call(api, account.key, method, where, body)
    calls.push(status === wanted ? "" : `${method} of a session: ${status}`)
  }
  return { ends, wrong: [...wrong, ...calls.filter((text) => text !== "")] }
}

/** How a turn may end when its user is deleted. */
const withoutUser = [
  "404 SESSION_NOT_FOUND",
  "400 DATABASE_ERROR",
  "broke off",
  "broke off SESSION_NOT_FOUND",
  "broke off DATABASE_ERROR",
]

const leavesForGood: Scenario = async ({ api, inputs }, _, visit) => {
  const account = await openAccount(api)
  const client = await send(api, await askOf(api, inputs, account, visit))
  await Bun.sleep(visit.when * longestWaitMs)
  const status = await closeAccount(api, account)
  const end = endOf(await waitFor(client), visit.accept)
  client.leave()
  const { ends, wrong } = oneOf([end], ["whole", ...withoutUser])
  return { ends, wrong: status === 204 ? wrong : [...wrong, `DELETE of an account: ${status}`] }
}

const exported: Scenario = async ({ api }, account) => {
  const { status } = await call(api, account.key, "GET", "/users/me/export")
  return oneOf([`${status}`], ["200"])
}

const scenarios: { readonly [kind in Kind]: Scenario } = {
  "whole turn": whole,
  "fault at the provider": faulty,
  "disconnect during the upload": leavesInUpload,
  "disconnect before the response": leavesBeforeAnswer,
  "disconnect during the response": leavesWithin,
  "client that stops reading": pauses,
  "concurrent turns of a session": together,
  "retry with an Idempotency-Key": retried,
  "cancelled turn": cancelled,
  "invalid file": bad,
  "wrong key": wrongKey,
  "upload too large": tooLarge,
  "life of a session": sessionLife,
  "account deleted during a turn": leavesForGood,
  export: exported,
  "tool of the service": usesServedTool,
  "tool of the client": usesClientTool,
  "Realtime conversation": conversation,
  "Realtime disconnect during a reply": leavesReply,
  "Realtime interruption": interrupts,
}

/** Runs a visit. Never rejects: a request without a response is a result. */
export const runVisit = async (place: Place, account: Account, visit: Visit): Promise<Outcome> => {
  const { kind } = visit
  const { turns } = kinds[kind]
  try {
    const { ends, wrong } = await scenarios[kind](place, account, visit)
    return { kind, turns, ends, wrong: wrong.map((what) => `${kind}: ${what}`) }
  } catch (error) {
    const what = error instanceof Error ? error.message : `${error}`
    return { kind, turns, ends: ["no response"], wrong: [`${kind}: no response (${what})`] }
  }
}

/** What each kind of visit does, and what it must not meet. */
import type { RawAnswer } from "../../../test/support/raw-http.ts"
import { type Account, call, closeAccount, openAccount, openSession } from "./account.ts"
import { plans, provokedCodes } from "./faults.ts"
import { type Kind, kinds, type Visit } from "./mix.ts"
import type { Sayings } from "./said.ts"
import { askOf, endOf, formOf, send, type TurnRequest, waitFor } from "./turn.ts"

/** What came of a visit. */
export interface Met {
  readonly kind: Kind
  readonly turns: number
  /** How each of its requests ended. */
  readonly ends: ReadonlyArray<string>
  /** Sentences on what must not be. */
  readonly wrong: ReadonlyArray<string>
}

interface Place {
  readonly api: string
  readonly sayings: Sayings
}

type Way = (place: Place, account: Account, visit: Visit) => Promise<Pick<Met, "ends" | "wrong">>

/** Notes a turn that was answered whole, and where the account's next one goes on. */
const note = (account: Account, { headers }: RawAnswer) => {
  const id = headers.get("x-turn-id")
  if (id !== null) account.answered.add(id)
  account.sessionId = headers.get("x-session-id") ?? account.sessionId
}

const oneOf = (ends: ReadonlyArray<string>, allowed: ReadonlyArray<string>) => ({
  ends,
  wrong: ends.filter((end) => !allowed.includes(end)),
})

/** Sends a turn and hears its answer to the end. */
const hear = async ({ api }: Place, account: Account, visit: Visit, request: TurnRequest) => {
  const client = await send(api, request)
  const answer = await waitFor(client)
  client.leave()
  const end = endOf(answer, visit.accept)
  if (end === "whole") note(account, answer)
  return { end, answer }
}

const whole: Way = async (place, account, visit) => {
  const { end } = await hear(place, account, visit, await askOf(place.api, place.sayings, account, visit))
  return oneOf([end], ["whole"])
}

/** In a session of its own: the turns behind it would wait for its time-outs. */
const faulty: Way = async (place, account, visit) => {
  const alone = { ...visit, goesOn: false }
  const { end } = await hear(place, account, alone, await askOf(place.api, place.sayings, account, alone))
  const codes = provokedCodes(visit.mark)
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

const leavesInUpload: Way = async ({ api, sayings }, account, visit) => {
  const { head, body } = await askOf(api, sayings, account, visit)
  const client = await send(api, { head, body: body.subarray(0, Math.floor(visit.when * body.length)) })
  await Bun.sleep(visit.when * 100)
  client.leave(howToLeave(visit.when))
  return { ends: ["left"], wrong: [] }
}

/** The longest that a client waits before it leaves, in ms: an answer begins before or after. */
const longestWaitMs = 600

const leavesBeforeAnswer: Way = async ({ api, sayings }, account, visit) => {
  const client = await send(api, await askOf(api, sayings, account, visit))
  await Bun.sleep(visit.when * longestWaitMs)
  client.leave(howToLeave(visit.when))
  return { ends: ["left"], wrong: [] }
}

/** Some more than the shortest answer has, in bytes. */
const longestListening = 200_000

const leavesWithin: Way = async ({ api, sayings }, account, visit) => {
  const client = await send(api, await askOf(api, sayings, account, visit))
  const answer = await waitFor(client, ({ body }) => body.length >= visit.when * longestListening)
  client.leave(howToLeave(visit.when))
  if (!answer.whole) return answer.status === 200 ? oneOf(["left"], ["left"]) : oneOf(["no answer"], [])
  if (endOf(answer, visit.accept) === "whole") note(account, answer)
  return oneOf([endOf(answer, visit.accept)], ["whole"])
}

const pauses: Way = async ({ api, sayings }, account, visit) => {
  const client = await send(api, await askOf(api, sayings, account, visit))
  await waitFor(client, () => true)
  client.pause()
  await Bun.sleep(500 + visit.when * 2500)
  client.resume()
  const answer = await waitFor(client)
  client.leave()
  if (endOf(answer, visit.accept) === "whole") note(account, answer)
  return oneOf([endOf(answer, visit.accept)], ["whole"])
}

const together: Way = async (place, account, visit) => {
  const sessionId = await openSession(place.api, account)
  const one = { ...account, sessionId }
  const request = await askOf(place.api, place.sayings, one, { ...visit, goesOn: true })
  const turns = Array.from({ length: kinds[visit.kind].turns }, () => hear(place, one, visit, request))
  return oneOf(
    (await Promise.all(turns)).map(({ end }) => end),
    ["whole"],
  )
}

/** The first one leaves, is still on its way, or was heard: the second has the same answer, and nothing is done twice. */
const retried: Way = async (place, account, visit) => {
  const { api, sayings } = place
  const request = await askOf(api, sayings, account, visit, { "idempotency-key": crypto.randomUUID() })
  if (visit.when < 1 / 3) {
    const client = await send(api, request)
    await Bun.sleep(visit.when * 3 * longestWaitMs)
    client.leave("reset")
    const { end } = await hear(place, account, visit, request)
    return { ends: ["left", end], wrong: end === "whole" ? [] : [end] }
  }
  const first = hear(place, account, visit, request)
  if (visit.when > 2 / 3) await first
  const both = await Promise.all([first, hear(place, account, visit, request)])
  const [one, other] = both.map(({ answer }) => answer.headers.get("x-turn-id"))
  const ends = both.map(({ end }) => end)
  const wrong = ends.filter((end) => end !== "whole")
  return { ends, wrong: one === other ? wrong : [...wrong, "a retry was another turn"] }
}

const cancelled: Way = async ({ api, sayings }, account, visit) => {
  const client = await send(api, await askOf(api, sayings, account, visit))
  const begun = await waitFor(client, () => true)
  const id = begun.headers.get("x-turn-id")
  const { status } = await call(api, account.key, "DELETE", `/voice/turns/${id}`)
  const answer = await waitFor(client)
  client.leave()
  const end = endOf(answer, visit.accept)
  if (end === "whole") note(account, answer)
  // It may have come to its end before.
  const { ends, wrong } = oneOf([end], ["whole", "broke off", "broke off TURN_CANCELLED"])
  const isDone = status === 204 || (status === 404 && end === "whole")
  return { ends: [...ends, `${status}`], wrong: isDone ? wrong : [...wrong, `DELETE of a turn: ${status}`] }
}

const bad: Way = async (place, account, visit) => {
  const { bad } = place.sayings
  const file = bad[Math.floor(visit.when * bad.length)] ?? new Uint8Array()
  const headers = { authorization: `Bearer ${account.key}`, accept: visit.accept }
  const { end } = await hear(place, account, visit, formOf(file, undefined, headers))
  return oneOf([end], ["400 INVALID_AUDIO"])
}

const wrongKey: Way = async (place, account, visit) => {
  const [headers, end]: [Record<string, string>, string] =
    visit.when < 0.5
      ? [{}, "401 UNAUTHORIZED"]
      : [{ authorization: "Bearer sk_wrong" }, "401 INVALID_API_KEY"]
  const request = formOf(place.sayings.recordings.WAV[0] ?? new Uint8Array(), undefined, headers)
  return oneOf([(await hear(place, account, visit, request)).end], [end])
}

/** In MB, of the service under the soak: the upload that is too large need not be larger than that. */
export const maxAudioMb = 2

const tooLarge: Way = async (place, account, visit) => {
  const headers = { authorization: `Bearer ${account.key}`, accept: visit.accept }
  const request = formOf(new Uint8Array((maxAudioMb + 1) * 1024 * 1024), undefined, headers)
  return oneOf([(await hear(place, account, visit, request)).end], ["400 AUDIO_TOO_LARGE"])
}

const sessionLife: Way = async ({ api, sayings }, account, visit) => {
  const sessionId = await openSession(api, account)
  const path = `/sessions/${sessionId}`
  const one = { ...account, sessionId, answered: new Set<string>() }
  const { ends, wrong } = await whole({ api, sayings }, one, { ...visit, goesOn: true })
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

/** How a turn may end whose user is gone: as one whose session is, or as one that was not let in any more. */
const withoutUser = [
  "404 SESSION_NOT_FOUND",
  "400 DATABASE_ERROR",
  "broke off",
  "broke off SESSION_NOT_FOUND",
  "broke off DATABASE_ERROR",
]

const leavesForGood: Way = async ({ api, sayings }, _, visit) => {
  const account = await openAccount(api)
  const client = await send(api, await askOf(api, sayings, account, visit))
  await Bun.sleep(visit.when * longestWaitMs)
  const status = await closeAccount(api, account)
  const end = endOf(await waitFor(client), visit.accept)
  client.leave()
  const { ends, wrong } = oneOf([end], ["whole", ...withoutUser])
  return { ends, wrong: status === 204 ? wrong : [...wrong, `DELETE of an account: ${status}`] }
}

const exported: Way = async ({ api }, account) => {
  const { status } = await call(api, account.key, "GET", "/users/me/export")
  return oneOf([`${status}`], ["200"])
}

const ways: { readonly [kind in Kind]: Way } = {
  "whole turn": whole,
  "fault at the provider": faulty,
  "hang-up in the upload": leavesInUpload,
  "hang-up before the answer": leavesBeforeAnswer,
  "hang-up within the answer": leavesWithin,
  "reader that pauses": pauses,
  "turns of one session at once": together,
  "retry with an Idempotency-Key": retried,
  "cancelled turn": cancelled,
  "bad file": bad,
  "wrong key": wrongKey,
  "upload too large": tooLarge,
  "session's life": sessionLife,
  "account that leaves in its turn": leavesForGood,
  export: exported,
}

/** Never rejects: a request without an answer is one of the things that are looked for. */
export const pay = async (place: Place, account: Account, visit: Visit): Promise<Met> => {
  const { kind } = visit
  const { turns } = kinds[kind]
  try {
    const { ends, wrong } = await ways[kind](place, account, visit)
    return { kind, turns, ends, wrong: wrong.map((what) => `${kind}: ${what}`) }
  } catch (error) {
    const what = error instanceof Error ? error.message : `${error}`
    return { kind, turns, ends: ["no answer"], wrong: [`${kind}: no answer (${what})`] }
  }
}

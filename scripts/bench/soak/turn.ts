/** One turn of the soak on a socket of its own, and how its answer is judged. */
import { multipart, multipartType } from "../../../test/support/multipart.ts"
import { connectRaw, head, type RawAnswer, type RawClient } from "../../../test/support/raw-http.ts"
import { type Account, openSession, patienceMs } from "./account.ts"
import { questionOf } from "./faults.ts"
import type { Accept, Visit } from "./mix.ts"
import type { Sayings } from "./said.ts"

export interface TurnRequest {
  readonly head: string
  readonly body: Uint8Array
}

/** Where a turn of this visit goes: a text has to name a session, a recording may. */
const sessionOf = async (api: string, account: Account, { saidAs, goesOn }: Visit) => {
  if (goesOn && account.sessionId !== undefined) return account.sessionId
  return saidAs === "text" ? openSession(api, account) : undefined
}

interface Asked extends Pick<Visit, "saidAs" | "accept" | "mark"> {
  readonly sessionId: string | undefined
  readonly headers?: Record<string, string>
}

/** The bytes of a turn's request. */
export const requestOf = (
  { recordings }: Sayings,
  key: string,
  { saidAs, accept, mark, sessionId, headers }: Asked,
): TurnRequest => {
  const common = { authorization: `Bearer ${key}`, accept, ...headers }
  if (saidAs === "text") {
    const body = Buffer.from(JSON.stringify({ text: questionOf(mark) }))
    const line = `POST /api/v1/sessions/${sessionId}/messages`
    const type = "application/json"
    return { head: head(line, { ...common, "content-type": type, "content-length": `${body.length}` }), body }
  }
  return formOf(recordings[saidAs][mark] ?? new Uint8Array(), sessionId, common)
}

/** A recording in its form. */
export const formOf = (
  audio: Uint8Array,
  sessionId: string | undefined,
  headers: Record<string, string>,
): TurnRequest => {
  const body = multipart([
    ...(sessionId === undefined ? [] : [{ name: "sessionId", content: sessionId }]),
    { name: "audio", filename: "recording", content: audio },
  ])
  const more = { "content-type": multipartType, "content-length": `${body.length}` }
  return { head: head("POST /api/v1/voice/conversation", { ...headers, ...more }), body }
}

/** The request of a visit's turn. */
export const askOf = async (
  api: string,
  sayings: Sayings,
  account: Account,
  visit: Visit,
  headers: Record<string, string> = {},
): Promise<TurnRequest> =>
  requestOf(sayings, account.key, { ...visit, headers, sessionId: await sessionOf(api, account, visit) })

/** A connection with all of the request on it. */
export const send = async (api: string, { head, body }: TurnRequest): Promise<RawClient> => {
  const client = await connectRaw(api)
  await client.send(head)
  await client.send(body)
  return client
}

/** The answer when it is enough, whole or gone; rejects where there is none in time. */
export const waitFor = async (
  client: RawClient,
  isEnough: (answer: RawAnswer) => boolean = () => false,
): Promise<RawAnswer> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${patienceMs} ms`)), patienceMs)
  try {
    return await Promise.race([client.until(isEnough), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

const lastEvent = (body: string) => [...body.matchAll(/^event: (\S+)\ndata: (.*)$/gm)].at(-1)

const codeIn = (text: string) => /"error":"(\w+)"/.exec(text)?.[1]

/**
 * How a turn ended for its client: "whole"; "broke off", with the code where an event told it; or the status and code of
 * an answer that says no.
 */
export const endOf = ({ status, body, whole }: RawAnswer, accept: Accept): string => {
  if (status === 0) return "no answer"
  if (status !== 200) return `${status} ${codeIn(body.toString()) ?? "without a code"}`
  if (!whole) return "broke off"
  if (accept !== "text/event-stream") return "whole"
  const [, name, data = ""] = lastEvent(body.toString()) ?? []
  if (name === "turn.completed") return "whole"
  return name === "error" ? `broke off ${codeIn(data)}` : "broke off without an event"
}

/** One turn of the soak on a socket of its own, and how it ended. */
import { multipart, multipartType } from "../../../test/support/multipart.ts"
import { connectRaw, head, type RawAnswer, type RawClient } from "../../../test/support/raw-http.ts"
import { type Account, answerTimeoutMs, openSession } from "./account.ts"
import { questionOf } from "./faults.ts"
import type { Inputs } from "./inputs.ts"
import type { Accept, Visit } from "./mix.ts"

export interface TurnRequest {
  readonly head: string
  readonly body: Uint8Array
}

/** The session of this visit's turn. A text needs one; a recording does not. */
const sessionOf = async (api: string, account: Account, { input, continuesSession }: Visit) => {
  if (continuesSession && account.sessionId !== undefined) return account.sessionId
  return input === "text" ? openSession(api, account) : undefined
}

interface Asked extends Pick<Visit, "input" | "accept" | "mark"> {
  readonly sessionId: string | undefined
  readonly headers?: Record<string, string>
}

/** The bytes of a turn's request. */
export const requestOf = (
  { recordings }: Inputs,
  key: string,
  { input, accept, mark, sessionId, headers }: Asked,
): TurnRequest => {
  const common = { authorization: `Bearer ${key}`, accept, ...headers }
  if (input === "text") {
    return jsonRequest(`/sessions/${sessionId}/messages`, { text: questionOf(mark) }, common)
  }
  return formOf(recordings[input][mark] ?? new Uint8Array(), sessionId, common)
}

/** A turn whose request is JSON. `path`: behind /api/v1. */
export const jsonRequest = (path: string, sent: object, headers: Record<string, string>): TurnRequest => {
  const body = Buffer.from(JSON.stringify(sent))
  const more = { "content-type": "application/json", "content-length": `${body.length}` }
  return { head: head(`POST /api/v1${path}`, { ...headers, ...more }), body }
}

/** A recording as a multipart form. */
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
  inputs: Inputs,
  account: Account,
  visit: Visit,
  headers: Record<string, string> = {},
): Promise<TurnRequest> =>
  requestOf(inputs, account.key, { ...visit, headers, sessionId: await sessionOf(api, account, visit) })

/** Sends the whole request on a new connection. */
export const send = async (api: string, { head, body }: TurnRequest): Promise<RawClient> => {
  const client = await connectRaw(api)
  await client.send(head)
  await client.send(body)
  return client
}

/** The response when `isEnough` accepts it, it is complete, or the connection ended. Rejects after the time-out. */
export const waitFor = async (
  client: RawClient,
  isEnough: (answer: RawAnswer) => boolean = () => false,
): Promise<RawAnswer> => {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`no response within ${answerTimeoutMs} ms`)),
    answerTimeoutMs,
  )
  try {
    return await Promise.race([client.until(isEnough), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

const lastEvent = (body: string) => [...body.matchAll(/^event: (\S+)\ndata: (.*)$/gm)].at(-1)

const codeIn = (text: string) => /"error":"(\w+)"/.exec(text)?.[1]

/**
 * How a turn ended for its client: "whole"; "broke off", with the code of an error event; or the status and code of an
 * error.
 */
export const endOf = ({ status, body, whole }: RawAnswer, accept: Accept): string => {
  if (status === 0) return "no response"
  if (status !== 200) return `${status} ${codeIn(body.toString()) ?? "without a code"}`
  if (!whole) return "broke off"
  if (accept !== "text/event-stream") return "whole"
  const [, name, data = ""] = lastEvent(body.toString()) ?? []
  if (name === "turn.completed") return "whole"
  return name === "error" ? `broke off ${codeIn(data)}` : "broke off without an event"
}

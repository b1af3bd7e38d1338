/** What the visits share. */
import { Schema } from "effect"
import type { RawAnswer } from "../../../test/support/raw-http.ts"
import { type Account, call } from "./account.ts"
import type { Inputs } from "./inputs.ts"
import type { Kind, Visit } from "./mix.ts"
import { agentOf } from "./tools.ts"
import { endOf, send, type TurnRequest, waitFor } from "./turn.ts"

/** The result of a visit. */
export interface Outcome {
  readonly kind: Kind
  readonly turns: number
  /** How each request ended. */
  readonly ends: ReadonlyArray<string>
  /** Sentences on what must not be. */
  readonly wrong: ReadonlyArray<string>
}

export interface Place {
  readonly api: string
  readonly inputs: Inputs
  /** The server of the agents' HTTP tool. */
  readonly toolUrl: string
}

export type Scenario = (
  place: Place,
  account: Account,
  visit: Visit,
) => Promise<Pick<Outcome, "ends" | "wrong">>

/** Records a completed turn, and the session that the account continues. */
export const recordTurn = (account: Account, { headers }: RawAnswer) => {
  const id = headers.get("x-turn-id")
  if (id !== null) account.answered.add(id)
  account.sessionId = headers.get("x-session-id") ?? account.sessionId
}

export const oneOf = (ends: ReadonlyArray<string>, allowed: ReadonlyArray<string>) => ({
  ends,
  wrong: ends.filter((end) => !allowed.includes(end)),
})

/** Sends a turn and reads its response to the end. */
export const runTurn = async ({ api }: Place, account: Account, visit: Visit, request: TurnRequest) => {
  const client = await send(api, request)
  const answer = await waitFor(client)
  client.leave()
  const end = endOf(answer, visit.accept)
  if (end === "whole") recordTurn(account, answer)
  return { end, answer }
}

const Agent = Schema.Struct({ agent: Schema.Struct({ id: Schema.UUID }) })
const Opened = Schema.Struct({ sessionId: Schema.UUID })

/** Opens a session of the account's agent. Its turns are not pairs of a question and an answer: see stored.ts. */
export const openAgentSession = async ({ api, toolUrl }: Place, account: Account): Promise<string> => {
  account.agent ??= call(api, account.key, "POST", "/agents", agentOf(toolUrl)).then(
    ({ body }) => Schema.decodeUnknownSync(Agent)(body).agent.id,
  )
  const wanted = { agentId: await account.agent, metadata: { soak: "agent" } }
  return Schema.decodeUnknownSync(Opened)((await call(api, account.key, "POST", "/sessions", wanted)).body)
    .sessionId
}

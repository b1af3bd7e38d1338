/** A session of a test: starts its turns one by one, and reads what is stored. */
import { Created, MessageList, readAs } from "../http/answers.ts"
import type { RawClient } from "./raw-http.ts"
import type { ConverseOptions } from "./service.ts"
import { type TurnService, until } from "./turns.ts"
import type { Step } from "./upstream.ts"

export interface StoredTurn {
  readonly id: string
  readonly state: string
  readonly response: string | null
  readonly usage: Readonly<Record<string, number>> | null
  readonly timings: Readonly<Record<string, number>> | null
  readonly key: string | null
}

export interface TestSession {
  readonly id: string
  /** Sends a turn. Resolves when it has its place in the session. */
  readonly begin: (accept?: string, options?: BeginOptions) => Promise<RawClient>
  /** Sends a turn. Resolves with its response. */
  readonly take: (accept?: string) => Promise<Response>
  /** The rows of its turns, in session order. */
  readonly turns: () => Promise<ReadonlyArray<StoredTurn>>
  /** The messages, as the API returns them. */
  readonly messages: () => Promise<(typeof MessageList.Type)["messages"]>
  readonly contents: () => Promise<ReadonlyArray<string>>
}

export interface BeginOptions {
  readonly headers?: ConverseOptions["headers"]
  /** A second service on the same database. */
  readonly by?: TurnService
}

/** The session with this id, or a new one. */
export const openSession = async (
  service: TurnService,
  key: string,
  recording: Uint8Array,
  given?: string,
): Promise<TestSession> => {
  const id = given ?? (await readAs(Created, await service.call("POST", "/sessions", { key }))).sessionId
  const { sql } = service.database
  const messages = async () =>
    (await readAs(MessageList, await service.call("GET", `/sessions/${id}/messages?limit=200`, { key })))
      .messages
  return {
    id,
    begin: async (accept, { headers = {}, by = service } = {}) => {
      const places = () => sql`select id from turns where session_id = ${id}`
      const begun = (await places()).length
      const client = await by.converseRaw(key, recording, accept, { sessionId: id, headers })
      await until(async () => (await places()).length > begun, "a turn with a place in its session")
      return client
    },
    take: (accept = "application/json") =>
      service.converse(key, new Blob([recording]), { sessionId: id, accept }),
    turns: async () => [
      ...(await sql`select id, state, response, usage, timings, idempotency_key as key from turns
        where session_id = ${id} order by sequence`),
    ],
    messages,
    contents: async () => (await messages()).map(({ content }) => content),
  }
}

/** A message as it was said: without the notes that its prompt has of an interruption. */
export const withoutNotes = (content: string) => content.replaceAll(/^\[The reply above [^\]]*\]\n/gm, "")

/** The model repeats the question in its reply, so the stored replies show which question they answer. */
export const answerByName = ({ upstream }: TurnService, more: Step = {}) =>
  upstream.default("llm", ({ messages }) => ({
    ...more,
    text: answerTo(withoutNotes(messages.at(-1)?.content ?? "")),
  }))

export const answerTo = (question: string) => `This answers ${question}, and no other.`

/** Resolves when no stored turn is running. */
export const noTurnRuns = async ({ database }: TurnService) => {
  await until(
    async () => (await database.sql`select 1 from turns where state = 'running'`).length === 0,
    "an end of all turns",
  )
}

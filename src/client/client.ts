/**
 * A client of the voice agent, for browsers, Bun and Node 20 or newer. It needs nothing but `fetch`.
 *
 *     const client = makeClient({ baseUrl: "http://localhost:3000", apiKey: "sk_…" })
 *     const turn = await client.converse(recording, { onText: show, onAudio: play })
 *
 * Every call fails with a VoiceAgentError, whose `code` says why. What passes by itself (a lost connection, a service
 * that is busy or starts) is tried again where that can do no harm.
 */
import { type ConverseOptions, converse } from "./converse.ts"
import { answerMs, makePatience } from "./idle-timeout.ts"
import type { Message, Readiness, Session, SessionDetails, SessionPage, Turn } from "./model.ts"
import {
  fieldsOf,
  messages,
  parse,
  problem,
  type Reader,
  readiness,
  session,
  sessionPage,
  text,
} from "./read.ts"
import { isPassing, type RetryOptions, retrying } from "./retry.ts"
import { type Fetch, sendByFetch, wholeText } from "./transport.ts"

export type { ConverseOptions } from "./converse.ts"
export type { Started, TurnListener } from "./deduplicate.ts"
export { type Code, type KnownCode, VoiceAgentError } from "./errors.ts"
export type * from "./model.ts"
export type { Fetch } from "./transport.ts"
export type { UploadProgress } from "./upload-progress.ts"

export interface ClientOptions extends RetryOptions {
  /** Where the service is: `http://localhost:3000`, with or without `/api/v1`. */
  readonly baseUrl: string
  /** What `register` gave; without it only `register` and `ready` can be called. */
  readonly apiKey?: string | undefined
  readonly fetch?: Fetch | undefined
}

export interface Client {
  /** A new user, and the key that is shown this once. */
  readonly register: (email: string) => Promise<{ readonly userId: string; readonly apiKey: string }>
  /** Whose the client's key is; INVALID_API_KEY where it is nobody's. */
  readonly login: () => Promise<{ readonly userId: string; readonly email: string }>
  readonly ready: () => Promise<Readiness>
  readonly sessions: {
    readonly create: (
      details?: SessionDetails,
    ) => Promise<{ readonly sessionId: string; readonly createdAt: string }>
    /** Latest activity first; 20 unless `limit` (1 to 100) says otherwise. */
    readonly list: (page?: { readonly limit?: number; readonly cursor?: string }) => Promise<SessionPage>
    readonly get: (id: string) => Promise<Session>
    readonly update: (id: string, details: SessionDetails) => Promise<Session>
    readonly delete: (id: string) => Promise<void>
    /** The newest 20, or `limit` (1 to 200), in chronological order; `before` a message's id: those before it. */
    readonly messages: (
      id: string,
      page?: { readonly limit?: number; readonly before?: string },
    ) => Promise<ReadonlyArray<Message>>
  }
  /** One turn: what was said, and the reply as it comes. */
  readonly converse: (audio: Blob, options?: ConverseOptions) => Promise<Turn>
  /** Ends a running turn, so that the next of its session need not wait. */
  readonly cancel: (turnId: string) => Promise<void>
}

interface Question<A> {
  readonly body?: unknown
  readonly read: Reader<A>
  /** Whether asking twice does what asking once does; all but POST. */
  readonly isRepeatable?: boolean
  /** Statuses with an answer to be read; 2xx unless told. */
  readonly answers?: ReadonlyArray<number>
}

const nothing: Reader<undefined> = () => undefined

const queryOf = (parameters: Readonly<Record<string, string | number | undefined>>) => {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  )
  return given.length === 0 ? "" : `?${given.join("&")}`
}

/** The API's root, without a slash at its end. */
const rootOf = (baseUrl: string) => `${baseUrl.replace(/\/+$/, "").replace(/\/api\/v1$/, "")}/api/v1`

export const makeClient = ({ baseUrl, apiKey, fetch, ...retry }: ClientOptions): Client => {
  const url = rootOf(baseUrl)
  // Looked up at each call, and called as a function of nobody's, as browsers want it.
  const send = sendByFetch(fetch ?? ((...call) => globalThis.fetch(...call)))
  const headers: Record<string, string> = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  const never = new AbortController().signal

  const ask = <A>(method: string, path: string, question: Question<A>): Promise<A> => {
    const { body, read, isRepeatable = method !== "POST", answers } = question
    const attempt = async () => {
      const patience = makePatience(answerMs)
      try {
        const answer = await send({
          method,
          url: `${url}${path}`,
          headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: patience.signal,
        })
        const json = await wholeText(answer.text)
        const isGood = answers?.includes(answer.status) ?? (answer.status >= 200 && answer.status < 300)
        if (!isGood) throw problem(answer.status, json, answer.header)
        return read === nothing ? read(undefined) : parse(json, read)
      } finally {
        patience.end()
      }
    }
    return retrying(attempt, retry, never, (error) => isPassing(error) && isRepeatable)
  }

  const one: Reader<Session> = (value) => fieldsOf(value)("session", session)
  const at = (id: string) => `/sessions/${encodeURIComponent(id)}`
  const cancel = (turnId: string) =>
    ask("DELETE", `/voice/turns/${encodeURIComponent(turnId)}`, { read: nothing })

  return {
    register: (email) =>
      ask("POST", "/users/register", {
        body: { email },
        read: (value) => {
          const field = fieldsOf(value)
          return { userId: field("userId", text), apiKey: field("apiKey", text) }
        },
      }),
    login: () =>
      ask("POST", "/auth/login", {
        body: { apiKey: apiKey ?? "" },
        isRepeatable: true,
        read: (value) => {
          const field = fieldsOf(value)
          return { userId: field("userId", text), email: field("email", text) }
        },
      }),
    ready: () => ask("GET", "/ready", { read: readiness, answers: [200, 503] }),
    sessions: {
      create: (details = {}) =>
        ask("POST", "/sessions", {
          body: details,
          read: (value) => {
            const field = fieldsOf(value)
            return { sessionId: field("sessionId", text), createdAt: field("createdAt", text) }
          },
        }),
      list: (page = {}) => ask("GET", `/sessions${queryOf({ ...page })}`, { read: sessionPage }),
      get: (id) => ask("GET", at(id), { read: one }),
      update: (id, details) => ask("PATCH", at(id), { body: details, read: one }),
      delete: (id) => ask("DELETE", at(id), { read: nothing }),
      messages: (id, page = {}) =>
        ask("GET", `${at(id)}/messages${queryOf({ ...page })}`, { read: messages }),
    },
    converse: (audio, options = {}) =>
      converse({ url, send, headers, cancel }, audio, { ...retry, ...options }),
    cancel,
  }
}

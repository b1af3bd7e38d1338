/**
 * A client of the voice agent, for browsers, Bun and Node 20 or newer. It depends on `fetch`, and for `realtime` on
 * `WebSocket`.
 *
 *     const client = makeClient({ baseUrl: "http://localhost:3000", apiKey: "sk_…" })
 *     const turn = await client.converse(recording, { onText: show, onAudio: play })
 *
 * Every call fails with a VoiceAgentError, whose `code` names the reason. Transient errors (a lost connection, a busy
 * or starting service) are retried where a retry is safe.
 */
import { type Agents, makeAgents } from "./agents.ts"
import { converse, submitResults, type Turn } from "./converse.ts"
import { responseMs, startIdleTimeout } from "./idle-timeout.ts"
import {
  type LoggedIn,
  type Message,
  type OpenToolCalls,
  type Readiness,
  type Registered,
  readLoggedIn,
  readMessagePage,
  readOneSession,
  readOpenToolCalls,
  readReadiness,
  readRegistered,
  readSessionCreated,
  readSessionPage,
  readUsageReport,
  type Session,
  type SessionCreated,
  type SessionDetails,
  type SessionPage,
  type UsageReport,
} from "./model.ts"
import { errorOf, nothing, parse } from "./read.ts"
import { type Realtime, type RealtimeOptions, readClientSecret, realtime } from "./realtime.ts"
import { type Call, queryOf } from "./request.ts"
import { isTransient, type RetryOptions, retrying } from "./retry.ts"
import type { ConverseOptions } from "./take-turn.ts"
import type { ToolResult } from "./tools.ts"
import { type Fetch, readText, sendByFetch } from "./transport.ts"
import { type Memories, makeMemories, makeSecrets, type Secrets } from "./user-data.ts"
import { makeWebhooks, type Webhooks } from "./webhooks.ts"

export type { AgentChanges, Agents, WarnedAgent } from "./agents.ts"
export type { Turn } from "./converse.ts"
export type { Started, TurnListener } from "./deduplicate.ts"
export { type Code, type KnownCode, VoiceAgentError } from "./errors.ts"
export type * from "./model.ts"
export type { Realtime, RealtimeOptions } from "./realtime.ts"
export type { RealtimeSocket, RealtimeSocketClass } from "./realtime-connection.ts"
export type { RealtimeListener, RealtimeState } from "./realtime-dialogue.ts"
export type { ConverseOptions } from "./take-turn.ts"
export type { ToolContext, ToolFunction, ToolFunctions, ToolResult } from "./tools.ts"
export type { Fetch } from "./transport.ts"
export type { UploadProgress } from "./upload-progress.ts"
export type { Memories, Secrets } from "./user-data.ts"
export type { Webhooks } from "./webhooks.ts"

export interface ClientOptions extends RetryOptions {
  /** The service's address: `http://localhost:3000`, with or without `/api/v1`. */
  readonly baseUrl: string
  /** The key from `register`. Only `register` and `ready` work without one. */
  readonly apiKey?: string | undefined
  /** Replaces the global `fetch`. */
  readonly fetch?: Fetch | undefined
}

export interface UsageOptions {
  /** The first day and the last, such as `2026-01-31`. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** What the entries are. Default: days. */
  readonly groupBy?: "day" | "agent" | "key" | undefined
  /** 1 to 366, 100 by default. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

export interface Client {
  /** Creates a user. The response is the only one that contains the API key. */
  readonly register: (email: string) => Promise<Registered>
  /** Returns the owner of the client's API key. Fails with INVALID_API_KEY for an unknown key. */
  readonly login: () => Promise<LoggedIn>
  /** Returns the service's state, also while it is unavailable. */
  readonly ready: () => Promise<Readiness>
  readonly sessions: {
    readonly create: (details?: SessionDetails) => Promise<SessionCreated>
    /** Most recent activity first. `limit`: 1 to 100, 20 by default. */
    readonly list: (page?: { readonly limit?: number; readonly cursor?: string }) => Promise<SessionPage>
    readonly get: (id: string) => Promise<Session>
    readonly update: (id: string, details: SessionDetails) => Promise<Session>
    readonly delete: (id: string) => Promise<void>
    /** The newest messages in chronological order. `limit`: 1 to 200, 20 by default. `before`: a message's id. */
    readonly messages: (
      id: string,
      page?: { readonly limit?: number; readonly before?: string },
    ) => Promise<ReadonlyArray<Message>>
    /** The calls that wait for results, such as those of a turn whose answer was lost. */
    readonly toolCalls: (id: string) => Promise<OpenToolCalls>
  }
  readonly agents: Agents
  readonly secrets: Secrets
  readonly memories: Memories
  /** What your turns consumed and cost, in days of UTC. By default the days of this month. */
  readonly usage: (options?: UsageOptions) => Promise<UsageReport>
  readonly webhooks: Webhooks
  /** Runs one turn from a recording or a text, and delivers the reply as it arrives. */
  readonly converse: (input: Blob | string, options?: ConverseOptions) => Promise<Turn>
  /**
   * Submits the results of all calls of a turn, and delivers the reply as it arrives. `converse` with `tools` does so by
   * itself.
   */
  readonly submitToolResults: (
    turnId: string,
    results: ReadonlyArray<ToolResult>,
    options?: Omit<ConverseOptions, "sessionId" | "agentId" | "onUploadProgress">,
  ) => Promise<Turn>
  /** Starts a spoken conversation without turns to send. See `RealtimeOptions`. */
  readonly realtime: (options?: RealtimeOptions) => Realtime
  /** Cancels a running turn. */
  readonly cancel: (turnId: string) => Promise<void>
}

/** The API's address, without a trailing slash. */
const apiOf = (baseUrl: string) => `${baseUrl.replace(/\/+$/, "").replace(/\/api\/v1$/, "")}/api/v1`

export const makeClient = ({ baseUrl, apiKey, fetch, ...retry }: ClientOptions): Client => {
  const url = apiOf(baseUrl)
  // The global is read at each call, and called without a receiver: browsers refuse `fetch` as a method.
  const send = sendByFetch(fetch ?? ((...call) => globalThis.fetch(...call)))
  const headers: Record<string, string> = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  const never = new AbortController().signal

  const call: Call = (method, path, request) => {
    const { body, read, isIdempotent = method !== "POST", expectedStatus, headers: more = {} } = request
    const attempt = async () => {
      const timeout = startIdleTimeout(responseMs)
      try {
        const { status, header, text } = await send({
          method,
          url: `${url}${path}`,
          headers: {
            ...headers,
            ...more,
            ...(body === undefined ? {} : { "content-type": "application/json" }),
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
          signal: timeout.signal,
        })
        const json = await readText(text)
        const isSuccess = (status >= 200 && status < 300) || status === expectedStatus
        if (!isSuccess) throw errorOf(status, json, header)
        return read === nothing ? read(undefined) : parse(json, read)
      } finally {
        timeout.clear()
      }
    }
    return retrying(attempt, retry, never, (error) => isTransient(error) && isIdempotent)
  }

  const sessionPath = (id: string) => `/sessions/${encodeURIComponent(id)}`
  const createSession = (details: SessionDetails = {}) =>
    call("POST", "/sessions", { body: details, read: readSessionCreated })
  const getSession = async (id: string) =>
    (await call("GET", sessionPath(id), { read: readOneSession })).session
  const createSecret = (agent: string | undefined) =>
    call("POST", "/realtime/client_secrets", { body: { agent }, read: readClientSecret })
  const cancel = (turnId: string) =>
    call("DELETE", `/voice/turns/${encodeURIComponent(turnId)}`, { read: nothing })
  const openCalls = (id: string) => call("GET", `${sessionPath(id)}/tool-calls`, { read: readOpenToolCalls })
  const service = {
    openCalls,
    url,
    send,
    headers,
    createSession: async (details: SessionDetails) => (await createSession(details)).sessionId,
    cancel,
  }

  return {
    register: (email) => call("POST", "/users/register", { body: { email }, read: readRegistered }),
    login: () =>
      call("POST", "/auth/login", { body: { apiKey: apiKey ?? "" }, read: readLoggedIn, isIdempotent: true }),
    ready: () => call("GET", "/ready", { read: readReadiness, expectedStatus: 503 }),
    sessions: {
      create: createSession,
      list: (page = {}) => call("GET", `/sessions${queryOf({ ...page })}`, { read: readSessionPage }),
      get: getSession,
      update: async (id, details) =>
        (await call("PATCH", sessionPath(id), { body: details, read: readOneSession })).session,
      delete: (id) => call("DELETE", sessionPath(id), { read: nothing }),
      messages: async (id, page = {}) =>
        (await call("GET", `${sessionPath(id)}/messages${queryOf({ ...page })}`, { read: readMessagePage }))
          .messages,
      toolCalls: openCalls,
    },
    agents: makeAgents(call),
    secrets: makeSecrets(call),
    memories: makeMemories(call),
    usage: (query = {}) => call("GET", `/usage${queryOf({ ...query })}`, { read: readUsageReport }),
    webhooks: makeWebhooks(call),
    converse: (input, options = {}) => converse(service, input, { ...retry, ...options }),
    submitToolResults: (turnId, results, options = {}) =>
      submitResults(service, turnId, results, { ...retry, ...options }),
    realtime: (options = {}) => realtime({ url, createSecret, getSession }, options),
    cancel,
  }
}

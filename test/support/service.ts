import { ConfigProvider, Effect, Exit, Layer, Scope } from "effect"
import * as Context from "effect/Context"
import { layerWith } from "../../src/app.ts"
import { SessionItems } from "../../src/conversation/session-items.ts"
import { HttpServer } from "../../src/http/server.ts"
import { Admission } from "../../src/limits/admission.ts"
import { RealtimeSessions } from "../../src/realtime/session.ts"
import { RealtimeSockets } from "../../src/realtime/sockets.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { ServiceTools } from "../../src/tools/service-tools.ts"
import { Turns } from "../../src/turn/turns.ts"
import { makeDatabase, type TestDatabase } from "./database.ts"
import { fastClock } from "./fast-clock.ts"
import { withoutLimits } from "./limits.ts"
import { startUpstream, type Upstream } from "./upstream.ts"
import { prepareSpeech } from "./upstream-audio.ts"

/** The whole service, as in production, on its own port. Only OpenAI is replaced. */
export interface Service {
  /** Without a slash at the end: `http://127.0.0.1:PORT/api/v1`. */
  readonly url: string
  readonly database: TestDatabase
  readonly upstream: Upstream
  /** Registers a user. Returns the API key. */
  readonly register: () => Promise<string>
  /** Sends a turn. Resolves when the response begins. */
  readonly converse: (key: string, audio: Blob, options?: ConverseOptions) => Promise<Response>
  /** Sends any other request, with `key` and a JSON `body` if given. */
  readonly call: (method: string, path: string, options?: CallOptions) => Promise<Response>
  /** The number of turns that wait for a slot. */
  readonly waiting: () => number
  /** Open Realtime connections, and the users that have one. */
  readonly connections: () => { readonly connections: number; readonly users: number }
  /** What the routes take turns by. */
  readonly turns: Turns["Type"]
  readonly items: SessionItems["Type"]
  readonly stop: () => Promise<void>
}

export interface ConverseOptions {
  readonly sessionId?: string
  readonly accept?: string
  readonly headers?: Record<string, string>
  readonly signal?: AbortSignal
}

export interface CallOptions {
  readonly key?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export interface ServiceOptions {
  /** Variables in addition to those of every test. */
  readonly env?: Record<string, string>
  /** How many times faster the service's clock runs. It affects pauses and time-outs, not the network. */
  readonly speed?: number
  /** In place of the service's own sessions. */
  readonly realtime?: Layer.Layer<RealtimeSessions>
  /** In place of the service's own tools. */
  readonly tools?: ReadonlyArray<RunnableTool>
  /** A database of the test, which the test has to drop. */
  readonly database?: TestDatabase
}

export const startService = async ({
  env = {},
  speed = 1,
  realtime,
  tools,
  database: given,
}: ServiceOptions = {}): Promise<Service> => {
  const upstream = await startUpstream()
  // Made now, so that the first speech does not take part of a shortened time-out.
  if (speed > 1) await prepareSpeech()
  const database = given ?? (await makeDatabase())
  const variables = {
    NODE_ENV: "test",
    DATABASE_URL: database.url,
    OPENAI_API_KEY: "sk-test",
    OPENAI_BASE_URL: upstream.baseUrl,
    HOST: "127.0.0.1",
    PORT: "0",
    LOG_LEVEL: "none",
    LOG_DIR: "",
    ...withoutLimits,
    // No request after a turn.
    CONTEXT_SUMMARIES: "false",
    // No Ollama of this machine.
    OLLAMA: "off",
    // Failures of one test must not open the breaker for the next one.
    BREAKER_FAILURES: "0",
    // A warm ffmpeg would count as a turn's own, and its start would take CPU from a service with a fast clock.
    FFMPEG_WARM: "0",
    ...env,
  }
  const parts = {
    realtimeSessions: realtime ?? RealtimeSessions.layer,
    serviceTools: tools === undefined ? ServiceTools.layer : ServiceTools.layerOf(tools),
  }
  const provider = ConfigProvider.fromMap(new Map(Object.entries(variables)))
  const scope = Effect.runSync(Scope.make())
  const environment = Layer.mergeAll(
    Layer.setConfigProvider(provider),
    speed === 1 ? Layer.empty : Layer.setClock(fastClock(speed)),
  )
  const built = await Effect.runPromise(
    Layer.buildWithScope(Layer.provide(layerWith(parts), environment), scope),
  )
  const url = `${Context.get(built, HttpServer).url}/api/v1`

  const call: Service["call"] = (method, path, { key, body, headers } = {}) =>
    fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  const register = async () => {
    const answer = await call("POST", "/users/register", {
      body: { email: `${crypto.randomUUID()}@example.com` },
    })
    const { apiKey } = (await answer.json()) as { readonly apiKey: string }
    return apiKey
  }

  const converse: Service["converse"] = (key, audio, { sessionId, accept, headers, signal } = {}) => {
    const form = new FormData()
    if (sessionId !== undefined) form.append("sessionId", sessionId)
    form.append("audio", audio, "recording")
    return fetch(`${url}/voice/conversation`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, ...(accept === undefined ? {} : { accept }), ...headers },
      body: form,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  const stop = async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    await upstream.stop()
    if (given === undefined) await database.drop()
  }
  const turns = Context.get(built, Turns)
  const items = Context.get(built, SessionItems)
  const { size } = Context.get(built, Admission)
  const waiting = () => Effect.runSync(size).waiting
  const sockets = Context.get(built, RealtimeSockets)
  const connections = () => Effect.runSync(sockets.size)
  return { url, database, upstream, register, converse, call, waiting, connections, turns, items, stop }
}

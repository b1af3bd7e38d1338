import { Effect, identity, Option, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { isClientSecret } from "../accounts/api-key.ts"
import { ClientSecrets } from "../accounts/client-secrets.ts"
import { Keys } from "../accounts/keys.ts"
import type { SignedIn } from "../accounts/model.ts"
import { Agents } from "../agent/agents.ts"
import { Settings } from "../config.ts"
import type { SessionAgent } from "../conversation/stored-turn.ts"
import type { SocketHandlers } from "../realtime/connection.ts"
import { plannedSession } from "../realtime/protocol/server-events.ts"
import { RealtimeSessions } from "../realtime/session.ts"
import { RealtimeSockets } from "../realtime/sockets.ts"
import type { AgentId } from "../schema.ts"
import { bearer, makeAuthenticate, signedIn } from "./auth.ts"
import { formOrJsonBody } from "./body.ts"
import { allowsSocket } from "./cross-origin.ts"
import { OriginNotAllowed, RealtimeUnsupported, UpgradeRequired, ValidationFailed } from "./errors.ts"
import { hidden } from "./hidden-route.ts"
import * as operations from "./openapi/operations/realtime.ts"
import {
  type ClientSecretRequest,
  ConnectQuery,
  clientSecretRequest,
  defaultSecretSeconds,
} from "./realtime-payloads.ts"
import { makeRun } from "./run.ts"
import { noStore } from "./users.ts"

/** Bytes of the body of a client secret: long instructions and a hundred tools. */
const maxConfigBytes = 128 * 1024

/** A browser cannot set headers of a WebSocket, so stock clients send the key as a subprotocol. */
const keyProtocol = "openai-insecure-api-key."

const protocolsOf = (request: Request): ReadonlyArray<string> =>
  (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((each) => each.trim())

const keyOf = (request: Request) =>
  Option.orElse(bearer(request.headers.get("authorization")), () =>
    Option.map(
      Option.fromNullable(
        protocolsOf(request).find((each) => each.startsWith(keyProtocol) && each !== keyProtocol),
      ),
      (protocol) => Redacted.make(protocol.slice(keyProtocol.length)),
    ),
  )

/**
 * Without this header Bun selects the first protocol of the client by itself, which may hold the key. An empty value
 * makes it select none.
 */
const selectedProtocol = (request: Request) => (protocolsOf(request).includes("realtime") ? "realtime" : "")

/** Whether the request is a WebSocket handshake that Bun accepts (RFC 6455, section 4.2.1). */
const isHandshake = ({ method, headers }: Request) =>
  method === "GET" &&
  headers.get("upgrade")?.toLowerCase() === "websocket" &&
  headers.get("sec-websocket-version") === "13" &&
  /^[\w+/]{22}==$/.test(headers.get("sec-websocket-key") ?? "")

/** Opens Realtime connections, on a path below `/v1` for stock clients and below `/api/v1`. */
export const realtimeRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const { corsOrigins } = yield* Settings
  const authenticate = yield* makeAuthenticate
  const keys = yield* Keys
  const agents = yield* Agents
  const secrets = yield* ClientSecrets
  const sessions = yield* RealtimeSessions
  const sockets = yield* RealtimeSockets

  /** `explain`: what is said of a session that is refused. */
  const configure = (
    session: unknown,
    owner: Parameters<typeof sessions.configure>[1],
    explain: (reason: string) => string,
  ) =>
    Effect.catchTag(
      sessions.configure(session, owner),
      "ProtocolError",
      ({ param, message }) =>
        new ValidationFailed({
          message: explain(param === null || message.includes(param) ? message : `${param}: ${message}`),
        }),
    )

  /** A secret may be older than this version or its settings, which may refuse what its session has. */
  const noLongerSupported = (reason: string) =>
    `The server no longer supports the session of this client secret: ${reason} Create another secret with your API key.`

  /** Of a secret, the version of its agent is the newest one when a connection is opened. */
  const newestOf = (id: AgentId): SessionAgent => ({ id, version: Option.none() })

  /** The owner of an API key or a client secret, and the configuration that the secret is bound to. */
  const lookUp = (credential: Redacted.Redacted) =>
    isClientSecret(credential)
      ? Effect.map(secrets.authenticate(credential), ({ session, agentId, ...user }) => ({
          ...user,
          secret: Option.some({ session, agentId }),
        }))
      : Effect.map(keys.authenticate(credential), (user) => ({
          ...user,
          secret: Option.none<{ readonly session: unknown; readonly agentId: Option.Option<AgentId> }>(),
        }))

  const connect = Effect.fn("realtime.connect")(function* (
    request: Request,
    server: Bun.Server<unknown> | null,
    set: { readonly headers: Record<string, string | number> },
    query: typeof ConnectQuery.Type,
  ) {
    if (!isHandshake(request) || server === null) return yield* new UpgradeRequired()
    const { headers } = request
    if (!allowsSocket(corsOrigins, { origin: headers.get("origin"), host: headers.get("host") })) {
      return yield* new OriginNotAllowed()
    }
    const { secret, ...user } = yield* authenticate(request, set, "requests", keyOf(request), lookUp)
    if (Option.isSome(secret) && Option.isSome(query.agent)) {
      return yield* new ValidationFailed({
        message: "agent: a client secret has its agent; name it when you create the secret",
      })
    }
    const config = yield* Effect.transposeMapOption(secret, ({ session, agentId }) =>
      configure(session, { userId: user.id, agent: Option.map(agentId, newestOf) }, noLongerSupported),
    )
    const upgrade = (handlers: SocketHandlers) =>
      server.upgrade(request, {
        headers: {
          ...Object.fromEntries(Object.entries(set.headers).map(([name, value]) => [name, `${value}`])),
          "sec-websocket-protocol": selectedProtocol(request),
        },
        data: handlers,
      })
    const isOpen = yield* sockets.connect(
      user,
      (wire) =>
        sessions.open({
          user,
          sessionId: query.session_id,
          agentId: Option.orElse(query.agent, () => Option.flatMap(secret, ({ agentId }) => agentId)),
          intent: Option.getOrElse(query.intent, () => "conversation" as const),
          config,
          wire,
        }),
      upgrade,
    )
    if (!isOpen) return yield* new UpgradeRequired()
    // For the log alone: Bun has sent the response.
    return new Response(null, { status: 101 })
  })

  const createSecret = Effect.fn("realtime.createSecret")(function* (
    user: SignedIn,
    { expires_after, agent: agentId, session = { type: "realtime" } }: typeof ClientSecretRequest.Type,
  ) {
    const seconds = expires_after?.seconds ?? defaultSecretSeconds
    const agent = yield* Effect.transposeMapOption(Option.fromNullable(agentId), (id) =>
      agents.choose(user.id, { id, version: Option.some("latest") }),
    ).pipe(Effect.map(Option.flatten))
    const { config } = yield* configure(session, { userId: user.id, agent }, identity)
    const { id, value, expiresAt } = yield* secrets.create(user, {
      seconds,
      session,
      agentId: Option.map(agent, ({ id }) => id),
    })
    const created = {
      value: Redacted.value(value),
      expires_at: Math.floor(expiresAt.getTime() / 1000),
      session: plannedSession(id, config),
    }
    return Response.json(created, { headers: noStore })
  })

  const secretRoutes = new Elysia()
    .use(yield* signedIn("requests"))
    .use(yield* formOrJsonBody(maxConfigBytes))
    .post("/client_secrets", ({ request, user, body }) => run(request, createSecret(user, body)), {
      body: clientSecretRequest,
      detail: operations.createSecret,
    })

  /** What clients of WebRTC, SIP and the beta protocol ask for. */
  const refuse = ({ request }: { readonly request: Request }) => run(request, new RealtimeUnsupported())

  return new Elysia({ prefix: "/realtime" })
    .get("", ({ request, server, set, query }) => run(request, connect(request, server, set, query)), {
      query: Schema.standardSchemaV1(ConnectQuery),
      detail: operations.connect,
    })
    .post("", refuse, hidden)
    .post("/calls", refuse, hidden)
    .post("/calls/:callId/:action", refuse, hidden)
    .post("/sessions", refuse, hidden)
    .post("/transcription_sessions", refuse, hidden)
    .use(secretRoutes)
})

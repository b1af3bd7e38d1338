import { Effect, Option, Redacted, Schema } from "effect"
import { Elysia } from "elysia"
import { isClientSecret } from "../accounts/api-key.ts"
import { ClientSecrets } from "../accounts/client-secrets.ts"
import { Keys } from "../accounts/keys.ts"
import type { SignedIn } from "../accounts/model.ts"
import { Settings } from "../config.ts"
import type { SocketHandlers } from "../realtime/connection.ts"
import { plannedSession } from "../realtime/protocol/server-events.ts"
import { RealtimeSessions } from "../realtime/session.ts"
import { RealtimeSockets } from "../realtime/sockets.ts"
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
  const secrets = yield* ClientSecrets
  const sessions = yield* RealtimeSessions
  const sockets = yield* RealtimeSockets

  const configure = (session: unknown) =>
    Effect.mapError(
      sessions.configure(session),
      ({ param, message }) =>
        new ValidationFailed({
          message: param === null || message.includes(param) ? message : `${param}: ${message}`,
        }),
    )

  /** A secret may be older than this version or its settings, which may refuse what its session has. */
  const configureOld = (session: unknown) =>
    Effect.mapError(
      configure(session),
      ({ message }) =>
        new ValidationFailed({
          message: `The server no longer supports the session of this client secret: ${message} Create another secret with your API key.`,
        }),
    )

  /** The owner of an API key or a client secret, and the configuration that the secret is bound to. */
  const lookUp = (credential: Redacted.Redacted) =>
    isClientSecret(credential)
      ? Effect.map(secrets.authenticate(credential), ({ session, ...user }) => ({
          ...user,
          session: Option.some(session),
        }))
      : Effect.map(keys.authenticate(credential), (user) => ({ ...user, session: Option.none<unknown>() }))

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
    const { session, ...user } = yield* authenticate(request, set, "requests", keyOf(request), lookUp)
    const config = yield* Option.match(session, {
      onNone: () => Effect.succeedNone,
      onSome: (session) => Effect.asSome(configureOld(session)),
    })
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
          agentId: query.agent,
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
    { expires_after, session = { type: "realtime" } }: typeof ClientSecretRequest.Type,
  ) {
    const seconds = expires_after?.seconds ?? defaultSecretSeconds
    const { config } = yield* configure(session)
    const { id, value, expiresAt } = yield* secrets.create(user, { seconds, session })
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

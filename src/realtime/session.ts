import { Context, type Effect, type Either, type Option, type Scope } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import type { TurnError } from "../turn/errors.ts"
import type { Wire } from "./outbox.ts"
import type { ProtocolError } from "./protocol/errors.ts"
import type { SessionConfig } from "./protocol/session-config.ts"

/** What a handshake asks for. */
export interface RealtimeRequest {
  readonly user: SignedIn
  /** The stored session to continue, as the client sent it. None: a new one. */
  readonly sessionId: Option.Option<string>
  readonly intent: "conversation" | "transcription"
  /** The `session` that the client secret of the handshake is bound to. None: an API key opened the connection. */
  readonly config: Option.Option<unknown>
  /** Events sent before the handshake ends reach the client right after it. */
  readonly wire: Wire
}

/** The conversation on one socket. */
export interface RealtimeSession {
  /** Takes one event of the client, as JSON text. Never throws. */
  readonly receive: (message: string) => void
  /** For a shutdown: lets the running response end, then closes the wire. */
  readonly drain: Effect.Effect<void>
}

/** Begins Realtime sessions. */
export class RealtimeSessions extends Context.Tag("voice-agent/RealtimeSessions")<
  RealtimeSessions,
  {
    /**
     * The whole configuration that sessions with this `session` of a client secret begin with. The same value reaches
     * `open` as `config`.
     */
    readonly configure: (session: unknown) => Either.Either<SessionConfig, ProtocolError>
    /** Its failure refuses the handshake. The end of the scope ends everything that the session started. */
    readonly open: (request: RealtimeRequest) => Effect.Effect<RealtimeSession, TurnError, Scope.Scope>
  }
>() {}

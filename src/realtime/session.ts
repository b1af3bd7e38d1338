import { Context, Deferred, Effect, Either, FiberSet, Layer, Mailbox, Option, type Scope } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import { Agents } from "../agent/agent.ts"
import { Settings } from "../config.ts"
import { SessionItems } from "../conversation/session-items.ts"
import { Sessions } from "../conversation/sessions.ts"
import { Admission } from "../limits/admission.ts"
import { RateLimits } from "../limits/rate-limits.ts"
import { Transcriber } from "../providers/transcriber.ts"
import { newId, SessionId } from "../schema.ts"
import type { TurnError } from "../turn/errors.ts"
import { Turns } from "../turn/turns.ts"
import { VoiceActivity } from "../vad/voice-activity.ts"
import type { Wire } from "./outbox.ts"

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
  /** For a shutdown: resolves when the running responses have ended. There are no further ones. */
  readonly drain: Effect.Effect<void>
}

/** Items of a continued session that the client can name. The model sees as many as its own limits allow. */
const restoredItems = 200

const factsOf = ({ instructions, hearing, thinking, speaking }: Agent): AgentFacts => ({
  model: thinking.model,
  instructions,
  voice: speaking.voice,
  transcriptionModel: hearing.model,
  ...Option.match(hearing.language, { onNone: () => ({}), onSome: (language) => ({ language }) }),
  ...Option.match(thinking.maxTokens, { onNone: () => ({}), onSome: (maxOutputTokens) => ({ maxOutputTokens }) }),
})

type Message =
  | { readonly _tag: "Client"; readonly text: string }
  | Heard
  | Transcribed
  | ResponseReport
  | { readonly _tag: "Played"; readonly ring: number }
  | { readonly _tag: "Silent"; readonly ring: number }
  | { readonly _tag: "Drain"; readonly done: Deferred.Deferred<void> }

import { Either } from "effect"
import type { ProtocolError } from "./protocol/errors.ts"
import { type ServerEvent, sessionObject } from "./protocol/server-events.ts"
import type { SessionConfig } from "./protocol/session-config.ts"
import type { SessionPatch } from "./protocol/session-patch.ts"
import { type UpdateFacts, updateConfig } from "./protocol/update-config.ts"

/** The settings of one connection. */
export interface SessionSettings {
  readonly config: () => SessionConfig
  readonly facts: () => UpdateFacts
  /** The client has heard the voice: it can no longer change. */
  readonly noteAudio: () => void
  /** Sends session.created. */
  readonly show: () => void
  /** Handles session.update: all of it, or nothing. */
  readonly update: (patch: SessionPatch) => Either.Either<void, ProtocolError>
}

export const makeSettings = (options: {
  readonly id: string
  /** Unix seconds. */
  readonly expiresAt: number
  readonly config: SessionConfig
  readonly facts: Omit<UpdateFacts, "hasAudio">
  readonly send: (event: ServerEvent) => void
}): SessionSettings => {
  let { config } = options
  let hasAudio = false
  const facts = () => ({ ...options.facts, hasAudio })
  const session = () => sessionObject(options.id, options.expiresAt, config)
  return {
    config: () => config,
    facts,
    noteAudio: () => {
      hasAudio = true
    },
    show: () => options.send({ type: "session.created", session: session() }),
    update: (patch) =>
      Either.map(updateConfig(config, patch, facts()), (updated) => {
        config = updated
        options.send({ type: "session.updated", session: session() })
      }),
  }
}

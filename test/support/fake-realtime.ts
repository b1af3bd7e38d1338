/** Realtime sessions that do as a test says, in place of the conversation. */
import { Effect, Either, Layer } from "effect"
import { type ServerEvent, sessionObject } from "../../src/realtime/protocol/server-events.ts"
import { defaultConfig } from "../../src/realtime/protocol/session-config.ts"
import { readSessionPatch } from "../../src/realtime/protocol/session-patch.ts"
import { updateConfig } from "../../src/realtime/protocol/update-config.ts"
import { type RealtimeRequest, RealtimeSessions } from "../../src/realtime/session.ts"

export interface FakeRealtime {
  readonly layer: Layer.Layer<RealtimeSessions>
  /** The sessions that were opened, in order. */
  readonly opened: ReadonlyArray<OpenedSession>
  /** Sessions whose scope is open. */
  readonly open: () => number
  /** Runs before a session opens: it may wait or fail. */
  beforeOpen: Effect.Effect<void, Effect.Effect.Error<ReturnType<RealtimeSessions["Type"]["open"]>>>
  /** What a session does with a message. It echoes by default. */
  onMessage: (session: OpenedSession, message: string) => void
  /** What a session does when the service shuts down. */
  onDrain: (session: OpenedSession) => Effect.Effect<void>
}

export interface OpenedSession extends RealtimeRequest {
  readonly messages: Array<string>
}

const facts = { model: "llm", instructions: "", voice: "alloy", transcriptionModel: "stt", tools: [] }

const echo = (delta: string): ServerEvent => ({
  type: "response.output_text.delta",
  response_id: "r1",
  item_id: "i1",
  output_index: 0,
  content_index: 0,
  delta,
})

export const makeFakeRealtime = (): FakeRealtime => {
  const opened: Array<OpenedSession> = []
  let open = 0
  const fake: FakeRealtime = {
    opened,
    open: () => open,
    beforeOpen: Effect.void,
    onMessage: ({ wire }, message) => wire.send(echo(message)),
    onDrain: () => Effect.void,
    layer: Layer.succeed(RealtimeSessions, {
      configure: (session) =>
        Either.flatMap(readSessionPatch(session), (patch) =>
          Either.map(
            updateConfig(defaultConfig(facts, patch.type), patch, {
              hasAudio: false,
              voices: ["alloy"],
              transcriptionModel: "stt",
            }),
            (config) => ({ patch, config }),
          ),
        ),
      open: (request) =>
        Effect.gen(function* () {
          const session: OpenedSession = { ...request, messages: [] }
          yield* Effect.acquireRelease(
            Effect.sync(() => {
              open += 1
            }),
            () =>
              Effect.sync(() => {
                open -= 1
              }),
          )
          yield* fake.beforeOpen
          opened.push(session)
          request.wire.send({
            type: "session.created",
            session: sessionObject(crypto.randomUUID(), 0, defaultConfig(facts)),
          })
          return {
            receive: (message) => {
              session.messages.push(message)
              fake.onMessage(session, message)
            },
            stop: () => {},
            drain: Effect.suspend(() => fake.onDrain(session)),
          }
        }),
    }),
  }
  return fake
}

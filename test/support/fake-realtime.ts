/** Realtime sessions that do as a test says, in place of the conversation. */
import { Effect, Layer } from "effect"
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

export const makeFakeRealtime = (): FakeRealtime => {
  const opened: Array<OpenedSession> = []
  let open = 0
  const fake: FakeRealtime = {
    opened,
    open: () => open,
    beforeOpen: Effect.void,
    onMessage: ({ wire }, message) => wire.send({ type: "echo", message }),
    onDrain: () => Effect.void,
    layer: Layer.succeed(RealtimeSessions, {
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
          request.wire.send({ type: "session.created", session: { object: "realtime.session" } })
          return {
            receive: (message) => {
              session.messages.push(message)
              fake.onMessage(session, message)
            },
            drain: Effect.suspend(() => fake.onDrain(session)),
          }
        }),
    }),
  }
  return fake
}

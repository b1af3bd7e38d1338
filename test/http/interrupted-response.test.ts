import { describe, expect } from "bun:test"
import { Effect, Fiber, Option } from "effect"
import { renderings } from "../../src/http/renderings.ts"
import { newId, SessionId, TurnId } from "../../src/schema.ts"
import type { NewTurnEvent } from "../../src/turn/events.ts"
import { makeTurnLog } from "../../src/turn/log.ts"
import { drain } from "../../src/turn/take.ts"
import { effectTest } from "../support/effect.ts"
import { eventsIn } from "../support/events.ts"

const audio: NewTurnEvent = { _tag: "Audio", bytes: new Uint8Array(4), ms: 1 }
const heard: NewTurnEvent = { _tag: "Heard", text: "Hi", source: { bytes: 2, type: "text" } }

/** A turn that another front door interrupts after these events, rendered as this type. */
const interrupted = Effect.fnUntraced(function* (
  type: keyof typeof renderings,
  ...events: ReadonlyArray<NewTurnEvent>
) {
  const { output, render } = renderings[type]
  const log = yield* makeTurnLog({ output, keepsAudio: true, uploadMs: 0 })
  const ids = { sessionId: newId(SessionId), turnId: newId(TurnId) }
  log.push({ _tag: "Started", ...ids, replayOf: Option.none() })
  for (const event of events) log.push(event)
  const rendered = yield* Effect.fork(render({ take: log.take, state: log.state }))
  // The response starts before the interruption.
  yield* Effect.yieldNow()
  log.push({ _tag: "Interrupted" })
  yield* log.end
  return yield* Fiber.await(rendered)
})

describe("a turn that is interrupted", () => {
  for (const type of ["audio/mpeg", "audio/wav", "audio/pcm"] as const) {
    effectTest(
      `${type}: is refused before its audio, and broken off after it`,
      Effect.gen(function* () {
        const early = yield* Effect.flip(yield* interrupted(type, heard))
        expect(early).toMatchObject({ _tag: "TurnCancelled" })
        const { body } = yield* yield* interrupted(type, heard, audio)
        expect(yield* Effect.flip(drain(body, () => Effect.void))).toMatchObject({ _tag: "TurnCancelled" })
      }),
    )
  }

  effectTest(
    "application/json: is refused",
    Effect.gen(function* () {
      const early = yield* Effect.flip(yield* interrupted("application/json", heard, audio))
      expect(early).toMatchObject({ _tag: "TurnCancelled" })
    }),
  )

  effectTest(
    "text/event-stream: ends with an error",
    Effect.gen(function* () {
      const { body } = yield* yield* interrupted("text/event-stream", heard, audio)
      const parts: Array<Uint8Array> = []
      yield* drain(body, (batch) => Effect.sync(() => parts.push(...batch)))
      const events = eventsIn(Buffer.concat(parts))
      expect(events.map(({ event }) => event)).toEqual(["turn.started", "transcript", "audio", "error"])
      expect(events.at(-1)?.data).toMatchObject({ error: "TURN_CANCELLED" })
    }),
  )
})

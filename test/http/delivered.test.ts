import { expect } from "bun:test"
import { Duration, Effect, FiberSet, Option } from "effect"
import { renderings } from "../../src/http/renderings.ts"
import { streamed } from "../../src/http/streaming.ts"
import { newId, SessionId, TurnId } from "../../src/schema.ts"
import { makeTurnLog } from "../../src/turn/log.ts"
import { effectTest } from "../support/effect.ts"

/** Until all promises and fibers wait. */
const settle = Effect.promise(async () => {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve))
})

/** The audio event `n` is the byte `n`; the two events before it are the start and the transcript. */
const eventsBefore = 2

const lastAudioIn: Record<string, (bytes: Uint8Array) => number> = {
  "audio/mpeg": (bytes) => bytes.at(-1) ?? 0,
  "audio/wav": (bytes) => (bytes.length > 44 ? (bytes.at(-1) ?? 0) : 0),
  "audio/pcm": (bytes) => bytes.at(-1) ?? 0,
  "text/event-stream": (bytes) => Buffer.from(bytes).toString().split("event: audio").length - 1,
}

for (const type of ["audio/mpeg", "audio/wav", "audio/pcm", "text/event-stream"] as const) {
  effectTest(
    `${type}: an event counts as delivered once the client has taken its bytes`,
    Effect.gen(function* () {
      const { output, render } = renderings[type]
      const log = yield* makeTurnLog({ output, keepsAudio: false, uploadMs: 0 })
      const ids = { sessionId: newId(SessionId), turnId: newId(TurnId) }
      log.push({ _tag: "Started", ...ids, replayOf: Option.none() })
      log.push({ _tag: "Heard", text: "Hi", source: { bytes: 2, type: "text" } })
      let pushed = 0
      const push = () => {
        pushed += 1
        log.push({ _tag: "Audio", bytes: new Uint8Array([pushed]), ms: 1 })
      }
      push()
      const client = {
        signal: AbortSignal.any([]),
        timeout: Duration.minutes(1),
        hangUp: () => undefined,
      }
      const rendered = render({ take: log.take, state: log.state })
      const { body } = yield* streamed(client, yield* FiberSet.make(), rendered)
      if (body === null) throw new Error("the response has no body")
      const reader = body.getReader()
      let read = new Uint8Array()
      const heard = () => lastAudioIn[type]?.(read) ?? 0
      const isTrue = () => expect(log.delivered()).toBeLessThanOrEqual(eventsBefore + heard())
      for (let n = 0; n < 4; n++) {
        push()
        yield* settle
        isTrue()
      }
      while (heard() < pushed) {
        const { value = new Uint8Array() } = yield* Effect.promise(() => reader.read())
        read = Buffer.concat([read, value])
        isTrue()
        yield* settle
        if (pushed < 8) push()
      }
      const next = reader.read()
      yield* settle
      expect(log.delivered()).toBe(eventsBefore + pushed)
      yield* log.end
      yield* Effect.promise(() => next)
    }),
  )
}

import { describe, expect } from "bun:test"
import { Effect } from "effect"
import { effectTest } from "../support/effect.ts"
import { makeSession, shape } from "../support/realtime-session.ts"

const quota = {
  policy: { name: "turns", limit: 30, windowSeconds: 60 },
  remaining: 12,
  secondsToWhole: 36,
}
const left = { type: "rate_limits.updated" as const }
const ask = { type: "response.create" }

describe("rate_limits.updated", () => {
  effectTest(
    "follows each response.created, with what is left",
    Effect.gen(function* () {
      const session = yield* makeSession({ quota, thinks: [{ chunks: [{ text: "Hi." }] }] })
      yield* session.send(ask)
      expect(session.of("rate_limits.updated")).toEqual([
        { ...left, rate_limits: [{ name: "requests", limit: 30, remaining: 12, reset_seconds: 36 }] },
      ])
      expect(shape(session.events).slice(1, 4)).toEqual([
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
      ])
      session.fresh()
      yield* session.send({ ...ask, response: { conversation: "none", input: [] } })
      expect(session.types().slice(0, 2)).toEqual(["response.created", "rate_limits.updated"])
    }),
  )

  effectTest(
    "of a refused response says when the next one is allowed",
    Effect.gen(function* () {
      const session = yield* makeSession({ quota, refusals: ["rate limit"] })
      yield* session.send(ask)
      expect(session.types().slice(1)).toEqual(["response.created", "rate_limits.updated", "response.done"])
      expect(session.of("rate_limits.updated")[0]?.rate_limits).toEqual([
        { name: "requests", limit: 5, remaining: 0, reset_seconds: 3 },
      ])
    }),
  )

  effectTest(
    "is not sent without a limit",
    Effect.gen(function* () {
      const session = yield* makeSession()
      yield* session.send(ask)
      expect(session.of("response.done").length).toBe(1)
      expect(session.of("rate_limits.updated")).toEqual([])
    }),
  )

  effectTest(
    "of a speculative answer comes with its response",
    Effect.gen(function* () {
      const session = yield* makeSession({
        quota,
        env: { REALTIME_SPECULATIVE: "on" },
        transcripts: [{ text: "What time is it?" }],
      })
      yield* session.speak(500)
      yield* session.pause(300)
      expect(session.prompts.length).toBe(1)
      expect(session.of("rate_limits.updated")).toEqual([])
      yield* session.pause(400)
      const types = session.types()
      expect(types.indexOf("rate_limits.updated")).toBe(types.indexOf("response.created") + 1)
      expect(session.of("rate_limits.updated").length).toBe(1)
    }),
  )
})

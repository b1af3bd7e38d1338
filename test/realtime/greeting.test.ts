import { describe, expect } from "bun:test"
import { Effect, Either, Option } from "effect"
import { effectTest } from "../support/effect.ts"
import { makeSession } from "../support/realtime-session.ts"

const greeting = "Good morning."
const agent = { greeting: Option.some(Either.right(greeting)) }
const say = {
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] },
}

describe("a greeting", () => {
  effectTest(
    "is the first response, and asks no model",
    Effect.gen(function* () {
      const session = yield* makeSession({ agent })
      yield* session.pass(400)
      expect(session.of("response.created")).toEqual([])
      yield* session.pass(2000)
      expect(session.of("response.done")).toMatchObject([
        {
          response: {
            status: "completed",
            output: [{ role: "assistant", content: [{ transcript: greeting }] }],
          },
        },
      ])
      expect(session.prompts).toEqual([])
      yield* session.send(say, { type: "response.create" })
      yield* session.pass(2000)
      expect(session.prompts[0]?.prompt.messages).toMatchObject([
        { role: "assistant", content: greeting },
        { role: "user", content: "Hi" },
      ])
    }),
  )

  effectTest(
    "has the client's settings",
    Effect.gen(function* () {
      const session = yield* makeSession({ agent })
      yield* session.send({
        type: "session.update",
        session: { type: "realtime", output_modalities: ["text"] },
      })
      yield* session.pass(2000)
      expect(session.of("response.done")).toMatchObject([
        { response: { output: [{ content: [{ type: "output_text", text: greeting }] }] } },
      ])
    }),
  )

  const others: ReadonlyArray<
    readonly [string, Parameters<typeof makeSession>[0], ReadonlyArray<object>, number]
  > = [
    ["after an item of the client", { agent }, [say], 0],
    ["after a response of the client", { agent }, [{ type: "response.create" }], 1],
    ["in a transcription session", { agent, intent: "transcription" }, [], 0],
    ["in a continued conversation", { agent, history: [] }, [], 1],
    ["of an agent without one", {}, [], 0],
  ]
  for (const [when, script, events, responses] of others) {
    effectTest(
      `${when}: ${responses} responses`,
      Effect.gen(function* () {
        const session = yield* makeSession(script)
        yield* session.send(...events)
        yield* session.pass(3000)
        expect(session.of("response.created")).toHaveLength(responses)
        const asked = events.some((event) => "type" in event && event.type === "response.create")
        expect(session.prompts).toHaveLength(asked ? 1 : 0)
      }),
    )
  }

  effectTest(
    "is not said to a user who speaks first",
    Effect.gen(function* () {
      const session = yield* makeSession({ agent })
      yield* session.speak(1000)
      yield* session.pause()
      yield* session.pass(3000)
      expect(session.of("response.created")).toHaveLength(1)
      expect(session.prompts).toHaveLength(1)
    }),
  )
})

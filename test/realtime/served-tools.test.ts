import { describe, expect } from "bun:test"
import { Duration, Effect, Option } from "effect"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { effectTest } from "../support/effect.ts"
import { tenth } from "../support/fake-turns.ts"
import { checkDeltas, checkResponses } from "../support/realtime-checks.ts"
import { makeSession, shape } from "../support/realtime-session.ts"

const makeTool = (afterMs = 0, isError = false): RunnableTool => ({
  tool: { name: "weather", description: Option.none(), parameters: { type: "object" } },
  isIdempotent: false,
  timeout: Duration.minutes(1),
  run: () => Effect.delay(Effect.succeed({ output: "Sunny.", isError }), afterMs),
})
const calls = [{ callId: "call_1", name: "weather", arguments: '{"city":"Oslo"}' }]
const words = "Let me see."
const reply = "It is sunny."
const thinks = [{ chunks: [{ text: words }], calls }, { chunks: [{ text: reply }] }]
const say = (text: string) => ({
  type: "conversation.item.create",
  item: { type: "message", role: "user", content: [{ type: "input_text", text }] },
})
const respond = { type: "response.create" }

describe("a response with a tool of the service", () => {
  effectTest(
    "shows the call as an MCP call between two messages",
    Effect.gen(function* () {
      const session = yield* makeSession({ thinks, tools: [makeTool(100)] })
      yield* session.send(say("How is Oslo?"))
      session.fresh()
      yield* session.send(respond)
      yield* session.pass(1000)
      const events = session.fresh()
      checkResponses(events)
      checkDeltas(events)
      expect(shape(events).filter((type) => !type.startsWith("response.content_part"))).toEqual([
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.output_audio_transcript.delta",
        "response.output_item.added",
        "response.mcp_call_arguments.done",
        "response.output_audio.delta",
        "response.mcp_call.completed",
        "response.output_item.done",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.output_item.added",
        "conversation.item.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
      ])
      const done = events.find(({ type }) => type === "response.done")
      const output = done?.type === "response.done" ? done.response.output : []
      expect(output).toMatchObject([
        { type: "message", status: "completed", content: [{ transcript: words }] },
        { type: "mcp_call", name: "weather", arguments: '{"city":"Oslo"}', output: "Sunny.", error: null },
        { type: "message", status: "completed", content: [{ transcript: reply }] },
      ])
      // No client may run it, ask for it as an item, or answer it.
      expect(JSON.stringify(events)).not.toContain("function_call")
      expect(events.filter((each) => "item" in each && each.type.startsWith("conversation."))).toHaveLength(4)
      const stored = session.saved[0]?.items.filter(({ payload }) => payload.type !== "tool_result") ?? []
      expect(output.map(({ id }) => id)).toEqual(stored.map(({ id }) => id))
    }),
  )

  effectTest(
    "tells of a failure, and of a call that the user cut off",
    Effect.gen(function* () {
      const failed = yield* makeSession({ thinks, tools: [makeTool(0, true)] })
      yield* failed.send(say("How is Oslo?"), respond)
      yield* failed.pass(1000)
      checkResponses(failed.events)
      expect(failed.of("response.mcp_call.failed")).toHaveLength(1)
      expect(failed.of("response.done")[0]?.response.status).toBe("completed")

      const cut = yield* makeSession({ thinks, tools: [makeTool(10_000)] })
      yield* cut.send(say("How is Oslo?"), respond)
      yield* cut.pass(500)
      yield* cut.send({ type: "response.cancel" })
      yield* cut.pass(500)
      checkResponses(cut.events)
      expect(cut.of("response.done")[0]?.response).toMatchObject({
        status: "cancelled",
        output: [
          { type: "message" },
          { type: "mcp_call", output: null, error: { type: "tool_execution_error" } },
        ],
      })
    }),
  )

  effectTest(
    "can be told to forget the call, as a stock client does",
    Effect.gen(function* () {
      const session = yield* makeSession({ thinks, tools: [makeTool()] })
      yield* session.send(say("How is Oslo?"), respond)
      yield* session.pass(1000)
      const [, call] = session.of("response.done")[0]?.response.output ?? []
      const forget = { type: "conversation.item.delete", item_id: call?.id }
      yield* session.send(forget)
      yield* session.pass(1000)
      expect(session.of("conversation.item.deleted")).toMatchObject([{ item_id: call?.id }])
      expect(session.removed.map((id) => `${id}`)).toEqual([`${call?.id}`])
      yield* session.send(forget)
      expect(session.of("error")).toHaveLength(1)
    }),
  )

  effectTest(
    "is cut by the time of one message",
    Effect.gen(function* () {
      const session = yield* makeSession({
        thinks,
        tools: [makeTool()],
        speaks: [{ chunks: Array.from({ length: 10 }, () => ({ bytes: tenth })) }],
      })
      yield* session.send(say("How is Oslo?"), respond)
      yield* session.pass(1000)
      const [first, , second] = session.of("response.done")[0]?.response.output ?? []
      const truncate = (item: typeof first, ms: number) => ({
        type: "conversation.item.truncate",
        item_id: item?.id,
        content_index: 0,
        audio_end_ms: ms,
      })
      yield* session.send(truncate(second, 600))
      yield* session.pass(1000)
      expect(session.of("conversation.item.truncated")).toHaveLength(1)
      expect(session.truncated).toEqual([
        { text: words, ms: 1000, interrupted: false },
        { text: "It is", ms: 600, interrupted: true },
      ])
      yield* session.send(truncate(first, 500))
      yield* session.pass(1000)
      expect(session.truncated.slice(2)).toEqual([
        { text: "Let", ms: 500, interrupted: true },
        { text: "", ms: 0, interrupted: true },
      ])
      yield* session.send(truncate(second, 1001))
      expect(session.of("error")).toHaveLength(1)
    }),
  )
})

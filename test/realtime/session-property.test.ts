import { expect, test } from "bun:test"
import { Effect, FastCheck as fc, Option, TestContext } from "effect"
import { ProviderUnusable } from "../../src/providers/errors.ts"
import type { FakeRound } from "../../src/providers/language-model.ts"
import type { ServerEvent } from "../../src/realtime/protocol/server-events.ts"
import { makeSession } from "../support/realtime-session.ts"

const SEED = 24

/** What happens in one step of a session. */
type Step =
  | { readonly _tag: "send"; readonly event: object }
  | { readonly _tag: "wait"; readonly how: "speak" | "pause" | "pass"; readonly ms: number }
  /** Names an item or response that the server has made. */
  | {
      readonly _tag: "name"
      readonly kind: "truncate" | "delete" | "retrieve" | "cancel"
      readonly at: number
      readonly ms: number
    }

const message = { type: "message", role: "user", content: [{ type: "input_text", text: "Hi." }] }
const update = (input: object) => ({
  type: "session.update",
  session: { type: "realtime", audio: { input: { transcription: { model: "x" }, ...input } } },
})

const event: fc.Arbitrary<object> = fc.constantFrom<object>(
  { type: "response.create" },
  { type: "response.create" },
  { type: "response.create", response: { conversation: "none", metadata: { a: "b" } } },
  { type: "response.create", response: { output_modalities: ["text"] } },
  { type: "response.create", response: { input: [] } },
  { type: "response.create", response: { output_modalities: ["video"] } },
  { type: "response.cancel" },
  { type: "response.cancel", response_id: "unknown" },
  { type: "conversation.item.create", item: message },
  { type: "conversation.item.create", item: { ...message, id: "mine" } },
  { type: "conversation.item.create", item: message, previous_item_id: "unknown" },
  {
    type: "conversation.item.create",
    item: { type: "function_call_output", call_id: "call_1", output: "{}" },
  },
  { type: "conversation.item.delete", item_id: "mine" },
  { type: "input_audio_buffer.commit" },
  { type: "input_audio_buffer.clear" },
  { type: "input_audio_buffer.append", audio: "!" },
  { type: "unknown" },
  update({ turn_detection: null }),
  update({ turn_detection: { type: "server_vad" } }),
  update({ turn_detection: { type: "server_vad", interrupt_response: false } }),
  update({ turn_detection: { type: "server_vad", create_response: false } }),
  update({ turn_detection: { type: "server_vad", idle_timeout_ms: 5000 } }),
  update({ turn_detection: { type: "semantic_vad", eagerness: "high" } }),
  update({ format: { type: "audio/pcmu" } }),
)

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: event.map((sent): Step => ({ _tag: "send", event: sent })) },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("wait" as const),
      how: fc.constant("speak" as const),
      ms: fc.constantFrom(50, 300, 1500),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("wait" as const),
      how: fc.constant("pause" as const),
      ms: fc.constantFrom(200, 700),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("wait" as const),
      how: fc.constant("pass" as const),
      ms: fc.constantFrom(100, 1500, 9000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      _tag: fc.constant("name" as const),
      kind: fc.constantFrom("truncate" as const, "delete" as const, "retrieve" as const, "cancel" as const),
      at: fc.nat(5),
      ms: fc.constantFrom(0, 100, 100_000),
    }),
  },
)

const unusable = new ProviderUnusable({
  stage: "llm",
  reason: "scripted",
  retryable: false,
  retryAfter: Option.none(),
})
const round: fc.Arbitrary<FakeRound> = fc.constantFrom<FakeRound>(
  { chunks: [{ text: "Sure. " }] },
  {
    chunks: [
      { text: "One sentence is here now. ", afterMs: 800 },
      { text: "And it goes on for a while.", afterMs: 2000 },
    ],
  },
  { chunks: [{ text: "Cut" }], end: "length" },
  { fail: unusable },
  { chunks: [{ text: "It breaks off. " }], fail: unusable },
)

/** One terminal event a response, nothing of it after that, and nothing before its beginning. */
const checkResponses = (events: ReadonlyArray<ServerEvent>) => {
  const open = new Map<string, Set<string>>()
  const ended = new Set<string>()
  for (const each of events) {
    if (each.type === "response.created") {
      expect(open.has(each.response.id) || ended.has(each.response.id)).toBe(false)
      open.set(each.response.id, new Set())
    } else if (each.type === "response.done") {
      // Everything that was opened is closed.
      expect([...(open.get(each.response.id) ?? ["not created"])]).toEqual([])
      open.delete(each.response.id)
      ended.add(each.response.id)
      expect(each.response.output.every(({ status }) => status !== "in_progress")).toBe(true)
    } else if ("response_id" in each) {
      const parts = open.get(each.response_id)
      expect(parts).toBeDefined()
      if (each.type === "response.output_item.added") parts?.add(each.item.id)
      else if (each.type === "response.output_item.done") expect(parts?.delete(each.item.id)).toBe(true)
      else if ("item_id" in each) expect(parts?.has(each.item_id)).toBe(true)
    }
  }
  expect([...open.keys()]).toEqual([])
}

/** Every commit ends in one transcript or failure, unless its item was deleted. */
const checkTranscripts = (events: ReadonlyArray<ServerEvent>) => {
  const deleted = new Set(
    events.flatMap((each) => (each.type === "conversation.item.deleted" ? [each.item_id] : [])),
  )
  const timedOut = new Set(
    events.flatMap((each) => (each.type === "input_audio_buffer.timeout_triggered" ? [each.item_id] : [])),
  )
  const committed = events.flatMap((each) =>
    each.type === "input_audio_buffer.committed" ? [each.item_id] : [],
  )
  const ends = events.flatMap((each) =>
    each.type === "conversation.item.input_audio_transcription.completed" ||
    each.type === "conversation.item.input_audio_transcription.failed"
      ? [each.item_id]
      : [],
  )
  expect(new Set(ends).size).toBe(ends.length)
  for (const id of committed) {
    if (!deleted.has(id) && !timedOut.has(id)) expect(ends).toContain(id)
  }
}

/** The list that a client keeps by the events. */
const checkOrder = (events: ReadonlyArray<ServerEvent>) => {
  const list: Array<string> = []
  for (const each of events) {
    if (each.type === "conversation.item.added") {
      expect(list).not.toContain(each.item.id)
      const before = each.previous_item_id === null ? -1 : list.indexOf(each.previous_item_id)
      expect(each.previous_item_id === null || before >= 0).toBe(true)
      list.splice(before + 1, 0, each.item.id)
    }
    if (each.type === "conversation.item.deleted") list.splice(list.indexOf(each.item_id), 1)
  }
}

const run = (steps: ReadonlyArray<Step>, rounds: ReadonlyArray<FakeRound>, texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const session = yield* makeSession({
      thinks: rounds,
      speaks: [{ chunks: [{ bytes: new Uint8Array(48_000), afterMs: 100 }] }],
      transcripts: texts.map((text, at) => ({ text, afterMs: at % 2 === 0 ? 0 : 400 })),
    })
    yield* session.send(update({}))
    for (const each of steps) {
      if (each._tag === "send") yield* session.send(each.event)
      else if (each._tag === "wait") yield* session[each.how](each.ms)
      else {
        const items = session.of("conversation.item.added").map(({ item }) => item.id)
        const item_id = items.at(-1 - each.at) ?? "none"
        const named = {
          truncate: { type: "conversation.item.truncate", item_id, content_index: 0, audio_end_ms: each.ms },
          delete: { type: "conversation.item.delete", item_id },
          retrieve: { type: "conversation.item.retrieve", item_id },
          cancel: {
            type: "response.cancel",
            response_id: session.of("response.created").at(-1 - each.at)?.response.id,
          },
        }
        yield* session.send(named[each.kind])
      }
    }
    // Everything that runs comes to its end.
    yield* session.send(update({ turn_detection: null }))
    for (let at = 0; at < 5; at++) yield* session.pass(5000)
    checkResponses(session.events)
    checkTranscripts(session.events)
    checkOrder(session.events)
    expect(session.closed).toEqual([])
  }).pipe(Effect.scoped)

test("any messages and speech leave a consistent session", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      fc.array(round, { minLength: 1, maxLength: 4 }),
      fc.array(fc.constantFrom("", "Hello there.", "Mhm."), { minLength: 1, maxLength: 4 }),
      (steps, rounds, texts) =>
        Effect.runPromise(Effect.provide(run(steps, rounds, texts), TestContext.TestContext)),
    ),
    { seed: SEED, numRuns: 40 },
  )
}, 120_000)

import { expect, test } from "bun:test"
import { Effect, FastCheck as fc, Option, Supervisor, TestContext } from "effect"
import { ProviderUnusable } from "../../src/providers/errors.ts"
import type { FakeRound } from "../../src/providers/language-model.ts"
import {
  checkDeltas,
  checkErrors,
  checkInterruptions,
  checkKnown,
  checkOrder,
  checkResponses,
  checkTranscripts,
} from "../support/realtime-checks.ts"
import { makeSession } from "../support/realtime-session.ts"

/** Larger numbers, and other seeds, find more: `RUNS=1000 SEED=5 bun test …`. */
const SEED = Number(process.env.SEED ?? 24)
const RUNS = Number(process.env.RUNS ?? 40)

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

/** Illegal in every state of a session. */
const illegal: ReadonlyArray<object> = [
  { type: "response.create", response: { output_modalities: ["video"] } },
  { type: "response.cancel", response_id: "unknown" },
  { type: "conversation.item.create", item: message, previous_item_id: "unknown" },
  { type: "conversation.item.create", item: { ...message, role: "judge" } },
  { type: "conversation.item.retrieve", item_id: "unknown" },
  { type: "input_audio_buffer.append", audio: "!" },
  update({ turn_detection: { type: "server_vad", threshold: 2 } }),
  { type: "session.update", session: { type: "transcription" } },
  { type: "unknown" },
]

const event: fc.Arbitrary<object> = fc.constantFrom<object>(
  ...illegal,
  { type: "response.create" },
  { type: "response.create" },
  { type: "response.create", response: { conversation: "none", metadata: { a: "b" } } },
  { type: "response.create", response: { output_modalities: ["text"] } },
  { type: "response.create", response: { input: [] } },
  { type: "response.cancel" },
  { type: "conversation.item.create", item: message },
  { type: "conversation.item.create", item: { ...message, id: "mine" } },
  {
    type: "conversation.item.create",
    item: { type: "function_call_output", call_id: "call_1", output: "{}" },
  },
  { type: "conversation.item.delete", item_id: "mine" },
  { type: "input_audio_buffer.commit" },
  { type: "input_audio_buffer.clear" },
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
  {
    chunks: [{ text: "Let me look. " }],
    calls: [{ callId: "call_1", name: "weather", arguments: '{"city":"Paris"}' }],
    end: "tools",
  },
)

const tools = [{ type: "function", name: "weather", parameters: { type: "object", properties: {} } }]

const run = (steps: ReadonlyArray<Step>, rounds: ReadonlyArray<FakeRound>, texts: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fibers = yield* Supervisor.track
    const session = yield* Effect.supervised(
      makeSession({
        thinks: rounds,
        speaks: [{ chunks: [{ bytes: new Uint8Array(48_000), afterMs: 100 }] }],
        transcripts: texts.map((text, at) => ({ text, afterMs: at % 2 === 0 ? 0 : 400 })),
      }),
      fibers,
    )
    const sent = new Set<string>()
    const wrong = new Set<string>()
    const send = (event: object) => {
      const event_id = `client_${sent.size}`
      sent.add(event_id)
      if (illegal.includes(event)) wrong.add(event_id)
      return session.send({ ...event, event_id })
    }
    yield* send({ type: "session.update", session: { ...update({}).session, tools } })
    // Ends the fiber that warns of a clock that stands still.
    yield* session.pass(0)
    const idle = (yield* fibers.value).length
    for (const each of steps) {
      if (each._tag === "send") yield* send(each.event)
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
        yield* send(named[each.kind])
      }
    }
    // Everything that runs comes to its end.
    yield* send(update({ turn_detection: null }))
    yield* send({ type: "input_audio_buffer.clear" })
    for (let at = 0; at < 5; at++) yield* session.pass(5000)
    checkResponses(session.events)
    checkTranscripts(session.events)
    checkOrder(session.events)
    checkDeltas(session.events)
    checkKnown(session.events)
    checkInterruptions(session.events)
    checkErrors(session.events, sent, wrong)
    expect(session.closed).toEqual([])
    // No fiber is left of it. A timer is a fiber, too.
    expect(yield* fibers.value).toHaveLength(idle)
    return fibers
  }).pipe(
    Effect.scoped,
    Effect.flatMap((fibers) => fibers.value),
    Effect.map((left) => expect(left).toEqual([])),
  )

test("any messages and speech leave a consistent session", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 14 }),
      fc.array(round, { minLength: 1, maxLength: 4 }),
      fc.array(fc.constantFrom("", "Hello there.", "Mhm."), { minLength: 1, maxLength: 4 }),
      (steps, rounds, texts) =>
        Effect.runPromise(Effect.provide(run(steps, rounds, texts), TestContext.TestContext)),
    ),
    { seed: SEED, numRuns: RUNS },
  )
}, 120_000)

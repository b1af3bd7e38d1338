import { describe, expect } from "bun:test"
import { Cause, Duration, Effect, Exit, Fiber, Option, Scope, Stream, TestClock } from "effect"
import { promptTokens } from "../../src/agent/prompt.ts"
import { pcm16k } from "../../src/audio/pcm.ts"
import { newItem } from "../../src/conversation/item.ts"
import type { DatabaseError } from "../../src/db/errors.ts"
import { ProviderRefusedRequest, timedOut, wrongAnswer } from "../../src/providers/errors.ts"
import { noTools } from "../../src/providers/tools.ts"
import { newId, TurnId } from "../../src/schema.ts"
import type { OutputOptions } from "../../src/turn/events.ts"
import { fromPcm, fromText } from "../../src/turn/input.ts"
import { replyOf } from "../../src/turn/state.ts"
import { finalTimings } from "../../src/turn/timings.ts"
import { effectTest } from "../support/effect.ts"
import {
  converse,
  type FakeScript,
  loud,
  makeFakeTurns,
  requestOf,
  sentences,
  streamed,
  tenth,
  textOf,
  whole,
} from "../support/fake-turns.ts"

const reply = `${sentences.join(" ")} `
const chunks = sentences.map((text) => ({ text: `${text} ` }))
const speech = { chunks: [{ bytes: tenth }] }

/** A turn whose client stays to its end. */
const run = Effect.fnUntraced(function* (script: FakeScript, request = requestOf()) {
  const fakes = yield* makeFakeTurns(script)
  const call = yield* converse(fakes.turns, request)
  yield* TestClock.adjust("10 seconds")
  yield* TestClock.adjust("1 minute")
  const exit = yield* Effect.flatten(Fiber.join(call.end)).pipe(Effect.exit)
  yield* call.leave
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  return { ...fakes, ...call, exit, failure }
})

describe("a turn", () => {
  effectTest(
    "is heard, answered, spoken and saved, in this order",
    Effect.gen(function* () {
      const { tags, saved, text, audioBytes, failure } = yield* run({}, requestOf({ input: loud }))
      expect(failure).toBeUndefined()
      expect(tags()[0]).toBe("Started")
      expect(tags()[1]).toBe("Heard")
      expect(tags().at(-1)).toBe("Completed")
      expect(tags().indexOf("TextDelta")).toBeLessThan(tags().indexOf("Audio"))
      expect(text()).toBe(reply)
      expect(audioBytes()).toBe(3 * tenth.length)
      expect(saved).toHaveLength(1)
      expect(saved[0]).toMatchObject({ state: "completed", transcript: "Hello.", response: reply })
      expect(saved[0]?.items.map(textOf)).toEqual(["Hello.", reply])
      expect(saved[0]?.items[1]).toMatchObject({ heardMs: 300, interrupted: false })
    }),
  )

  effectTest(
    "passes the agent to every stage, and the history to the model",
    Effect.gen(function* () {
      const earlier = { turnId: newId(TurnId), createdAt: new Date(0) }
      const history = [
        { ...earlier, ...newItem({ type: "message", role: "user", text: "Hi" }) },
        { ...earlier, ...newItem({ type: "message", role: "assistant", text: "Hello" }) },
      ]
      const { heardSpeech, prompts, spoken } = yield* run({ history }, requestOf({ input: loud }))
      expect(heardSpeech[0]).toMatchObject({ model: "ears", language: Option.some("en") })
      expect(prompts[0]).toMatchObject({
        model: "brain",
        temperature: Option.some(0.5),
        maxTokens: Option.some(50),
      })
      expect(prompts[0]?.prompt).toEqual({
        instructions: "Be brief.",
        messages: [
          { role: "user", content: "Hi" },
          { role: "assistant", content: "Hello" },
          { role: "user", content: "Hello." },
        ],
        ...noTools,
      })
      expect(spoken.map(({ text, voice }) => `${voice}: ${text}`)).toEqual(
        sentences.map((text) => `calm: ${text}`),
      )
    }),
  )

  effectTest(
    "counts its time from its events",
    Effect.gen(function* () {
      const { turn } = yield* run(
        {
          hears: [{ afterMs: 600 }],
          thinks: [{ chunks: chunks.map((chunk) => ({ ...chunk, afterMs: 350 })) }],
          speaks: [{ chunks: [{ afterMs: 400, bytes: tenth }] }],
        },
        requestOf({ input: loud }),
      )
      expect(finalTimings(turn.state())).toMatchObject({ upload: 3, stt: 600, llmTtft: 350, ttsTtfb: 400 })
      // The first sentence is whole with the first token, and its speech needs 400 ms.
      expect(finalTimings(turn.state())).toMatchObject({ firstAudio: 1350, total: 2050 })
    }),
  )

  effectTest(
    "of silence, or with an empty transcript, is refused, and the model is not asked",
    Effect.gen(function* () {
      const { failure, prompts, failed } = yield* run({ hears: [{ text: "" }] }, requestOf({ input: loud }))
      expect(failure).toMatchObject({ _tag: "NoSpeechDetected" })
      expect(prompts).toEqual([])
      expect(failed[0]?.usage).toMatchObject({ audioSeconds: 1, inputTokens: 0 })
    }),
  )

  effectTest(
    "of a remark without words is refused, and the model is not asked",
    Effect.gen(function* () {
      const { failure, prompts } = yield* run(
        { hears: [{ text: "[BLANK_AUDIO]" }] },
        requestOf({ input: loud }),
      )
      expect(failure).toMatchObject({ _tag: "NoSpeechDetected" })
      expect(prompts).toEqual([])
    }),
  )

  effectTest(
    "of less than 0.1 s of speech is refused, and nobody is asked",
    Effect.gen(function* () {
      const input = fromPcm(pcm16k(new Uint8Array(3198).fill(60)))
      const { failure, heardSpeech } = yield* run({}, requestOf({ input }))
      expect(failure).toMatchObject({ _tag: "AudioTooShort", minSeconds: 0.1 })
      expect(heardSpeech).toEqual([])
    }),
  )

  effectTest(
    "without speech sends its text, and hears nothing of the synthesizer",
    Effect.gen(function* () {
      const { tags, spoken, saved } = yield* run({}, requestOf({ output: { ...streamed, format: "none" } }))
      expect(spoken).toEqual([])
      expect(tags()).not.toContain("Audio")
      expect(saved[0]).toMatchObject({ state: "completed", speechFormat: "none" })
      expect(saved[0]?.items[1]).toMatchObject({ heardMs: null })
    }),
  )

  effectTest(
    "keeps its speech where a retry may ask for it, and only there",
    Effect.gen(function* () {
      const keyed = yield* run({}, requestOf({ key: "k" }))
      expect(keyed.saved[0]?.speech.pipe(Option.map(({ length }) => length))).toEqual(
        Option.some(3 * tenth.length),
      )
      const other = yield* run({})
      expect(other.saved[0]?.speech).toEqual(Option.none())
    }),
  )
})

describe("a model round", () => {
  const broken = wrongAnswer("llm", "the stream ended without its end mark")

  effectTest(
    "that fails before its client got anything is tried again, and its cost counts",
    Effect.gen(function* () {
      const { saved, prompts, text } = yield* run({
        thinks: [
          { chunks: [], fail: broken },
          { chunks, usage: { inputTokens: 7, outputTokens: 9 } },
        ],
      })
      expect(prompts).toHaveLength(2)
      expect(text()).toBe(reply)
      expect(saved[0]).toMatchObject({ state: "completed", response: reply })
      // The model of the first try may have read its prompt.
      const [first] = prompts
      const unanswered = first === undefined ? Number.NaN : promptTokens(first.prompt)
      expect(saved[0]?.usage).toMatchObject({ inputTokens: 7 + unanswered, outputTokens: 9 })
    }),
  )

  effectTest(
    "that fails after some of it was sent is not tried again: what was heard is saved",
    Effect.gen(function* () {
      const { failure, prompts, saved, audioBytes } = yield* run({
        thinks: [{ chunks: chunks.slice(0, 2), fail: broken }],
      })
      expect(failure).toMatchObject({ _tag: "ProviderUnusable", stage: "llm" })
      expect(prompts).toHaveLength(1)
      expect(audioBytes()).toBe(2 * tenth.length)
      expect(saved[0]).toMatchObject({ state: "interrupted", response: `${sentences[0]} ${sentences[1]} ` })
      expect(saved[0]?.items.map(textOf)[1]).toBe(`${sentences[0]} ${sentences[1]}`)
      expect(saved[0]?.items[1]).toMatchObject({ interrupted: true, heardMs: 200 })
    }),
  )

  effectTest(
    "whose client gets all at the end is tried again after audio too, and nothing of the first try is left",
    Effect.gen(function* () {
      const { saved, turn, prompts, tags } = yield* run(
        { thinks: [{ chunks: [{ text: "This is a first try of it. " }], fail: broken }, { chunks }] },
        requestOf({ output: whole }),
      )
      expect(prompts).toHaveLength(2)
      expect(tags()).toEqual(["Started", "Heard", "Completed"])
      expect(replyOf(turn.state())).toBe(reply)
      expect(turn.state().audioMs).toBe(300)
      expect(saved[0]).toMatchObject({ response: reply })
      // Both tries are paid for.
      expect(saved[0]?.usage.outputTokens).toBeGreaterThan(Math.ceil(reply.length / 4))
    }),
  )

  effectTest(
    "that is refused is not tried again",
    Effect.gen(function* () {
      const refused = new ProviderRefusedRequest({ stage: "llm", message: "no" })
      const { failure, prompts, failed } = yield* run({ thinks: [{ fail: refused }] })
      expect(failure).toMatchObject({ _tag: "ProviderRefusedRequest" })
      expect(prompts).toHaveLength(1)
      expect(failed).toHaveLength(1)
    }),
  )
})

describe("the deadline", () => {
  effectTest(
    "ends a turn without output, as the stage that runs, and counts what it cost",
    Effect.gen(function* () {
      const { failure, failed } = yield* run(
        { thinks: [{ chunks: [{ afterMs: 600_000, text: "late" }] }] },
        requestOf({ input: loud }),
      )
      expect(failure).toMatchObject({ ...timedOut("llm", Duration.seconds(60)) })
      expect(failed[0]?.usage.audioSeconds).toBe(1)
    }),
  )

  effectTest(
    "leaves a turn alone that has output",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({
        speaks: [speech, { chunks: [{ afterMs: 90_000, bytes: tenth }] }],
      })
      const call = yield* converse(fakes.turns, requestOf())
      yield* TestClock.adjust("70 seconds")
      expect(yield* Fiber.poll(call.end)).toEqual(Option.none())
      yield* TestClock.adjust("100 seconds")
      yield* Fiber.join(call.end)
      expect(fakes.saved[0]).toMatchObject({ state: "completed" })
    }),
  )
})

describe("the time of a turn", () => {
  const late = { chunks: [{ afterMs: 600_000, text: "late" }] }
  const broken = wrongAnswer("llm", "the stream ended without its end mark")

  effectTest(
    "includes the wait for another turn with its key",
    Effect.gen(function* () {
      const { turns } = yield* makeFakeTurns({ claimMs: 40_000, thinks: [late] })
      const reading = yield* Effect.fork(Effect.exit(Stream.runDrain(turns.take(requestOf({ key: "k" })))))
      yield* TestClock.adjust("59 seconds")
      expect(yield* Fiber.poll(reading)).toEqual(Option.none())
      yield* TestClock.adjust("1 second")
      expect(Exit.isFailure(yield* Fiber.join(reading))).toBe(true)
    }),
  )

  for (const format of ["pcm", "none"] as const) {
    const output = { ...whole, format }
    effectTest(
      `ends a second try without output: ${format}`,
      Effect.gen(function* () {
        const { turns } = yield* makeFakeTurns({
          thinks: [{ chunks: chunks.slice(0, 1), fail: broken }, late],
        })
        const call = yield* converse(turns, requestOf({ output }))
        yield* TestClock.adjust("5 seconds")
        yield* TestClock.adjust("55 seconds")
        const exit = yield* Fiber.join(call.end)
        const failure = Exit.isFailure(exit)
          ? Option.getOrUndefined(Cause.failureOption(exit.cause))
          : undefined
        expect(failure).toMatchObject({ ...timedOut("llm", Duration.seconds(60)) })
        yield* call.leave
      }),
    )

    effectTest(
      `allows no further try after it: ${format}`,
      Effect.gen(function* () {
        const slow = [...chunks.slice(0, 1), { afterMs: 70_000, text: "And more. " }]
        const { turns, prompts } = yield* makeFakeTurns({
          thinks: [{ chunks: slow, fail: broken }, { chunks }],
        })
        const call = yield* converse(turns, requestOf({ output }))
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("80 seconds")
        const exit = yield* Fiber.join(call.end)
        const failure = Exit.isFailure(exit)
          ? Option.getOrUndefined(Cause.failureOption(exit.cause))
          : undefined
        expect(failure).toMatchObject({ ...broken })
        expect(prompts).toHaveLength(1)
        yield* call.leave
      }),
    )
  }
})

describe("the end of a turn that is cut short", () => {
  /** The second segment's speech never comes. */
  const stuck = [speech, { chunks: [{ afterMs: Number.POSITIVE_INFINITY, bytes: tenth }] }]

  effectTest(
    "by its client: what was delivered is saved, up to the last whole segment",
    Effect.gen(function* () {
      const { turns, saved, failed } = yield* makeFakeTurns({ speaks: stuck })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      expect(call.audioBytes()).toBe(tenth.length)
      yield* call.leave
      expect(saved[0]).toMatchObject({ state: "interrupted", response: reply })
      expect(saved[0]?.items.map(textOf)).toEqual(["What is the weather?", sentences[0] ?? ""])
      expect(failed).toEqual([])
    }),
  )

  effectTest(
    "by a client that got nothing: only the cost is saved",
    Effect.gen(function* () {
      const { turns, saved, failed } = yield* makeFakeTurns({
        thinks: [{ chunks: [{ text: "One " }, { afterMs: 60_000, text: "two" }] }],
      })
      const call = yield* converse(turns, requestOf({ input: loud }))
      yield* TestClock.adjust("100 millis")
      yield* call.leave
      expect(saved).toEqual([])
      expect(failed[0]?.usage).toMatchObject({ audioSeconds: 1, outputTokens: 1 })
    }),
  )

  effectTest(
    "by an interruption: what was played is saved, then the events end",
    Effect.gen(function* () {
      const { turns, saved } = yield* makeFakeTurns({
        speaks: [speech, speech, { chunks: [{ afterMs: Number.POSITIVE_INFINITY, bytes: tenth }] }],
      })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      expect(call.audioBytes()).toBe(2 * tenth.length)
      yield* call.turn.interrupt({ playedMs: 100 })
      expect(saved[0]?.items[1]).toMatchObject({ interrupted: true, heardMs: 100 })
      expect(saved[0]?.items.map(textOf)[1]).toBe(sentences[0] ?? "")
      yield* Fiber.join(call.end)
      expect(call.tags().filter((tag) => tag === "Interrupted" || tag === "Completed")).toEqual([
        "Interrupted",
      ])
      expect(call.tags().at(-1)).toBe("Interrupted")
      yield* call.leave
      expect(saved).toHaveLength(1)
    }),
  )

  effectTest(
    "by an interruption before any audio: what the user said is saved, and a reply of which nothing was heard",
    Effect.gen(function* () {
      const { turns, saved, failed } = yield* makeFakeTurns({
        speaks: [{ chunks: [{ afterMs: Number.POSITIVE_INFINITY, bytes: tenth }] }],
      })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      yield* call.turn.interrupt({ playedMs: 0 })
      expect(saved.map(({ items }) => items.map(textOf))).toEqual([["What is the weather?", ""]])
      expect(saved[0]?.items[1]).toMatchObject({ interrupted: true, heardMs: 0 })
      expect(failed).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "by an interruption while the database is away: the events fail",
    Effect.gen(function* () {
      const { turns, saved } = yield* makeFakeTurns({ speaks: stuck, savesThatFail: 9 })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.fork(call.turn.interrupt({ playedMs: 100 }))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(interrupting)
      expect(Exit.isFailure(yield* Fiber.join(call.end))).toBe(true)
      expect(call.tags()).not.toContain("Interrupted")
      yield* TestClock.adjust("5 seconds")
      expect(saved.map(({ state }) => state)).toEqual(["interrupted"])
      yield* call.leave
    }),
  )

  effectTest(
    "by an interruption whose caller reads no further: it returns all the same",
    Effect.gen(function* () {
      const { turns, saved } = yield* makeFakeTurns({
        thinks: [{ chunks: Array.from({ length: 40 }, () => ({ text: "word " })) }],
        speaks: stuck,
      })
      const scope = yield* Scope.make()
      const turn = yield* Scope.extend(turns.begin(requestOf()), scope)
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.fork(turn.interrupt({ playedMs: 100 }))
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.poll(interrupting)).toMatchObject({ _tag: "Some" })
      expect(saved).toHaveLength(1)
      yield* Scope.close(scope, Exit.void)
    }),
  )

  effectTest(
    "by an interruption after all of it was played: nothing is shortened",
    Effect.gen(function* () {
      const code = "```js\nlet a = 1\n```"
      const { turns, saved, truncated } = yield* makeFakeTurns({
        thinks: [{ chunks: [{ text: `${sentences[0]}\n${code}\n` }] }],
      })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call.end)
      expect(saved[0]?.response).toContain(code)
      yield* call.turn.interrupt({ playedMs: 100 })
      expect(truncated).toEqual([])
      yield* call.leave
    }),
  )

  effectTest(
    "by an interruption during the save: the saved reply is shortened, and the turn ends once",
    Effect.gen(function* () {
      const { turns, saved, truncated } = yield* makeFakeTurns({ saveMs: 500 })
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("100 millis")
      const interrupting = yield* Effect.fork(call.turn.interrupt({ playedMs: 100 }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      yield* Fiber.join(call.end)
      expect(saved.map(({ state }) => state)).toEqual(["completed"])
      expect(truncated).toEqual([{ text: sentences[0] ?? "", ms: 100, interrupted: true }])
      expect(call.tags().filter((tag) => tag === "Interrupted" || tag === "Completed")).toEqual(["Completed"])
      yield* call.leave
    }),
  )

  /** A turn whose save begins at 0 ms and ends at 500 ms, and what ends it at 100 ms. */
  const duringSave = Effect.fnUntraced(function* (
    output: OutputOptions,
    end: (call: Effect.Effect.Success<ReturnType<typeof converse>>) => Effect.Effect<unknown, DatabaseError>,
    script: FakeScript = {},
  ) {
    const fakes = yield* makeFakeTurns({ saveMs: 500, ...script })
    const call = yield* converse(fakes.turns, requestOf({ output }))
    yield* TestClock.adjust("100 millis")
    const ending = yield* Effect.fork(end(call))
    yield* TestClock.adjust("1 second")
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(ending)
    const exit = yield* Fiber.join(call.end)
    yield* call.leave
    const terminal = call.tags().filter((tag) => tag === "Completed" || tag === "Interrupted")
    return { ...fakes, terminal, exit }
  })

  for (const [name, output] of [
    ["streamed", streamed],
    ["whole", whole],
    ["text", { ...whole, format: "none" }],
  ] as const) {
    effectTest(
      `by an interruption during the save of a ${name} reply: it is complete, and shortened to what was played`,
      Effect.gen(function* () {
        for (const [playedMs, count] of [
          [0, 0],
          [100, 1],
          [1000, 3],
        ] as const) {
          const { saved, failed, truncated, terminal } = yield* duringSave(output, ({ turn }) =>
            turn.interrupt({ playedMs }),
          )
          expect(saved.map(({ state }) => state)).toEqual(["completed"])
          expect(failed).toEqual([])
          expect(terminal).toEqual(["Completed"])
          const heard = output.format === "none" ? 3 : count
          expect(truncated.map(({ text }) => text)).toEqual(
            heard === 3 ? [] : [sentences.slice(0, heard).join(" ")],
          )
        }
      }),
    )

    effectTest(
      `by a client that leaves during the save of a ${name} reply: it is complete, and saved once`,
      Effect.gen(function* () {
        const { saved, failed, truncated } = yield* duringSave(output, ({ leave }) => leave)
        expect(saved.map(({ state }) => state)).toEqual(["completed"])
        expect({ failed, truncated }).toEqual({ failed: [], truncated: [] })
      }),
    )

    effectTest(
      `by an interruption of a ${name} reply whose save gets no answer: it ends as interrupted`,
      Effect.gen(function* () {
        const { saved, failed, truncated, terminal } = yield* duringSave(
          output,
          ({ turn }) => turn.interrupt({ playedMs: 100 }),
          { answersThatAreLost: 1 },
        )
        expect(saved.map(({ state }) => state)).toEqual(["completed"])
        expect(failed).toEqual([])
        expect(terminal).toEqual(["Interrupted"])
        expect(truncated.map(({ text }) => text)).toEqual(
          output.format === "none" ? [] : [sentences[0] ?? ""],
        )
      }),
    )
  }

  effectTest(
    "by a client that leaves while the save of a whole reply gets no answer: nothing was heard",
    Effect.gen(function* () {
      const { saved, failed, truncated } = yield* duringSave(whole, ({ leave }) => leave, {
        answersThatAreLost: 1,
      })
      expect(saved.map(({ state }) => state)).toEqual(["completed"])
      expect(failed).toEqual([])
      expect(truncated).toEqual([{ text: "", ms: 0, interrupted: true }])
    }),
  )

  effectTest(
    "by a save without an answer: the client gets an error, and the reply stays whole for a retry",
    Effect.gen(function* () {
      const { saved, truncated, exit } = yield* duringSave(whole, () => Effect.void, {
        answersThatAreLost: 1,
      })
      expect(Exit.isFailure(exit)).toBe(true)
      expect(saved.map(({ state }) => state)).toEqual(["completed"])
      expect(truncated).toEqual([])
    }),
  )

  effectTest(
    "by an interruption after it was saved: the saved reply is shortened",
    Effect.gen(function* () {
      const { turns, saved, truncated } = yield* makeFakeTurns()
      const call = yield* converse(turns, requestOf())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call.end)
      expect(saved[0]).toMatchObject({ state: "completed" })
      yield* call.turn.interrupt({ playedMs: 200 })
      expect(truncated).toEqual([{ text: `${sentences[0]} ${sentences[1]}`, ms: 200, interrupted: true }])
      yield* call.turn.interrupt({ playedMs: 300 })
      expect(truncated.slice(1)).toEqual([{ text: saved[0]?.response ?? "", ms: 300, interrupted: false }])
    }),
  )

  effectTest(
    "while the database is away: the client hears of it, and the end is saved once it is back",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({ savesThatFail: 4 })
      const call = yield* converse(fakes.turns, requestOf())
      const ended = yield* Effect.fork(Fiber.join(call.end))
      yield* TestClock.adjust("1 millis")
      const exit = yield* Fiber.join(ended)
      expect(Exit.isFailure(exit)).toBe(true)
      expect(call.tags()).not.toContain("Completed")
      expect(fakes.saved).toEqual([])
      yield* TestClock.adjust("5 seconds")
      expect(fakes.saved).toHaveLength(1)
      expect(fakes.saved[0]).toMatchObject({ state: "interrupted" })
      expect(fakes.saved[0]?.items.map(textOf)[1]).toBe(sentences.join(" "))
      yield* call.leave
    }),
  )
})

describe("the queue of the session", () => {
  effectTest(
    "is left when the turn is saved, though its client reads no further",
    Effect.gen(function* () {
      const { turns, saved, left } = yield* makeFakeTurns({ saveMs: 500 })
      const request = requestOf()
      yield* turns.begin(request)
      yield* TestClock.adjust("400 millis")
      expect(left).toEqual([])
      yield* TestClock.adjust("100 millis")
      expect(saved).toHaveLength(1)
      expect(left).toEqual([request.turnId])
    }),
  )

  effectTest(
    "is left when the end of a failed turn is saved, and not before",
    Effect.gen(function* () {
      const { turns, saved, left } = yield* makeFakeTurns({ savesThatFail: 4 })
      const request = requestOf()
      const call = yield* converse(turns, request)
      yield* TestClock.adjust("1 second")
      expect({ saved, left }).toEqual({ saved: [], left: [] })
      yield* TestClock.adjust("5 seconds")
      expect(saved).toHaveLength(1)
      expect(left).toEqual([request.turnId])
      yield* call.leave
    }),
  )
})

effectTest(
  "a client that reads no further cannot keep a turn that is saved",
  Effect.gen(function* () {
    const eight = { chunks: Array.from({ length: 8 }, () => ({ bytes: tenth })) }
    const { turns, saved } = yield* makeFakeTurns({
      speaks: [speech, { chunks: [{ afterMs: 100, bytes: tenth }, ...eight.chunks.slice(1)] }, eight],
    })
    const scope = yield* Scope.make()
    const turn = yield* Scope.extend(turns.begin(requestOf()), scope)
    const pull = yield* Scope.extend(Stream.toPull(turn.events), scope)
    yield* TestClock.adjust("10 millis")
    yield* pull
    expect(turn.state().audioMs).toBe(100)
    // As many events wait as may wait, and then the last one.
    yield* TestClock.adjust("1 second")
    expect(saved.map(({ state }) => state)).toEqual(["completed"])
    const leaving = yield* Effect.fork(Scope.close(scope, Exit.void))
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.poll(leaving)).toEqual(Option.some(Exit.void))
  }),
)

describe("every turn ends exactly once", () => {
  const failures = [
    undefined,
    wrongAnswer("llm", "broken"),
    new ProviderRefusedRequest({ stage: "tts", message: "no" }),
  ]
  const waits = [0, 300]

  /** All combinations of where a provider fails or is late, and of when the client leaves. */
  const scripts = failures.flatMap((llm) =>
    failures.flatMap((tts) =>
      waits.flatMap((afterMs) =>
        [whole, streamed].map((output) => ({ llm, tts, afterMs, output, input: fromText("Hi") })),
      ),
    ),
  )

  effectTest(
    "with one terminal event or a failure, and with one row",
    Effect.forEach(scripts, ({ llm, tts, afterMs, output, input }) =>
      Effect.gen(function* () {
        const { turns, saved, failed } = yield* makeFakeTurns({
          thinks: [{ chunks: chunks.map((chunk) => ({ ...chunk, afterMs })), ...(llm && { fail: llm }) }],
          speaks: [speech, { ...speech, ...(tts && { fail: tts }) }],
        })
        const call = yield* converse(turns, requestOf({ output, input }))
        yield* TestClock.adjust("1 second")
        yield* TestClock.adjust("5 minutes")
        const exit = yield* Fiber.join(call.end)
        yield* call.leave
        const terminal = call.tags().filter((tag) => tag === "Completed" || tag === "Interrupted")
        expect(terminal.length + (Exit.isFailure(exit) ? 1 : 0)).toBe(1)
        if (terminal.length > 0) expect(call.tags().at(-1)).toBe(terminal[0])
        expect(saved.length + failed.length).toBe(1)
        expect(saved.some(({ state }) => state === "completed")).toBe(terminal.length === 1)
      }),
    ),
  )

  effectTest(
    "whenever the client leaves",
    Effect.forEach(
      Array.from({ length: 25 }, (_, n) => n * 53),
      (leaveAfterMs) =>
        Effect.gen(function* () {
          const { turns, saved, failed } = yield* makeFakeTurns({
            thinks: [{ chunks: chunks.map((chunk) => ({ ...chunk, afterMs: 200 })) }],
            speaks: [
              {
                chunks: [
                  { afterMs: 150, bytes: tenth },
                  { afterMs: 150, bytes: tenth },
                ],
              },
            ],
          })
          const call = yield* converse(turns, requestOf())
          yield* TestClock.adjust(leaveAfterMs)
          yield* call.leave
          expect(saved.length + failed.length).toBe(1)
          // Saved where any of the audio was delivered.
          expect(saved.length).toBe(call.audioBytes() > 0 ? 1 : 0)
        }),
    ),
  )
})

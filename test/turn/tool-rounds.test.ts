import { describe, expect } from "bun:test"
import {
  Cause,
  Duration,
  Effect,
  Exit,
  Fiber,
  FiberRef,
  HashMap,
  HashSet,
  Logger,
  LogLevel,
  Option,
  TestClock,
} from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { noTools } from "../../src/providers/tools.ts"
import { newId, TurnId } from "../../src/schema.ts"
import type { RunnableTool, ToolAnswer, ToolInvocation } from "../../src/tools/runnable.ts"
import { fromResults } from "../../src/turn/input.ts"
import type { TurnRequest } from "../../src/turn/request.ts"
import { clientCalls, replyOf } from "../../src/turn/state.ts"
import { effectTest } from "../support/effect.ts"
import {
  agent,
  converse,
  type FakeScript,
  loud,
  makeFakeTurns,
  requestOf,
  streamed,
  tenth,
  whole,
} from "../support/fake-turns.ts"

const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
}

/** A tool that answers after `afterMs`, and what it was called with. */
const makeTool = (
  options: { readonly name?: string; readonly afterMs?: number; readonly timeoutMs?: number } = {},
  answer: Effect.Effect<ToolAnswer> = Effect.succeed({ output: "Sunny, 20 degrees.", isError: false }),
) => {
  const invocations: Array<ToolInvocation> = []
  let interrupted = 0
  const tool: RunnableTool = {
    tool: { name: options.name ?? "weather", description: Option.none(), parameters },
    isIdempotent: false,
    timeout: Duration.millis(options.timeoutMs ?? 60_000),
    run: (invocation) =>
      Effect.suspend(() => {
        invocations.push(invocation)
        return Effect.delay(answer, options.afterMs ?? 0)
      }).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            interrupted += 1
          }),
        ),
      ),
  }
  return { tool, invocations, interrupted: () => interrupted }
}

const withTools = (
  tools: ReadonlyArray<RunnableTool>,
  options: Parameters<typeof requestOf>[0] & { readonly acting?: Partial<typeof agent.acting> } = {},
): TurnRequest => ({
  ...requestOf(options),
  agent: (own) => ({ ...own, acting: { ...own.acting, tools, ...options.acting } }),
})

const oslo = { callId: "call_1", name: "weather", arguments: '{"city":"Oslo"}' }
const rome = { callId: "call_2", name: "weather", arguments: '{"city":"Rome"}' }
const words = "Let me look that up."
const answer = "It is sunny in Oslo."
const asked = { thinks: [{ chunks: [{ text: words }], calls: [oslo] }, { chunks: [{ text: answer }] }] }

/** A turn whose client stays to its end. */
const run = Effect.fnUntraced(function* (script: FakeScript, request: TurnRequest) {
  const fakes = yield* makeFakeTurns(script)
  const call = yield* converse(fakes.turns, request)
  yield* TestClock.adjust("5 minutes")
  const exit = yield* Effect.flatten(Fiber.join(call.end)).pipe(Effect.exit)
  yield* call.leave
  const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
  return { ...fakes, ...call, failure }
})

const shown = (items: ReadonlyArray<Pick<ReturnType<typeof newItem>, "payload">> = []) =>
  items.map(({ payload }) => {
    switch (payload.type) {
      case "message":
        return `${payload.role}: ${payload.text}`
      case "tool_call":
        return `call ${payload.callId} ${payload.arguments}`
      case "tool_result":
        return `result ${payload.callId}: ${payload.output}`
      default:
        return payload.type
    }
  })
const call = (one: typeof oslo) => `call ${one.callId} ${one.arguments}`
const result = (one: typeof oslo, output = "Sunny, 20 degrees.") => `result ${one.callId}: ${output}`
const question = "user: What is the weather?"

describe("a turn with a tool of the service", () => {
  effectTest(
    "goes on with the result, and saves both rounds in order",
    Effect.gen(function* () {
      const tool = makeTool({ afterMs: 300 })
      const { failure, tags, saved, prompts, turn, recorded, results, text } = yield* run(
        asked,
        withTools([tool.tool]),
      )
      expect(failure).toBeUndefined()
      expect(tags()).toEqual([
        "Started",
        "Heard",
        "TextDelta",
        "ToolCalled",
        "Audio",
        "ToolReturned",
        "RoundStarted",
        "TextDelta",
        "Audio",
        "Completed",
      ])
      const { turnId } = saved.map(({ id }) => ({ turnId: id }))[0] ?? {}
      expect(tool.invocations).toMatchObject([{ callId: "call_1", arguments: { city: "Oslo" }, turnId }])
      expect(saved).toHaveLength(1)
      expect(shown(saved[0]?.items)).toEqual([
        question,
        `assistant: ${words}`,
        call(oslo),
        result(oslo),
        `assistant: ${answer}`,
      ])
      expect(saved[0]?.items.map(({ heardMs, interrupted }) => [heardMs, interrupted])).toEqual([
        [null, false],
        [100, false],
        [null, false],
        [null, false],
        [100, false],
      ])
      expect(saved[0]).toMatchObject({ state: "completed", response: `${words} ${answer}` })
      expect(text()).toBe(words + answer)
      // The model sees what it wrote and called, and what came back.
      expect(prompts.map(({ prompt }) => prompt.messages.slice(1))).toEqual([
        [],
        [
          { role: "assistant", content: words, toolCalls: [oslo] },
          { role: "tool", callId: "call_1", content: "Sunny, 20 degrees." },
        ],
      ])
      // The call's row comes before the call, with the key that the tool gets.
      expect(recorded).toMatchObject([
        { round: 0, text: words, transcript: Option.some("What is the weather?"), calls: [oslo] },
      ])
      const keys = recorded[0]?.calls.map(({ itemId }) => itemId) ?? []
      const [key] = keys
      expect(tool.invocations.map(({ idempotencyKey }) => idempotencyKey)).toEqual(keys)
      expect([...results.keys()]).toEqual(keys)
      expect(saved[0]?.items[2]?.id).toBe(key)
      expect(turn.state()).toMatchObject({ toolsMs: 300 })
    }),
  )

  effectTest(
    "sums the usage of its rounds",
    Effect.gen(function* () {
      const usage = { inputTokens: 10, outputTokens: 5 }
      const { saved } = yield* run(
        { thinks: asked.thinks.map((round) => ({ ...round, usage })) },
        withTools([makeTool().tool]),
      )
      expect(saved[0]?.usage).toMatchObject({ inputTokens: 20, outputTokens: 10 })
    }),
  )

  effectTest(
    "works in each output",
    Effect.gen(function* () {
      for (const output of [whole, { ...streamed, format: "none" as const }]) {
        const { failure, saved, turn } = yield* run(asked, withTools([makeTool().tool], { output }))
        expect(failure).toBeUndefined()
        expect(shown(saved[0]?.items)).toHaveLength(5)
        expect(replyOf(turn.state())).toBe(`${words} ${answer}`)
        expect(turn.state().audioMs).toBe(output.format === "none" ? 0 : 200)
      }
    }),
  )

  effectTest(
    "runs the calls of a round side by side",
    Effect.gen(function* () {
      const tool = makeTool({ afterMs: 1000 })
      const { saved, turn } = yield* run(
        { thinks: [{ calls: [oslo, rome] }, { chunks: [{ text: answer }] }] },
        withTools([tool.tool]),
      )
      expect(shown(saved[0]?.items)).toEqual([
        question,
        call(oslo),
        call(rome),
        result(oslo),
        result(rome),
        `assistant: ${answer}`,
      ])
      expect(turn.state().toolsMs).toBe(1000)
    }),
  )

  effectTest(
    "runs several rounds, and offers no tools in the last one",
    Effect.gen(function* () {
      const tool = makeTool()
      const script: FakeScript = {
        thinks: [
          { calls: [oslo] },
          { calls: [rome] },
          { calls: [{ ...rome, callId: "call_3" }], chunks: [{ text: answer }] },
        ],
      }
      const { saved, prompts, failure } = yield* run(
        script,
        withTools([tool.tool], { acting: { maxRounds: 3 } }),
      )
      expect(failure).toBeUndefined()
      expect(tool.invocations).toHaveLength(2)
      expect(prompts.map(({ prompt }) => prompt.toolChoice)).toEqual(["auto", "auto", "none"])
      expect(shown(saved[0]?.items).at(-1)).toBe(`assistant: ${answer}`)
    }),
  )

  effectTest(
    "logs the names of tools, and no name that the model makes up",
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ message, annotations }) => {
        if (`${message}`.startsWith("tool."))
          logged.push(Option.getOrUndefined(HashMap.get(annotations, "tool")))
      })
      yield* Effect.locallyScopedWith(FiberRef.currentLoggers, () => HashSet.make(logger))
      const standIn = { ...makeTool({ name: "shop__unavailable" }).tool, standsFor: "shop__" }
      const broken = makeTool({}, Effect.die("a defect")).tool
      for (const [tool, name, label] of [
        [standIn, "shop__unavailable", "shop__unavailable"],
        [standIn, "shop__my card is 4111", "shop__unavailable"],
        [{ ...broken, standsFor: "weather" }, "weather of my secret", "weather"],
        [standIn, "my secret", "unknown"],
      ] as const) {
        logged.length = 0
        const { turns } = yield* makeFakeTurns({
          thinks: [{ calls: [{ ...oslo, name }] }, { chunks: [{ text: answer }] }],
        })
        yield* Effect.locallyScoped(FiberRef.currentMinimumLogLevel, LogLevel.Info)
        const { end } = yield* converse(turns, withTools([tool]))
        yield* TestClock.adjust("1 minute")
        yield* Fiber.join(end)
        expect(logged.length).toBeGreaterThan(0)
        expect(new Set(logged)).toEqual(new Set([label]))
      }
    }),
  )

  effectTest(
    "forces a call in the first round only",
    Effect.gen(function* () {
      for (const toolChoice of ["required" as const, { name: "weather" }]) {
        const request = withTools([makeTool().tool])
        const { prompts } = yield* run(asked, {
          ...request,
          agent: (own) => ({ ...request.agent(own), calling: { ...noTools, toolChoice } }),
        })
        expect(prompts.map(({ prompt }) => prompt.toolChoice)).toEqual([toolChoice, "auto"])
      }
    }),
  )
})

describe("a call that is not made", () => {
  effectTest(
    "because the round has too many is told to the model",
    Effect.gen(function* () {
      const calls = Array.from({ length: 200 }, (_, at) => ({ ...oslo, callId: `call_${at}` }))
      const tool = makeTool()
      const { saved, failure } = yield* run(
        { thinks: [{ calls }, { chunks: [{ text: answer }] }] },
        withTools([tool.tool]),
      )
      expect(failure).toBeUndefined()
      expect(tool.invocations).toHaveLength(128)
      const results = (saved[0]?.items ?? []).flatMap(({ payload }) =>
        payload.type === "tool_result" ? [payload] : [],
      )
      expect(results).toHaveLength(200)
      const refused = results.filter(({ output }) => output.includes("128 calls at most"))
      expect(refused.map(({ callId }) => callId)).toEqual(calls.slice(128).map(({ callId }) => callId))
    }),
  )

  effectTest(
    "because the client would have too many is answered by the service",
    Effect.gen(function* () {
      const calls = Array.from({ length: 140 }, (_, at) => ({ ...oslo, callId: `call_${at}` }))
      const request = requestOf({})
      const { saved, failure, turn } = yield* run(
        { thinks: [{ calls }] },
        {
          ...request,
          agent: (own) => ({
            ...request.agent(own),
            calling: { ...noTools, tools: [{ name: "weather", description: Option.none(), parameters }] },
          }),
        },
      )
      expect(failure).toBeUndefined()
      expect(clientCalls(turn.state())).toHaveLength(128)
      expect(shown(saved[0]?.items).filter((text) => text.includes("128 calls at most"))).toHaveLength(12)
    }),
  )

  effectTest(
    "because its tool is gone is told to the model",
    Effect.gen(function* () {
      const other = makeTool({ name: "other" })
      for (const tools of [[], [other.tool]]) {
        const past = { turnId: newId(TurnId), createdAt: new Date(0) }
        const earlier = [
          { ...past, ...newItem({ type: "message", role: "user", text: "And in Rome?" }) },
          { ...past, ...newItem({ type: "tool_call", ...rome }) },
          { ...past, ...newItem({ type: "tool_result", callId: rome.callId, output: "Rain." }) },
        ]
        const { saved, failure, prompts } = yield* run(
          { history: earlier, thinks: [{ calls: [oslo] }, { chunks: [{ text: answer }] }] },
          withTools(tools),
        )
        expect(failure).toBeUndefined()
        expect(shown(saved[0]?.items)).toEqual([
          question,
          call(oslo),
          expect.stringContaining("There is no tool weather."),
          `assistant: ${answer}`,
        ])
        expect(prompts[1]?.prompt.messages.at(-1)).toMatchObject({ role: "tool", callId: oslo.callId })
      }
    }),
  )

  effectTest(
    "because its tool never was is told to the model",
    Effect.gen(function* () {
      const long = "x".repeat(10_000)
      for (const [name, called] of [
        ["launch", "launch"],
        ["", "unknown"],
        ["fire the rockets!", "fire_the_rockets_"],
        [long, expect.stringMatching(/^x{55}_[0-9a-f]{8}$/)],
      ] as const) {
        for (const tools of [[], [makeTool({ name: "one" }).tool, makeTool({ name: "two" }).tool]]) {
          const { saved, failure, prompts } = yield* run(
            {
              thinks: [
                {
                  calls: [
                    { ...oslo, name },
                    { ...oslo, name },
                  ],
                },
                { chunks: [{ text: answer }] },
              ],
            },
            withTools(tools),
          )
          expect(failure).toBeUndefined()
          const payloads = saved[0]?.items.map(({ payload }) => payload) ?? []
          // Two calls with one id are two calls.
          expect(new Set(payloads.map((payload) => "callId" in payload && payload.callId)).size).toBe(3)
          expect(payloads.map(({ type }) => type)).toEqual([
            "message",
            "tool_call",
            "tool_call",
            "tool_result",
            "tool_result",
            "message",
          ])
          expect(payloads[1]).toMatchObject({ name: called })
          expect(shown(saved[0]?.items)[3]).toContain("There is no tool")
          expect(prompts[1]?.prompt.messages.at(-1)).toMatchObject({ role: "tool" })
        }
      }
    }),
  )

  effectTest(
    "1000 times in one answer is told to the model",
    Effect.gen(function* () {
      const calls = Array.from({ length: 1000 }, (_, at) => ({
        ...oslo,
        callId: `call_${at}`,
        name: "launch",
      }))
      const { saved, failure } = yield* run(
        { thinks: [{ calls }, { chunks: [{ text: answer }] }] },
        withTools([]),
      )
      expect(failure).toBeUndefined()
      const results = shown(saved[0]?.items).filter((text) => text.startsWith("result"))
      expect([results.length, results.filter((text) => text.includes("no tool launch")).length]).toEqual([
        1000, 128,
      ])
    }),
  )

  effectTest(
    "in every round ends the turn after its last one",
    Effect.gen(function* () {
      const { failure, prompts } = yield* run(
        { thinks: [{ calls: [{ ...oslo, name: "launch" }], end: "tools" }] },
        withTools([makeTool().tool], { acting: { maxRounds: 3 } }),
      )
      expect(failure).toMatchObject({ kind: "tools" })
      expect(prompts.map(({ prompt }) => prompt.toolChoice)).toEqual(["auto", "auto", "none"])
    }),
  )

  effectTest(
    "for wrong arguments is told to the model",
    Effect.gen(function* () {
      for (const [written, says] of [
        ["Oslo", "not a JSON object"],
        ["[1]", "not a JSON object"],
        ['{"city":5}', "#/city"],
        ["{}", "city"],
      ] as const) {
        const tool = makeTool()
        const { saved, failure } = yield* run(
          { thinks: [{ calls: [{ ...oslo, arguments: written }] }, { chunks: [{ text: answer }] }] },
          withTools([tool.tool]),
        )
        expect(failure).toBeUndefined()
        expect(tool.invocations).toEqual([])
        expect(shown(saved[0]?.items)[2]).toContain(says)
      }
    }),
  )

  effectTest(
    "because it could not be recorded fails the turn",
    Effect.gen(function* () {
      const tool = makeTool()
      const { failure, saved } = yield* run({ ...asked, recordsThatFail: 1 }, withTools([tool.tool]))
      expect(failure).toMatchObject({ _tag: "DatabaseUnavailable" })
      expect(tool.invocations).toEqual([])
      expect(shown(saved[0]?.items)).not.toContain(call(oslo))
    }),
  )
})

describe("a tool", () => {
  effectTest(
    "that takes too long is told to the model",
    Effect.gen(function* () {
      for (const [timeoutMs, limit] of [
        [1000, 20],
        [60_000, 2],
      ] as const) {
        const tool = makeTool({ afterMs: 30_000, timeoutMs })
        const { failure, saved } = yield* run(
          asked,
          withTools([tool.tool], { acting: { timeout: Duration.seconds(limit) } }),
        )
        expect(failure).toBeUndefined()
        expect(tool.interrupted()).toBe(1)
        const seconds = Math.min(timeoutMs / 1000, limit)
        expect(shown(saved[0]?.items)[3]).toContain(`no result within ${seconds} seconds`)
      }
    }),
  )

  effectTest(
    "that breaks is told to the model, without details",
    Effect.gen(function* () {
      const tool = makeTool({}, Effect.die(new Error("secret")))
      const { failure, saved } = yield* run(asked, withTools([tool.tool]))
      expect(failure).toBeUndefined()
      expect(shown(saved[0]?.items)[3]).toBe(
        result(oslo, "The tool failed. Whether the call was carried out is unknown."),
      )
    }),
  )

  effectTest(
    "that answers too much is cut",
    Effect.gen(function* () {
      const tool = makeTool({}, Effect.succeed({ output: `a\0${"b".repeat(200_000)}`, isError: false }))
      const { saved } = yield* run(asked, withTools([tool.tool]))
      const output = shown(saved[0]?.items)[3] ?? ""
      expect(output.length).toBeLessThan(100_100)
      expect(output).not.toContain("\0")
      expect(output).toEndWith("[The rest is cut off.]")
    }),
  )

  effectTest(
    "does not use up the turn's time",
    Effect.gen(function* () {
      const tool = makeTool({ afterMs: 50_000 })
      const request = (afterMs: number) =>
        run(
          { thinks: [{ calls: [oslo] }, { chunks: [{ text: answer, afterMs }] }] },
          withTools([tool.tool], {
            acting: {
              timeout: Duration.minutes(1),
              filler: { ...agent.acting.filler, after: Option.none() },
            },
          }),
        )
      expect((yield* request(50_000)).failure).toBeUndefined()
      expect((yield* request(61_000)).failure).toMatchObject({ stage: "llm" })
    }),
  )
})

describe("the filler sentence", () => {
  const silent = { thinks: [{ calls: [oslo] }, { chunks: [{ text: answer }] }] }
  const spokenTexts = ({ spoken }: { readonly spoken: ReadonlyArray<{ readonly text: string }> }) =>
    spoken.map(({ text }) => text)

  effectTest(
    "is said after 1.2 s of silence, and is no part of the reply",
    Effect.gen(function* () {
      const done = yield* run(silent, withTools([makeTool({ afterMs: 1500 }).tool]))
      expect(spokenTexts(done)).toEqual(["One moment.", answer])
      expect(done.text()).toBe(answer)
      expect(shown(done.saved[0]?.items)).not.toContain("assistant: One moment.")
      expect(done.saved[0]).toMatchObject({ response: answer })
      expect(done.saved[0]?.items.at(-1)?.heardMs).toBe(100)
      const [filler] = done.events.filter(({ _tag }) => _tag === "Audio")
      expect((filler?.at ?? 0) - done.turn.state().beganAt).toBe(1200)
    }),
  )

  effectTest(
    "is left out if the tool is faster, or the client still plays",
    Effect.gen(function* () {
      expect(spokenTexts(yield* run(silent, withTools([makeTool({ afterMs: 1100 }).tool])))).toEqual([answer])
      const long = { bytes: new Uint8Array(48_000 * 3) }
      const playing = yield* run(
        { ...asked, speaks: [{ chunks: [long] }] },
        withTools([makeTool({ afterMs: 4000 }).tool]),
      )
      expect(spokenTexts(playing)).toEqual([words, answer])
    }),
  )

  effectTest(
    "is in the language of the user, or as configured",
    Effect.gen(function* () {
      const tool = makeTool({ afterMs: 2000 }).tool
      const german = yield* run(
        { ...silent, hears: [{ text: "Wie ist das Wetter in Oslo und nicht in Rom?" }] },
        { ...withTools([tool]), input: loud },
      )
      expect(spokenTexts(german)[0]).toBe("Einen Moment.")
      const own = { after: Option.some(Duration.seconds(1)), sentence: Option.some("Hold on.") }
      const configured = yield* run(silent, withTools([tool], { acting: { filler: own } }))
      expect(spokenTexts(configured)[0]).toBe("Hold on.")
      const off = { ...own, after: Option.none() }
      expect(spokenTexts(yield* run(silent, withTools([tool], { acting: { filler: off } })))).toEqual([
        answer,
      ])
      for (const output of [whole, { ...streamed, format: "none" as const }]) {
        const unheard = yield* run(silent, withTools([tool], { output }))
        expect(spokenTexts(unheard)).not.toContain("One moment.")
      }
    }),
  )

  effectTest(
    "that cannot be spoken is left out",
    Effect.gen(function* () {
      const done = yield* run(
        { ...silent, speaks: [{ fail: wrongAnswer("tts", "mute") }, { chunks: [{ bytes: tenth }] }] },
        withTools([makeTool({ afterMs: 20_000 }).tool]),
      )
      expect(done.failure).toBeUndefined()
      expect(shown(done.saved[0]?.items).at(-1)).toBe(`assistant: ${answer}`)
    }),
  )
})

describe("a client's tool", () => {
  const tools = [{ name: "open_door", description: Option.none(), parameters: { type: "object" } }]
  const door = { callId: "call_9", name: "open_door", arguments: "{}" }

  effectTest(
    "in the same round ends the turn, after the service's results",
    Effect.gen(function* () {
      const tool = makeTool({ afterMs: 500 })
      const request = withTools([tool.tool])
      const { saved, prompts, failure, events } = yield* run(
        { thinks: [{ calls: [oslo, door] }, { chunks: [{ text: answer }] }] },
        { ...request, agent: (own) => ({ ...request.agent(own), calling: { ...noTools, tools } }) },
      )
      expect(failure).toBeUndefined()
      expect(prompts).toHaveLength(1)
      expect(prompts[0]?.prompt.tools.map(({ name }) => name)).toEqual(["weather", "open_door"])
      expect(shown(saved[0]?.items)).toEqual([question, call(door), call(oslo), result(oslo)])
      expect(
        events.flatMap((event) => (event._tag === "ToolCalled" ? [[event.name, event.by]] : [])),
      ).toEqual([
        ["open_door", "client"],
        ["weather", "service"],
      ])
    }),
  )

  const callingTurn = newId(TurnId)
  const history = [
    newItem({ type: "message", role: "user", text: "Open it." }),
    newItem({ type: "tool_call", ...door }),
  ].map((item) => ({ ...item, turnId: callingTurn, createdAt: new Date(0) }))
  const results = (output = "open") =>
    fromResults(callingTurn, [{ callId: door.callId, output, isError: false }])

  effectTest(
    "has its results at the beginning of the next turn",
    Effect.gen(function* () {
      const request = withTools([makeTool().tool], { input: results() })
      const { saved, prompts, failure, recorded, tags, turn } = yield* run({ ...asked, history }, request)
      expect(failure).toBeUndefined()
      expect(tags()).toEqual([
        "Started",
        "TextDelta",
        "ToolCalled",
        "Audio",
        "ToolReturned",
        "RoundStarted",
        "TextDelta",
        "Audio",
        "Completed",
      ])
      expect(prompts[0]?.prompt.messages).toEqual([
        { role: "user", content: "Open it." },
        { role: "assistant", content: "", toolCalls: [door] },
        { role: "tool", callId: door.callId, content: "open" },
      ])
      expect(shown(saved[0]?.items)).toEqual([
        result(door, "open"),
        `assistant: ${words}`,
        call(oslo),
        result(oslo),
        `assistant: ${answer}`,
      ])
      // They outlive the process.
      expect(recorded).toMatchObject([
        { transcript: Option.none(), brought: [{ callId: door.callId, output: "open" }] },
      ])
      expect(recorded[0]?.brought[0]?.itemId).toBe(saved[0]?.items[0]?.id)
      expect(saved[0]).toMatchObject({ transcript: "", response: `${words} ${answer}` })
      expect(turn.state().brought).toHaveLength(1)
    }),
  )

  effectTest(
    "that calls again and again comes to the limit of rounds",
    Effect.gen(function* () {
      const request = withTools([makeTool().tool], { input: results(), acting: { maxRounds: 3 } })
      const { prompts } = yield* run(
        { thinks: [{ calls: [oslo] }, { chunks: [{ text: answer }] }], history },
        request,
      )
      expect(prompts.map(({ prompt }) => prompt.toolChoice)).toEqual(["auto", "none"])
    }),
  )

  effectTest(
    "keeps its results if the reply fails",
    Effect.gen(function* () {
      const { saved, failure, failed } = yield* run(
        { thinks: [{ fail: wrongAnswer("llm", "broken off") }], history },
        withTools([], { input: results() }),
      )
      expect(failure).toMatchObject({ stage: "llm" })
      expect(saved[0]).toMatchObject({ state: "interrupted", response: "" })
      expect(shown(saved[0]?.items)).toEqual([result(door, "open")])
      expect(failed).toEqual([])
    }),
  )

  effectTest(
    "whose result comes too late begins no turn",
    Effect.gen(function* () {
      const later = newItem({ type: "message", role: "user", text: "Hello?" })
      const { saved, prompts, failure } = yield* run(
        { history: [...history, { ...later, turnId: newId(TurnId), createdAt: new Date(0) }] },
        withTools([], { input: results() }),
      )
      expect(failure).toMatchObject({ _tag: "ToolCallsClosed" })
      expect(prompts).toEqual([])
      expect(saved).toEqual([])
    }),
  )

  effectTest(
    "takes the place of one of the service with its name",
    Effect.gen(function* () {
      const tool = makeTool()
      const request = withTools([tool.tool])
      const own = { ...noTools, tools: [{ name: "weather", description: Option.none(), parameters }] }
      const { saved, prompts } = yield* run(
        { thinks: [{ calls: [oslo] }] },
        { ...request, agent: (of) => ({ ...request.agent(of), calling: own }) },
      )
      expect(tool.invocations).toEqual([])
      expect(prompts[0]?.prompt.tools).toHaveLength(1)
      expect(shown(saved[0]?.items)).toEqual([question, call(oslo)])
    }),
  )
})

describe("a turn that is cut short", () => {
  const slow = { speaks: [{ chunks: [{ bytes: tenth }] }] }

  effectTest(
    "while a tool runs interrupts it, and keeps the call without a result",
    Effect.gen(function* () {
      for (const end of ["interrupt", "leave"] as const) {
        const tool = makeTool({ afterMs: 10_000 })
        const fakes = yield* makeFakeTurns({ ...asked, ...slow })
        const { turn, leave } = yield* converse(fakes.turns, withTools([tool.tool]))
        yield* TestClock.adjust("900 millis")
        expect(tool.invocations).toHaveLength(1)
        if (end === "interrupt") yield* turn.interrupt({ playedMs: 100 })
        yield* leave
        expect(tool.interrupted()).toBe(1)
        expect(fakes.saved[0]?.state).toBe("interrupted")
        expect(shown(fakes.saved[0]?.items)).toEqual([question, `assistant: ${words}`, call(oslo)])
      }
    }),
  )

  effectTest(
    "in the second round keeps the first one whole",
    Effect.gen(function* () {
      const fakes = yield* makeFakeTurns({
        thinks: [asked.thinks[0] ?? {}, { chunks: [{ text: answer, afterMs: 100 }] }],
        speaks: [
          { chunks: [{ bytes: tenth }] },
          { chunks: [{ bytes: tenth }, { afterMs: 9000, bytes: tenth }] },
        ],
      })
      const { turn, leave } = yield* converse(fakes.turns, withTools([makeTool().tool]))
      yield* TestClock.adjust("2 seconds")
      yield* turn.interrupt({ playedMs: 150 })
      yield* leave
      expect(shown(fakes.saved[0]?.items)).toEqual([
        question,
        `assistant: ${words}`,
        call(oslo),
        result(oslo),
        "assistant: It is",
      ])
      expect(fakes.saved[0]?.items.map(({ interrupted }) => interrupted)).toEqual([
        false,
        false,
        false,
        false,
        true,
      ])
      // The client says later that it had played more of the second message.
      const [, , , , last] = fakes.saved[0]?.items ?? []
      if (last !== undefined) yield* turn.truncate({ playedMs: 100, itemId: last.id })
      expect(fakes.truncated.at(-1)).toMatchObject({ ms: 100, interrupted: true })
    }),
  )

  effectTest(
    "by a failure of the second round saves what came before",
    Effect.gen(function* () {
      const tool = makeTool()
      const { failure, saved, prompts } = yield* run(
        { thinks: [asked.thinks[0] ?? {}, { fail: wrongAnswer("llm", "broken off") }] },
        withTools([tool.tool]),
      )
      expect(failure).toMatchObject({ reason: "broken off" })
      // The second round alone is tried again.
      expect(prompts).toHaveLength(4)
      expect(tool.invocations).toHaveLength(1)
      expect(shown(saved[0]?.items)).toEqual([question, `assistant: ${words}`, call(oslo), result(oslo)])
      expect(saved[0]?.state).toBe("interrupted")
    }),
  )

  effectTest(
    "a retried second round loses its own words only",
    Effect.gen(function* () {
      const { failure, saved, events } = yield* run(
        {
          thinks: [
            asked.thinks[0] ?? {},
            { chunks: [{ text: "It is rain" }], fail: wrongAnswer("llm", "broken off") },
            { chunks: [{ text: answer }] },
          ],
        },
        withTools([makeTool().tool], { output: { ...streamed, streamsText: false } }),
      )
      expect(failure).toBeUndefined()
      expect(saved[0]).toMatchObject({ response: `${words} ${answer}` })
      expect(events.filter(({ _tag }) => _tag === "ToolReturned")).toHaveLength(1)
    }),
  )
})

effectTest(
  "a turn on speculation makes no call before it is adopted",
  Effect.gen(function* () {
    const tool = makeTool()
    const fakes = yield* makeFakeTurns({ thinks: [{ calls: [oslo] }, { chunks: [{ text: answer }] }] })
    const { turn, adopt } = yield* fakes.turns.speculate(withTools([tool.tool]))
    yield* TestClock.adjust("2 seconds")
    expect(fakes.prompts).toHaveLength(1)
    expect(tool.invocations).toEqual([])
    expect(fakes.recorded).toEqual([])
    expect(yield* adopt({ items: [], saved: Effect.void })).toBe(true)
    yield* TestClock.adjust("2 seconds")
    expect(tool.invocations).toHaveLength(1)
    expect(turn.state().isSaved).toBe(true)
  }),
)

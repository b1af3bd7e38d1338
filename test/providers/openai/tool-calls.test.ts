/** How servers send tool calls, and how the model's port passes them on. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, FastCheck as fc, Option } from "effect"
import { cleanReplies, ModelEvent, type Prompt } from "../../../src/providers/language-model.ts"
import type { OpenAiClient } from "../../../src/providers/openai/client.ts"
import { generateWith } from "../../../src/providers/openai/language-model.ts"
import { makeToolCallReader } from "../../../src/providers/openai/tool-call-reader.ts"
import { noTools, type Tool, type ToolCall } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { clientOf } from "../../support/openai-client.ts"
import { fail, type Step, startUpstream, type Upstream } from "../../support/upstream.ts"

let upstream: Upstream
let client: OpenAiClient
beforeAll(async () => {
  upstream = await startUpstream()
  client = clientOf(upstream.baseUrl)
})
afterAll(() => upstream.stop())
beforeEach(() => upstream.reset())

const tool = (name: string): Tool => ({
  name,
  description: Option.some(`Finds the ${name}.`),
  parameters: { type: "object", properties: { city: { type: "string" } } },
})
const prompt: Prompt = {
  instructions: "Be brief.",
  messages: [{ role: "user", content: "Well?" }],
  ...noTools,
  tools: [tool("weather"), tool("time")],
}
const options = {
  turnId: newId(TurnId),
  model: "gpt-x",
  maxTokens: Option.none(),
  temperature: Option.none(),
}

const run = async (step: Step, asked: Prompt = prompt) => {
  upstream.script("llm", [step])
  const events: Array<ModelEvent> = []
  const generate = cleanReplies(generateWith(client))(asked, options, (event) => {
    if (event._tag !== "Alive" && event._tag !== "Usage") events.push(event)
  })
  const exit = await Effect.runPromiseExit(generate)
  const calls = events.filter(ModelEvent.$is("ToolCall"))
  return {
    tags: events.map(({ _tag }) => _tag),
    calls: calls.map((call) => `${call.name} ${call.arguments}`),
    ids: calls.map(({ callId }) => callId),
    text: events.flatMap((event) => (event._tag === "Text" ? [event.text] : [])).join(""),
    end: events.find(ModelEvent.$is("End"))?.reason,
    failure: Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined,
  }
}

const stream = (...chunks: ReadonlyArray<unknown>): Step => ({
  raw: {
    body: [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"]
      .map((data) => `data: ${data}\n\n`)
      .join(""),
    contentType: "text/event-stream",
  },
})
const delta = (content: object, finish_reason: string | null = null) => ({
  choices: [{ index: 0, delta: content, finish_reason }],
})
/** Each piece in a chunk of its own. */
const pieces = (...calls: ReadonlyArray<unknown>) =>
  stream(...calls.map((call) => delta({ tool_calls: [call] })), delta({}, "tool_calls"))
const fn = (name: unknown, args: unknown) => ({ function: { name, arguments: args } })
const args = (text: unknown) => ({ function: { arguments: text } })

const oslo = '{"city":"Oslo"}'
const rome = '{"city":"Rome"}'
const both = [`weather ${oslo}`, `weather ${rome}`]

describe("a call", () => {
  const one: Record<string, Step> = {
    "as OpenAI sends it": { toolCalls: [{ id: "call_1", name: "weather", arguments: oslo }] },
    "in one piece": pieces({ index: 0, id: "a", ...fn("weather", oslo) }),
    "without an index": pieces({ id: "a", ...fn("weather", "") }, args('{"city":'), args('"Oslo"}')),
    "without an id": pieces({ index: 0, ...fn("weather", "") }, { index: 0, ...args(oslo) }),
    "without both": pieces(fn("weather", '{"city"'), args(':"Oslo"}')),
    "with its id in each piece": pieces(
      { id: "a", ...fn("weather", '{"city":') },
      { id: "a", ...args('"Oslo"}') },
    ),
    "with its name in each piece": pieces(
      { index: 0, ...fn("weather", '{"city":') },
      { index: 0, ...fn("weather", '"Oslo"}') },
    ),
    "with its id and name in each piece": pieces(
      { index: 0, id: "a", ...fn("weather", '{"city":') },
      { index: 0, id: "a", ...fn("weather", '"Oslo"}') },
    ),
    "with an empty id and name in later pieces": pieces(
      { index: 0, id: "a", ...fn("weather", "") },
      { index: 0, id: "", ...fn("", oslo) },
    ),
    "with null in later pieces": pieces(
      { index: 0, id: "a", ...fn("weather", null) },
      { index: 0, id: null, type: null, ...fn(null, oslo) },
    ),
    "with a text as index": pieces(
      { index: "0", id: "a", ...fn("weather", "") },
      { index: "0", ...args(oslo) },
    ),
    "with the id in a piece before the name": pieces(
      { index: 0, id: "a" },
      { index: 0, ...fn("weather", oslo) },
    ),
    "with an object as arguments": pieces({ index: 0, id: "a", ...fn("weather", { city: "Oslo" }) }),
    "without `function`": pieces({ id: "a", name: "weather", arguments: oslo }),
    "as one object": stream(delta({ tool_calls: { id: "a", ...fn("weather", oslo) } }, "tool_calls")),
    "in the old API": stream(
      delta({ function_call: { name: "weather", arguments: "" } }),
      delta({ function_call: { arguments: oslo } }, "function_call"),
    ),
    "in both APIs": stream(
      delta({
        tool_calls: [{ index: 0, id: "a", ...fn("weather", oslo) }],
        function_call: fn("weather", oslo).function,
      }),
      delta({}, "tool_calls"),
    ),
    "that ends with stop": stream(
      delta({ tool_calls: [{ index: 0, id: "a", ...fn("weather", oslo) }] }),
      delta({}, "stop"),
    ),
    "whose end is in its piece": stream(
      delta({ tool_calls: [{ index: 0, id: "a", ...fn("weather", oslo) }] }, "tool_calls"),
    ),
    "that is repeated in a message": stream(
      delta({ tool_calls: [{ index: 0, id: "a", ...fn("weather", oslo) }] }),
      {
        choices: [
          {
            message: { content: null, tool_calls: [{ id: "b", ...fn("weather", oslo) }] },
            finish_reason: "stop",
          },
        ],
      },
    ),
    "that is repeated whole at its end": pieces(
      { index: 0, id: "a", ...fn("weather", "") },
      { index: 0, ...args(oslo) },
      { index: 0, id: "a", ...fn("weather", oslo) },
    ),
    "in a document": {
      raw: {
        body: JSON.stringify({
          choices: [
            {
              message: { content: null, tool_calls: [{ id: "a", ...fn("weather", oslo) }] },
              finish_reason: "tool_calls",
            },
          ],
        }),
      },
    },
    "with a placeholder before its arguments": pieces(
      { index: 0, id: "a", ...fn("weather", "{}") },
      { index: 0, ...args(oslo) },
    ),
    "with arguments that are encoded twice": pieces({
      index: 0,
      id: "a",
      ...fn("weather", JSON.stringify(oslo)),
    }),
    "with arguments in a code fence": pieces({
      index: 0,
      id: "a",
      ...fn("weather", `\`\`\`json\n${oslo}\n\`\`\``),
    }),
    "with a name in a name space": pieces({ index: 0, id: "a", ...fn("functions.weather", oslo) }),
    "with a name in another case": pieces({ index: 0, id: "a", ...fn(" Weather", oslo) }),
    "beside a call of an unknown tool": pieces(
      { index: 0, id: "a", ...fn("weather", oslo) },
      { index: 1, id: "b", ...fn("launch", "{}") },
    ),
  }
  test.each(Object.entries(one))("%s", async (_, step) => {
    expect(await run(step)).toMatchObject({
      calls: [`weather ${oslo}`],
      text: "",
      tags: ["ToolCall", "End"],
      end: "tools",
      failure: undefined,
    })
  })

  test.each([
    ["nothing", pieces({ index: 0, id: "a", ...fn("time", "") })],
    ["no field", pieces({ index: 0, id: "a", function: { name: "time" } })],
    ["null", pieces({ index: 0, id: "a", ...fn("time", null) })],
    ["the word null", pieces({ index: 0, id: "a", ...fn("time", "null") })],
    ["white space", pieces({ index: 0, id: "a", ...fn("time", " \n") })],
    ["an empty object", pieces({ index: 0, id: "a", ...fn("time", {}) })],
  ])("with %s as arguments has an empty object", async (_, step) => {
    expect((await run(step)).calls).toEqual(["time {}"])
  })

  test.each(["{'city': 'Oslo'}", '{"city":', "Oslo", "[1]", "3"])(
    "keeps arguments that are no JSON object: %s",
    async (written) => {
      expect((await run(pieces({ index: 0, id: "a", ...fn("weather", written) }))).calls).toEqual([
        `weather ${written}`,
      ])
    },
  )
})

describe("several calls", () => {
  const two: Record<string, Step> = {
    "as OpenAI sends them": {
      toolCalls: [
        { id: "call_1", name: "weather", arguments: oslo },
        { id: "call_2", name: "weather", arguments: rome },
      ],
    },
    "in one chunk": stream(
      delta(
        {
          tool_calls: [
            { index: 0, id: "a", ...fn("weather", oslo) },
            { index: 1, id: "b", ...fn("weather", rome) },
          ],
        },
        "tool_calls",
      ),
    ),
    "that are mixed": pieces(
      { index: 0, id: "a", ...fn("weather", "") },
      { index: 1, id: "b", ...fn("weather", "") },
      { index: 0, ...args('{"city":') },
      { index: 1, ...args('{"city":"Rome"') },
      { index: 0, ...args('"Oslo"}') },
      { index: 1, ...args("}") },
    ),
    "with the index 0": pieces(
      { index: 0, id: "a", ...fn("weather", oslo) },
      { index: 0, id: "b", ...fn("weather", rome) },
    ),
    "with the index 0, in pieces": pieces(
      { index: 0, id: "a", ...fn("weather", "") },
      { index: 0, ...args(oslo) },
      { index: 0, id: "b", ...fn("weather", "") },
      { index: 0, ...args(rome) },
    ),
    "without index": pieces(
      { id: "a", ...fn("weather", "") },
      args(oslo),
      { id: "b", ...fn("weather", "") },
      args(rome),
    ),
    "without index, with their ids": pieces(
      { id: "a", ...fn("weather", '{"city":') },
      { id: "b", ...fn("weather", '{"city":') },
      { id: "a", ...args('"Oslo"}') },
      { id: "b", ...args('"Rome"}') },
    ),
    "without index and id": pieces(fn("weather", oslo), fn("weather", rome)),
    "with the index 0, without id": pieces(
      { index: 0, ...fn("weather", oslo) },
      { index: 0, ...fn("weather", rome) },
    ),
    "that share an id": pieces(
      { index: 0, id: "a", ...fn("weather", oslo) },
      { index: 1, id: "a", ...fn("weather", rome) },
    ),
    "in a document without ids": {
      raw: {
        body: JSON.stringify({
          choices: [
            {
              message: { tool_calls: [fn("weather", { city: "Oslo" }), fn("weather", { city: "Rome" })] },
              finish_reason: "stop",
            },
          ],
        }),
      },
    },
  }
  test.each(Object.entries(two))("%s", async (_, step) => {
    const { calls, ids, end } = await run(step)
    expect(calls).toEqual(both)
    expect(new Set(ids).size).toBe(2)
    expect(end).toBe("tools")
  })

  test("are one where one is allowed", async () => {
    const { calls } = await run(
      {
        toolCalls: [
          { id: "a", name: "weather", arguments: oslo },
          { id: "b", name: "weather", arguments: rome },
        ],
      },
      { ...prompt, parallelToolCalls: false },
    )
    expect(calls).toEqual([`weather ${oslo}`])
    expect(upstream.calls("llm")[0]?.request.parallel_tool_calls).toBe(false)
  })

  test("are the same, however their pieces are cut", () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(
        fc.array(fc.json({ maxDepth: 1 }), { maxLength: 3 }),
        cuts,
        fc.boolean(),
        (values, lengths, hasIndex) => {
          const wanted = values.map((value, n) => ({
            callId: `call_${n}`,
            name: "weather",
            arguments: JSON.stringify({ value }),
          }))
          const reader = makeToolCallReader()
          for (const [n, call] of wanted.entries()) {
            const place = hasIndex ? { index: n } : {}
            reader.read({ tool_calls: [{ ...place, id: call.callId, ...fn(call.name, "") }] })
            let at = 0
            for (let cut = 0; at < call.arguments.length; cut += 1) {
              const end = at + (lengths[cut % lengths.length] ?? 1)
              reader.read({ tool_calls: [{ ...place, ...args(call.arguments.slice(at, end)) }] })
              at = end
            }
          }
          expect(reader.calls()).toEqual(wanted)
        },
      ),
    )
  })

  test("of any shape do no harm", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.object({ maxDepth: 2, key: fc.constantFrom("index", "id", "function", "name", "arguments") }),
        ),
        (odd) => {
          const reader = makeToolCallReader()
          for (const piece of odd) reader.read({ tool_calls: [piece], function_call: piece })
          for (const call of reader.calls())
            expect(Object.values(call).every((value) => typeof value === "string")).toBe(true)
        },
      ),
    )
  })
})

describe("words and calls", () => {
  const call = { index: 0, id: "a", ...fn("weather", oslo) }
  const calls = [`weather ${oslo}`]
  test("before a call are passed on first", async () => {
    expect(
      await run({ text: "Let me look.", toolCalls: [{ id: "a", name: "weather", arguments: oslo }] }),
    ).toMatchObject({
      text: "Let me look.",
      calls,
      end: "tools",
    })
  })

  test("after a call are passed on, and the call behind them", async () => {
    const { text, tags, calls } = await run(
      stream(delta({ tool_calls: [call] }), delta({ content: "I look." }), delta({}, "tool_calls")),
    )
    expect({ text, calls, tags }).toEqual({ text: "I look.", calls, tags: ["Text", "ToolCall", "End"] })
  })

  test("in one chunk both count", async () => {
    expect(await run(stream(delta({ content: "I look.", tool_calls: [call] }, "tool_calls")))).toMatchObject({
      text: "I look.",
      calls,
    })
  })

  test("thinking is no text", async () => {
    expect(
      await run(
        stream(delta({ content: "<think>Hm.</think>" }), delta({ tool_calls: [call] }, "tool_calls")),
      ),
    ).toMatchObject({
      text: "",
      calls,
      end: "tools",
      failure: undefined,
    })
  })
})

describe("the id of a call", () => {
  const idOf = async (id: unknown, asked?: Prompt) => {
    const { ids } = await run(pieces({ index: 0, id, ...fn("weather", oslo) }), asked)
    return ids[0] ?? ""
  }

  test.each(["call_abc-1", "x".repeat(64)])("of the provider stays: %s", async (id) => {
    expect(await idOf(id)).toBe(id)
  })

  test.each(["", null, 5, "functions.weather:0", "a/b", "x".repeat(65), "é", "a b"])(
    "%j is replaced",
    async (id) => {
      const own = await idOf(id)
      expect(own).toMatch(/^call_[a-z0-9]{32}$/)
      expect(await idOf(id)).not.toBe(own)
    },
  )

  test("is that of no earlier call", async () => {
    const earlier: ToolCall = { callId: "call_0", name: "weather", arguments: "{}" }
    const messages = [
      ...prompt.messages,
      { role: "assistant", content: "", toolCalls: [earlier] },
      { role: "tool", callId: "call_0", content: "Sun." },
    ] as const
    expect(await idOf("call_0", { ...prompt, messages })).toMatch(/^call_[a-z0-9]{32}$/)
  })
})

describe("an answer without a usable call", () => {
  const launch = pieces({ index: 0, id: "a", ...fn("launch", "{}") })

  test("of an unknown tool is passed on", async () => {
    expect(await run(launch)).toMatchObject({ calls: ["launch {}"], end: "tools", failure: undefined })
  })

  test.each([
    ["", "unknown"],
    ["send mail", "send_mail"],
    ["naïve", "na_ve"],
    ["x".repeat(10_000), expect.stringMatching(/^x{55}_[0-9a-f]{8}$/)],
  ])("of a name that servers refuse has another one", async (name, known) => {
    const { calls } = await run(pieces({ index: 0, id: "a", ...fn(name, "{}") }))
    expect(calls.map((call) => call.split(" ")[0])).toEqual([known])
  })

  test("of an unknown tool with words is the words", async () => {
    const step = stream(
      delta({ content: "No." }),
      delta({ tool_calls: [{ index: 0, ...fn("launch", "{}") }] }, "tool_calls"),
    )
    expect(await run(step)).toMatchObject({ text: "No.", calls: [], failure: undefined })
  })

  test.each([
    ["no tools that it may call", { ...noTools, toolChoice: "none" as const }],
    ["tools that must not be called", { ...prompt, toolChoice: "none" as const }],
  ])("where the model has %s", async (_, offer) => {
    const step = pieces({ index: 0, id: "a", ...fn("weather", oslo) })
    expect((await run(step, { ...prompt, ...offer })).failure).toMatchObject({
      kind: "tools",
      retryable: false,
    })
  })

  test("of another tool than the one that it must call", async () => {
    const step = pieces({ index: 0, id: "a", ...fn("time", "{}") })
    expect((await run(step, { ...prompt, toolChoice: { name: "weather" } })).failure).toMatchObject({
      kind: "unknown-tool",
    })
  })

  test.each(["length", "max_tokens"])("that is cut off by %s", async (finish) => {
    const cut = (text: string) =>
      stream(delta({ tool_calls: [{ index: 0, id: "a", ...fn("weather", text) }] }), delta({}, finish))
    for (const text of ["", '{"city":"Os']) {
      expect((await run(cut(text))).failure).toMatchObject({ kind: "cut-call", retryable: false })
    }
    expect((await run(cut(oslo))).calls).toEqual([`weather ${oslo}`])
  })

  test("that is cut off, behind a whole one", async () => {
    const step = stream(
      delta({ tool_calls: [{ index: 0, id: "a", ...fn("weather", oslo) }] }),
      delta({ tool_calls: [{ index: 1, id: "b", ...fn("weather", '{"ci') }] }),
      delta({}, "length"),
    )
    expect((await run(step)).calls).toEqual([`weather ${oslo}`])
  })

  test.each<readonly [string, Step]>([
    ["breaks off", fail.cutOff({ tokens: 1 })],
    ["has no end", fail.withoutDone()],
    ["fails", fail.errorEvent()],
  ])("that %s has no calls, and may be tried again", async (_, broken) => {
    const { calls, failure } = await run({
      ...broken,
      text: "Let me look.",
      toolCalls: [{ id: "a", name: "weather", arguments: oslo }],
    })
    expect(calls).toEqual([])
    expect(failure).toMatchObject({ retryable: true })
  })
})

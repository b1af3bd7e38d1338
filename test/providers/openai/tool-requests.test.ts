/** The requests that tools and their calls make, and what servers refuse of them. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { Cause, Effect, Exit, FastCheck as fc, Option } from "effect"
import { groupMessages } from "../../../src/agent/history-messages.ts"
import { newItem } from "../../../src/conversation/item.ts"
import { cleanReplies, type Prompt, type PromptMessage } from "../../../src/providers/language-model.ts"
import { type MessageForm, writeMessages } from "../../../src/providers/openai/chat-messages.ts"
import { generateWith } from "../../../src/providers/openai/language-model.ts"
import { noTools, type Tool } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import {
  type Asked,
  type DialectServer,
  reply,
  type Said,
  startDialect,
} from "../../support/dialects/server.ts"
import { clientOf } from "../../support/openai-client.ts"
import { startUpstream, type Upstream } from "../../support/upstream.ts"

const tool = (name: string, description?: string): Tool => ({
  name,
  description: Option.fromNullable(description),
  parameters: { properties: { city: { type: "string" } } },
})
const options = {
  turnId: newId(TurnId),
  model: "m",
  maxTokens: Option.none(),
  temperature: Option.none(),
}
const plain: Prompt = {
  instructions: "Be brief.",
  messages: [{ role: "user", content: "Well?" }],
  ...noTools,
}
const offered: Prompt = { ...plain, tools: [tool("weather", "Finds the weather."), tool("time")] }
const oslo = '{"city":"Oslo"}'
/** What was called and answered, an interruption, and an instruction on the way. */
const called: ReadonlyArray<PromptMessage> = [
  { role: "user", content: "How is Oslo?" },
  {
    role: "assistant",
    content: "I look.",
    toolCalls: [
      { callId: "call_1", name: "weather", arguments: oslo },
      { callId: "123456789", name: "time", arguments: "not JSON" },
    ],
  },
  { role: "tool", callId: "call_1", content: "Sun." },
  { role: "tool", callId: "123456789", content: "" },
]
const conversation: ReadonlyArray<PromptMessage> = [
  ...called,
  { role: "user", content: "And?" },
  { role: "assistant", content: "It is" },
  { role: "note", content: "The reply above was interrupted." },
  { role: "system", content: "Speak German." },
]

const native = writeMessages({ ...plain, messages: conversation }, { system: "anywhere", calls: "native" })
const idOf = (content: string) => native.find((message) => message.content === content)?.tool_call_id ?? ""

describe("the request", () => {
  let upstream: Upstream
  beforeAll(async () => {
    upstream = await startUpstream()
  })
  afterAll(() => upstream.stop())
  beforeEach(() => upstream.reset())

  const ask = async (prompt: Prompt) => {
    const generate = cleanReplies(generateWith(clientOf(upstream.baseUrl)))
    const exit = await Effect.runPromiseExit(generate(prompt, options, () => undefined))
    expect(exit).toEqual(Exit.succeed(undefined))
    expect(upstream.refusals()).toEqual([])
    const { tools, tool_choice, parallel_tool_calls, messages } = upstream.calls("llm")[0]?.request ?? {}
    return { tools, tool_choice, parallel_tool_calls, messages }
  }

  const named = (tools: unknown) => (Array.isArray(tools) ? tools.map((each) => each.function.name) : tools)

  test("has the tools, and no field that says the usual", async () => {
    expect(await ask(offered)).toMatchObject({
      tools: [
        {
          type: "function",
          function: {
            name: "weather",
            description: "Finds the weather.",
            parameters: { type: "object", properties: { city: { type: "string" } } },
          },
        },
        {
          type: "function",
          function: {
            name: "time",
            parameters: { type: "object", properties: { city: { type: "string" } } },
          },
        },
      ],
      tool_choice: undefined,
      parallel_tool_calls: undefined,
    })
  })

  test("without tools has none of their fields", async () => {
    expect(await ask({ ...plain, toolChoice: "required", parallelToolCalls: false })).toMatchObject({
      tools: undefined,
      tool_choice: undefined,
      parallel_tool_calls: undefined,
    })
  })

  test("asks for a call", async () => {
    expect(await ask({ ...offered, toolChoice: "required" })).toMatchObject({ tool_choice: "required" })
  })

  test("asks for a call of one tool, and has no other", async () => {
    const { tools, tool_choice } = await ask({ ...offered, toolChoice: { name: "time" } })
    expect(named(tools)).toEqual(["time"])
    expect(tool_choice).toEqual({ type: "function", function: { name: "time" } })
  })

  test("where no call may be made has the tools only beside earlier calls", async () => {
    expect(await ask({ ...offered, toolChoice: "none" })).toMatchObject({
      tools: undefined,
      tool_choice: undefined,
    })
    upstream.reset()
    const later = await ask({ ...offered, messages: called, toolChoice: "none" })
    expect(named(later.tools)).toEqual(["weather", "time"])
    expect(later.tool_choice).toBe("none")
  })

  test("has the calls with their results", async () => {
    const { messages } = await ask({ ...offered, messages: conversation })
    const first = idOf("Sun.")
    expect(first).toMatch(/^[a-zA-Z0-9]{9}$/)
    expect(messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "How is Oslo?" },
      {
        role: "assistant",
        content: "I look.",
        tool_calls: [
          { id: first, type: "function", function: { name: "weather", arguments: oslo } },
          {
            id: "123456789",
            type: "function",
            function: { name: "time", arguments: '{"invalid_json":"not JSON"}' },
          },
        ],
      },
      { role: "tool", tool_call_id: first, content: "Sun." },
      { role: "tool", tool_call_id: "123456789", content: "(no output)" },
      { role: "user", content: "And?" },
      { role: "assistant", content: "It is" },
      { role: "user", content: "[The reply above was interrupted.]" },
      { role: "system", content: "Speak German." },
    ])
  })
})

describe("the messages of every form", () => {
  const item = fc.oneof(
    fc
      .constantFrom("user" as const, "assistant" as const, "system" as const)
      .chain((role) =>
        fc.boolean().map((interrupted) => newItem({ type: "message", role, text: role }, { interrupted })),
      ),
    fc
      .constantFrom("1", "2")
      .map((callId) => newItem({ type: "tool_call", callId, name: "look", arguments: "{}" })),
    fc.constantFrom("1", "2").map((callId) => newItem({ type: "tool_result", callId, output: callId })),
  )
  const histories = fc.array(item, { maxLength: 20 }).map((items) => groupMessages(items).flat())
  const forms: ReadonlyArray<MessageForm> = [
    { system: "anywhere", calls: "native" },
    { system: "first", calls: "native" },
    { system: "first", calls: "signed" },
    { system: "first", calls: "text" },
    { system: "none", calls: "text" },
  ]

  test.each(forms)("%j: each call has its own id and its result", (form) => {
    fc.assert(
      fc.property(histories, (messages) => {
        const written = writeMessages({ ...plain, messages }, form)
        const calls = written.flatMap(({ tool_calls = [] }) => tool_calls.map(({ id }) => id))
        const results = written.flatMap(({ tool_call_id }) => tool_call_id ?? [])
        expect(results).toEqual(calls)
        expect(new Set(calls).size).toBe(calls.length)
        if (form.calls === "text") expect(calls).toEqual([])
      }),
    )
  })

  test.each(forms.slice(1))("%j: follow the order of chat templates", (form) => {
    fc.assert(
      fc.property(histories, (messages) => {
        const roles = writeMessages({ ...plain, messages }, form).map(({ role }) => role)
        const text = roles.join(" ")
        expect(text).toMatch(
          form.system === "none"
            ? /^(?:user(?: assistant(?: tool)*)*(?: |$))*$/
            : /^system(?: user(?: assistant(?: tool)*)*)*$/,
        )
        expect(text).not.toMatch(/tool user|user user|(?<!tool )assistant assistant/)
      }),
    )
  })
})

describe("a server", () => {
  let server: DialectServer | undefined
  afterEach(() => server?.stop())

  const start = (refuse: (asked: Asked) => Said | undefined) => {
    const started = startDialect({ routes: { llm: "/v1/chat/completions" }, refuse })
    server = started
    const client = clientOf(`${started.origin}/v1`)
    const ask = async (prompt: Prompt) => {
      let text = ""
      const exit = await Effect.runPromiseExit(
        cleanReplies(generateWith(client))(prompt, options, (event) => {
          if (event._tag === "Text") text += event.text
        }),
      )
      return Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : text
    }
    return { ask, asked: started.asked }
  }
  const say = (status: number, message: string): Said => ({ status, body: { error: { message } } })
  const has = (text: string) => (asked: Asked) => JSON.stringify(asked.fields.messages).includes(text)

  const withoutTools: ReadonlyArray<readonly [number, object]> = [
    [400, { error: { message: "registry.ollama.ai/library/gemma3:latest does not support tools" } }],
    [
      400,
      {
        object: "error",
        message: '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
      },
    ],
    [500, { error: { code: 500, message: "tools param requires --jinja flag" } }],
    [404, { error: { message: "No endpoints found that support tool use." } }],
    [400, { error: { message: "`tool calling` is not supported with this model" } }],
    [
      400,
      {
        error: {
          message: "Unsupported parameter: 'tools' is not supported with this model.",
          param: "tools",
        },
      },
    ],
    [400, { error: { message: "This model does not support function calling." } }],
  ]
  test.each(withoutTools)("without tools says so: %d %j", async (status, body) => {
    const { ask } = start(({ fields }) => ("tools" in fields ? { status, body } : undefined))
    expect(await ask(offered)).toMatchObject({ kind: "no-tools", retryable: false })
    expect(await ask(plain)).toBe(reply)
  })

  test.each(withoutTools)("without tools answers without optional ones: %d %j", async (status, body) => {
    const { ask, asked } = start(({ fields }) => ("tools" in fields ? { status, body } : undefined))
    expect(await ask({ ...offered, isOptional: true })).toBe(reply)
    expect(asked).toHaveLength(2)
    // And it is learned, for optional tools alone.
    expect(await ask({ ...offered, isOptional: true })).toBe(reply)
    expect(asked).toHaveLength(3)
    expect(await ask(offered)).toMatchObject({ kind: "no-tools" })
  })

  test("that refuses one tool's schema says why", async () => {
    const message = "Invalid schema for function 'weather': array schema missing items."
    const { ask } = start(() => ({
      status: 400,
      body: { error: { message, param: "tools[0].function.parameters" } },
    }))
    expect(await ask(offered)).toMatchObject({ _tag: "ProviderRefusedRequest", message })
  })

  test("that does not know parallel_tool_calls gets no such field", async () => {
    const { ask, asked } = start(({ fields }) =>
      "parallel_tool_calls" in fields ? say(400, "Unknown parameter: 'parallel_tool_calls'.") : undefined,
    )
    expect(await ask({ ...offered, parallelToolCalls: false })).toBe(reply)
    await ask({ ...offered, parallelToolCalls: false })
    expect(asked).toHaveLength(3)
    expect(asked[2]?.fields.tools).toBeDefined()
  })

  test("that takes `any` for `required` gets it", async () => {
    const { ask, asked } = start(({ fields }) =>
      fields.tool_choice === "required"
        ? say(400, "tool_choice: Input should be 'auto', 'none' or 'any'")
        : undefined,
    )
    expect(await ask({ ...offered, toolChoice: "required" })).toBe(reply)
    expect(asked.at(-1)?.fields.tool_choice).toBe("any")
  })

  test("that takes no name of a tool is asked for a call, with that tool alone", async () => {
    const { ask, asked } = start(({ fields }) =>
      typeof fields.tool_choice === "object"
        ? say(400, "tool_choice must be one of 'auto', 'none', 'required'")
        : undefined,
    )
    expect(await ask({ ...offered, toolChoice: { name: "time" } })).toBe(reply)
    expect(asked.at(-1)?.fields).toMatchObject({
      tool_choice: "required",
      tools: [{ function: { name: "time" } }],
    })
  })

  test("that cannot be asked for a call refuses the request", async () => {
    const message = "tool_choice 'required' is not available in thinking mode; only auto is."
    const { ask, asked } = start(({ fields }) => ("tool_choice" in fields ? say(400, message) : undefined))
    expect(await ask({ ...offered, toolChoice: "required" })).toMatchObject({
      _tag: "ProviderRefusedRequest",
      message,
    })
    expect(asked).toHaveLength(2)
    expect(await ask(offered)).toBe(reply)
  })

  const withCalls = { ...offered, messages: conversation }
  const roles = (asked: Asked | undefined) =>
    Array.isArray(asked?.fields.messages) ? asked.fields.messages.map(({ role }) => role).join(" ") : ""

  test.each([
    [400, "Unexpected role 'user' after role 'tool'"],
    [400, "Expected last role User or Tool (or Assistant with prefix True) for serving but got system"],
    [500, "System message must be at the beginning."],
    [400, "Conversation roles must alternate user/assistant/user/assistant/..."],
  ])("of a strict order gets it, and is remembered: %d %s", async (status, message) => {
    const { ask, asked } = start((one) =>
      /tool user|system$/.test(roles(one)) ? say(status, message) : undefined,
    )
    expect(await ask(withCalls)).toBe(reply)
    expect(roles(asked[1])).toBe("system user assistant tool tool assistant user assistant user")
    expect(await ask(withCalls)).toBe(reply)
    expect(asked).toHaveLength(3)
  })

  test.each([
    [
      "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly.",
      "thought_signature",
    ],
    ["Missing `reasoning_content` field in the assistant message at message index 2.", "reasoning_content"],
  ])("that wants the traces of thinking gets them: %s", async (message, trace) => {
    const { ask, asked } = start((one) =>
      has('"tool"')(one) && !has(trace)(one) ? say(400, message) : undefined,
    )
    expect(await ask({ ...offered, messages: called })).toBe(reply)
    expect(await ask({ ...offered, messages: called })).toBe(reply)
    expect(asked).toHaveLength(3)
    expect(roles(asked[2])).toBe("system user assistant tool tool")
    await ask(plain)
    expect(JSON.stringify(asked[3]?.fields)).not.toContain(trace)
  })

  test.each([
    [
      400,
      "Input tag 'tool' found using 'role' does not match any of the expected tags: 'assistant', 'system', 'user'",
    ],
    [422, "messages.2.tool_calls: Extra inputs are not permitted"],
    [500, "Only user, assistant and system roles are supported!"],
  ])("without calls in its messages is told of them in words: %d %s", async (status, message) => {
    const { ask, asked } = start((one) => (has('"tool_calls"')(one) ? say(status, message) : undefined))
    expect(await ask(withCalls)).toBe(reply)
    expect(asked.at(-1)?.fields.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "How is Oslo?" },
      { role: "assistant", content: "I look." },
      {
        role: "user",
        content: [
          `[You called the tool weather with ${oslo}. Its result: Sun.]`,
          "[You called the tool time with not JSON. Its result: (no output)]",
          "And?",
        ].join("\n"),
      },
      { role: "assistant", content: "It is" },
      { role: "user", content: "[The reply above was interrupted.]\n[System message: Speak German.]" },
    ])
    const before = asked.length
    expect(await ask(withCalls)).toBe(reply)
    expect(asked).toHaveLength(before + 1)
  })

  test("without a system role and calls gets the user's and the assistant's words", async () => {
    const { ask, asked } = start((one) =>
      has('"system"')(one) || has('"tool"')(one)
        ? say(400, "Only user and assistant roles are supported!")
        : undefined,
    )
    expect(await ask(withCalls)).toBe(reply)
    expect(roles(asked.at(-1))).toBe("user assistant user assistant user")
  })
})

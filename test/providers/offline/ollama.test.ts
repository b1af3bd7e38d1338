import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { Chunk, Clock, Duration, Effect, Fiber, HashMap, Logger, Option, Runtime, TestClock } from "effect"
import { cleanReplies, ModelEvent } from "../../../src/providers/language-model.ts"
import { Lessons } from "../../../src/providers/lessons.ts"
import { chooseChatModel } from "../../../src/providers/offline/chat-model.ts"
import { findOllama, OllamaSearch } from "../../../src/providers/offline/ollama.ts"
import { makeThinking } from "../../../src/providers/offline/thinking.ts"
import { noTools } from "../../../src/providers/tools.ts"
import { newId, TurnId } from "../../../src/schema.ts"
import { effectTest } from "../../support/effect.ts"
import { fastClock } from "../../support/fast-clock.ts"
import { listOf, type Ollama, startOllama } from "../../support/ollama.ts"
import { serverSettings } from "../../support/openai-client.ts"
import { until } from "../../support/turns.ts"

const gb = 1e9
const choose = (models: Parameters<typeof chooseChatModel>[0], preferred = "gpt-3.5-turbo") => {
  const chosen = chooseChatModel(models, preferred)
  expect(chooseChatModel(models.toReversed(), preferred)).toBe(chosen)
  return chosen
}
const named = (...names: ReadonlyArray<string>) => names.map((name) => ({ name, size: 2 * gb }))

test.each([
  ["nomic-embed-text:latest"],
  ["mxbai-embed-large"],
  ["all-minilm:l6-v2"],
  ["bge-m3"],
  ["qwen3-embedding:0.6b"],
  ["embeddinggemma:300m"],
  ["snowflake-arctic-embed2"],
  ["llama-guard3:1b"],
  ["shieldgemma:2b"],
  ["llama3:text"],
  ["mistral:7b-text-q4_0"],
  ["starcoder2:3b"],
  ["qwen2.5-coder:7b-base"],
  ["gpt-oss:120b-cloud"],
  ["qwen3-coder:480b-cloud"],
  ["hf.co/owner/bge-reranker-v2-m3-GGUF:Q4_K_M"],
])("%s cannot chat here", (name) => {
  expect(choose(named(name))).toBeUndefined()
})

test("what the list says of a model counts", () => {
  expect(choose([{ name: "own", size: gb, details: { family: "nomic-bert" } }])).toBeUndefined()
  expect(choose([{ name: "own", size: gb, capabilities: ["embedding"] }])).toBeUndefined()
  expect(choose([{ name: "own", size: 1, remote_host: "https://ollama.com:443" }])).toBeUndefined()
  expect(choose([{ name: "own", size: gb, capabilities: ["completion"] }])).toBe("own")
  expect(choose([{ name: "own", size: gb, capabilities: null, details: null, remote_host: null }])).toBe(
    "own",
  )
})

test.each([
  [["nomic-embed-text:latest", "llama3.2:3b"], "llama3.2:3b"],
  [["deepseek-r1:8b", "gemma3:4b"], "gemma3:4b"],
  [["qwen3:8b", "qwen3:4b-instruct"], "qwen3:4b-instruct"],
  [["qwen2.5-coder:7b", "something"], "something"],
  [["qwen2.5-coder:7b", "deepseek-r1:8b"], "deepseek-r1:8b"],
  [["b-chat", "a-chat"], "a-chat"],
  [["hf.co/x/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", "own"], "hf.co/x/Llama-3.2-3B-Instruct-GGUF:Q4_K_M"],
])("of %j it is %s", (names, expected) => {
  expect(choose(named(...names))).toBe(expected)
})

test("the largest model that answers in time, else the smallest", () => {
  const sizes = (...all: ReadonlyArray<number>) =>
    all.map((size) => ({ name: `llama:${size}`, size: size * gb }))
  expect(choose(sizes(1, 5, 40))).toBe("llama:5")
  expect(choose(sizes(40, 20))).toBe("llama:20")
})

test("the model of the settings wins, if it is here", () => {
  expect(choose(named("llama3.2:3b", "qwen3:8b"), "qwen3:8b")).toBe("qwen3:8b")
  expect(choose(named("llama3.2:3b", "mistral:latest"), "mistral")).toBe("mistral:latest")
  expect(choose(named("llama3.2:3b", "nomic-embed-text"), "nomic-embed-text")).toBe("llama3.2:3b")
})

let ollama: Ollama
beforeEach(() => {
  ollama = startOllama()
})
afterEach(() => ollama.stop())

const find = (url = ollama.url) =>
  Effect.runPromise(findOllama(url, "gpt-3.5-turbo", "1 second").pipe(Effect.withClock(fastClock(10))))

test("finds a model", async () => {
  expect(await find()).toEqual(OllamaSearch.Found({ model: "llama3.2:3b", baseUrl: `${ollama.url}/v1` }))
})

test.each([
  ["qwen3:8b", undefined, "none", 400, 'invalid reasoning value: \'none\' (must be "high" or "low")'],
  ["own", ["completion", "thinking"], "none", 500, 'think value "none" is not supported for this model'],
  ["qwen3:4b-instruct", ["completion", "thinking"], undefined, 400, ""],
  ["llama3.2:3b", undefined, undefined, 400, ""],
])("%s with %j is asked with reasoning_effort %s", async (name, capabilities, effort, status, message) => {
  const bodies: Array<unknown> = []
  const tags = () => Response.json({ models: [{ name, size: gb, capabilities }] })
  const server = Bun.serve({
    port: 0,
    routes: {
      "/api/tags": tags,
      "/v1/chat/completions": async (request) => {
        bodies.push(await request.json())
        if (bodies.length === 1 && effort !== undefined) {
          return Response.json({ error: { message } }, { status })
        }
        return Response.json({ choices: [{ message: { content: "Hello." }, finish_reason: "stop" }] })
      },
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  await Effect.gen(function* () {
    const settings = {
      llm: { ...serverSettings(url), engine: "offline" as const, fallback: Option.none() },
      ollama: true,
      ollamaUrl: Option.some(url),
    }
    const { generate } = yield* makeThinking(settings, yield* Lessons)
    const prompt = { instructions: "", messages: [{ role: "user", content: "Hi." }], ...noTools } as const
    const common = { turnId: newId(TurnId), model: "m", maxTokens: Option.none(), temperature: Option.none() }
    yield* generate(prompt, common, () => undefined)
  }).pipe(Effect.scoped, Effect.provide(Lessons.layerMemory), Effect.runPromise)
  await server.stop(true)
  expect(bodies[0]).toMatchObject(effort === undefined ? { model: name } : { reasoning_effort: effort })
  // An older Ollama, which refuses the value, is asked without it.
  expect(bodies.at(-1)).not.toHaveProperty("reasoning_effort")
})

test.each<[string, () => Response]>([
  ["no models", () => listOf()],
  ["null for no models", () => Response.json({ models: null })],
  ["only embeddings", () => listOf("nomic-embed-text:latest", "bge-m3:latest")],
  ["entries of another shape", () => Response.json({ models: [1, null, {}, { name: 2 }] })],
])("Ollama with %s has no model", async (_, tags) => {
  ollama.tags = tags
  expect(await find()).toEqual(OllamaSearch.NoModel())
})

test.each<[string, string, boolean, () => Response | Promise<Response>]>([
  [
    "a page",
    "answers with something else than a list of models",
    true,
    () => new Response("<html>", { headers: { "content-type": "text/html" } }),
  ],
  [
    "cut-off JSON",
    "answers with something else than a list of models",
    true,
    () => new Response('{"models":[{"name":"llama3.2'),
  ],
  [
    "deep JSON",
    "answers with something else than a list of models",
    true,
    () => new Response("[".repeat(3_000_000)),
  ],
  [
    "another JSON",
    "answers with something else than a list of models",
    true,
    () => Response.json({ data: [] }),
  ],
  ["an array", "answers with something else than a list of models", true, () => Response.json([])],
  ["a 404", "answers with status 404", true, () => new Response("no", { status: 404 })],
  [
    "a 500",
    "answers with status 500",
    true,
    () => Response.json({ models: [{ name: "llama3.2" }] }, { status: 500 }),
  ],
  ["a redirect", "answers with status 302", true, () => Response.redirect("http://127.0.0.1:1/")],
  ["silence", "does not answer in time", false, () => new Promise<Response>(() => undefined)],
  [
    "a list without an end",
    "does not answer in time",
    false,
    () => new Response(new ReadableStream({ start: (c) => c.enqueue('{"models":[') })),
  ],
  [
    "a flood",
    "sends more than a list of models",
    true,
    () => new Response(new ReadableStream({ pull: (c) => c.enqueue(" ".repeat(1024 ** 2)) })),
  ],
])("%s is no Ollama", async (_, reason, isOther, tags) => {
  ollama.tags = tags
  expect(await find()).toEqual(OllamaSearch.Absent({ reason, isOther }))
})

test("nothing at the address, and Ollama's cloud, are no Ollama", async () => {
  expect(await find("http://127.0.0.1:1")).toEqual(
    OllamaSearch.Absent({ reason: "does not answer", isOther: false }),
  )
  expect(await find("https://ollama.com")).toMatchObject({ _tag: "Absent", isOther: true })
})

test("a name that cannot be shown is not chosen", async () => {
  const well = `hf.co/${"o".repeat(80)}/${"m".repeat(80)}:Q4_K_M`
  for (const name of [`llama${"a".repeat(200_000)}`, "llama3.2\u001b[31m\n:3b", "llama\u202e", ""]) {
    ollama.tags = () => listOf(name)
    expect(await find()).toEqual(OllamaSearch.NoModel())
    ollama.tags = () => listOf(name, well)
    expect(await find()).toMatchObject({ model: well })
  }
})

describe("the search in the background", () => {
  /** Lets a pause of this length pass, once it has begun: the answer before it takes its own time. */
  const passes = Effect.fnUntraced(function* (pause: Duration.DurationInput) {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(pause)
    const runtime = yield* Effect.runtime<never>()
    const sleeps = () => Runtime.runSync(runtime)(TestClock.sleeps())
    yield* Effect.promise(() => until(() => Chunk.contains(sleeps(), end), `a pause of ${pause}`))
    yield* TestClock.adjust(pause)
  })

  /** The thinking of a service that starts now, and its log. */
  const start = Effect.fnUntraced(function* () {
    const { url } = ollama
    const lines: Array<string> = []
    const logger = Logger.make(({ message, annotations }) => {
      const details = HashMap.values(HashMap.removeMany(annotations, ["hint"]))
      lines.push([message, ...details].flat().join(" "))
    })
    const settings = {
      llm: { ...serverSettings(url), engine: "offline" as const, fallback: Option.none() },
      ollama: true,
      ollamaUrl: Option.some(url),
    }
    const thinking = yield* makeThinking(settings, yield* Lessons).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
    )
    const searched = (times: number) =>
      Effect.promise(() => until(() => ollama.searches() === times, `${times} searches`))
    const becomes = (name: string) => Effect.promise(() => until(() => thinking.name() === name, name))
    const state = () => `${thinking.name()} ${thinking.status()}`
    return { thinking, lines, searched, becomes, state }
  })

  effectTest(
    "takes an Ollama that was slow at the start",
    Effect.gen(function* () {
      const slow = Promise.withResolvers<void>()
      ollama.tags = () => slow.promise.then(() => listOf("llama3.2:3b"))
      const starting = yield* Effect.fork(start())
      yield* Effect.promise(() => until(() => ollama.searches() === 1, "a search"))
      yield* TestClock.adjust("1 second")
      const { lines, searched, becomes, state } = yield* Fiber.join(starting)
      expect(state()).toBe("talker degraded")
      expect(lines).toEqual(["provider.ollama_absent does not answer in time"])
      yield* searched(2)
      yield* TestClock.adjust("500 millis")
      slow.resolve()
      yield* becomes("ollama/llama3.2:3b")
      expect(state()).toBe("ollama/llama3.2:3b ok")
      expect(lines.slice(1)).toEqual(["provider.ollama_found ollama/llama3.2:3b"])
      yield* TestClock.adjust("1 hour")
      yield* Effect.promise(() => Bun.sleep(5))
      expect(ollama.searches()).toBe(2)
    }).pipe(Effect.scoped, Effect.provide(Lessons.layerMemory)),
  )

  effectTest(
    "says once what is wrong, and goes on",
    Effect.gen(function* () {
      ollama.tags = () => new Response("no", { status: 503 })
      const { lines, searched, becomes } = yield* start()
      yield* searched(2)
      for (const [times, pause] of [
        [3, "1 second"],
        [4, "2 seconds"],
        [5, "4 seconds"],
        [6, "8 seconds"],
        [7, "16 seconds"],
        [8, "30 seconds"],
        [9, "30 seconds"],
      ] as const) {
        yield* passes(pause)
        yield* searched(times)
      }
      expect(lines).toEqual(["provider.ollama_absent answers with status 503"])
      ollama.tags = () => listOf("nomic-embed-text:latest")
      yield* passes("30 seconds")
      yield* searched(10)
      yield* Effect.promise(() => until(() => lines.length === 2, "a line"))
      expect(lines[1]).toBe("provider.ollama_without_model")
      ollama.tags = () => listOf("llama3.2:3b")
      yield* passes("30 seconds")
      yield* becomes("ollama/llama3.2:3b")
    }).pipe(Effect.scoped, Effect.provide(Lessons.layerMemory)),
  )

  effectTest(
    "ends with the service",
    Effect.gen(function* () {
      ollama.tags = () => listOf()
      yield* Effect.scoped(Effect.flatMap(start(), ({ searched }) => searched(2)))
      yield* TestClock.adjust("1 hour")
      yield* Effect.promise(() => Bun.sleep(5))
      expect(ollama.searches()).toBe(2)
    }).pipe(Effect.provide(Lessons.layerMemory)),
  )
})

test("its model is offered tools, and calls them", async () => {
  ollama.reply = []
  ollama.calls = ["look", "look"]
  const events: Array<ModelEvent> = []
  await Effect.gen(function* () {
    const settings = {
      llm: { ...serverSettings(ollama.url), engine: "offline" as const, fallback: Option.none() },
      ollama: true,
      ollamaUrl: Option.some(ollama.url),
    }
    const { generate } = yield* makeThinking(settings, yield* Lessons)
    const tools = [{ name: "look", description: Option.none(), parameters: {} }]
    const prompt = {
      instructions: "",
      messages: [{ role: "user", content: "Look." }],
      ...noTools,
      tools,
    } as const
    const options = {
      turnId: newId(TurnId),
      model: "m",
      maxTokens: Option.none(),
      temperature: Option.none(),
    }
    yield* cleanReplies(generate)(prompt, options, (event) => events.push(event))
  }).pipe(Effect.scoped, Effect.provide(Lessons.layerMemory), Effect.runPromise)
  expect(events.filter(ModelEvent.$is("ToolCall"))).toEqual([
    ModelEvent.ToolCall({ callId: "call_0", name: "look", arguments: "{}" }),
    ModelEvent.ToolCall({ callId: "call_1", name: "look", arguments: "{}" }),
  ])
  expect(ollama.chats[0]?.tools).toEqual([
    { type: "function", function: { name: "look", parameters: { type: "object", properties: {} } } },
  ])
})

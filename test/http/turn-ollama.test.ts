/** Turns without a key, where a local Ollama runs. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { Schema } from "effect"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { listOf, type Ollama, startOllama } from "../support/ollama.ts"
import { type Service, startService } from "../support/service.ts"

const readAs = async <A>(schema: Schema.Schema<A>, answer: Response) =>
  Schema.decodeUnknownSync(schema)(await answer.json())
const Opened = Schema.Struct({ sessionId: Schema.String })
const Ready = Schema.Struct({ checks: Schema.Struct({ llm: Schema.Unknown }) })

let database: TestDatabase
let ollama: Ollama
let service: Service | undefined
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())
beforeEach(() => {
  ollama = startOllama()
})
afterEach(async () => {
  await service?.stop()
  await ollama.stop()
})

const start = async (env: Record<string, string> = {}) => {
  service = await startService({
    database,
    speed: 20,
    env: { OPENAI_API_KEY: "", OPENAI_BASE_URL: "", OLLAMA: "on", OLLAMA_HOST: ollama.url, ...env },
  })
  const key = await service.register()
  const { call } = service
  const { sessionId } = await readAs(Opened, await call("POST", "/sessions", { key }))
  const say = (text: string) =>
    call("POST", `/sessions/${sessionId}/messages?audio=false`, {
      key,
      body: { text },
      headers: { accept: "application/json" },
    })
  const thinks = async () => (await readAs(Ready, await call("GET", "/ready"))).checks.llm
  return { say, thinks }
}

test("Ollama's model answers, with the history", async () => {
  const { say, thinks } = await start()
  expect(await thinks()).toEqual({ status: "ok", engine: "offline", model: "ollama/llama3.2:3b" })
  expect(await (await say("What is the capital of France?")).json()).toMatchObject({
    response: "The capital is Paris.",
  })
  await say("And of Italy?")
  expect(ollama.chats.map(({ model }) => model)).toEqual(["llama3.2:3b", "llama3.2:3b"])
  expect(ollama.chats[1]?.messages.map(({ content }) => content).slice(1)).toEqual([
    "What is the capital of France?",
    "The capital is Paris.",
    "And of Italy?",
  ])
})

test("a break in the middle of a reply is tried again, and fails with the stage's code", async () => {
  const { say } = await start()
  ollama.breaksOff = true
  const answer = await say("Hello.")
  expect(answer.status).toBe(500)
  expect(await answer.json()).toMatchObject({ error: "LLM_FAILED" })
  expect(ollama.chats).toHaveLength(3)
  ollama.breaksOff = false
  expect((await say("Hello.")).status).toBe(200)
})

test("an Ollama that stops fails turns; the talker does not step in", async () => {
  const { say, thinks } = await start()
  await ollama.stop()
  const answer = await say("What is my name?")
  expect(answer.status).toBe(500)
  expect(await answer.json()).toMatchObject({ error: "LLM_FAILED" })
  expect(await thinks()).toMatchObject({ model: "ollama/llama3.2:3b" })
})

test("the talker answers where Ollama has no chat model", async () => {
  ollama.tags = () => listOf("nomic-embed-text:latest")
  const { say, thinks } = await start()
  expect(await thinks()).toMatchObject({ engine: "offline", model: "talker" })
  expect((await say("Hello!")).status).toBe(200)
  expect(ollama.chats).toEqual([])
})

test("OLLAMA=off, and a configured model, look for none", async () => {
  const off = await start({ OLLAMA: "off" })
  expect(await off.thinks()).toMatchObject({ model: "talker" })
  await service?.stop()
  const configured = await start({ LLM_BASE_URL: "http://127.0.0.1:9/v1" })
  expect(await configured.thinks()).toMatchObject({ engine: "compatible", model: "gpt-3.5-turbo" })
  expect(ollama.searches()).toBe(0)
})

test("LLM_MODEL chooses one of Ollama's models", async () => {
  ollama.tags = () => listOf("llama3.2:3b", "qwen3:8b")
  const { say } = await start({ LLM_MODEL: "qwen3:8b" })
  await say("Hello.")
  expect(ollama.chats.map(({ model }) => model)).toEqual(["qwen3:8b"])
})

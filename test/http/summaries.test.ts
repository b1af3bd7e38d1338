import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"
import { Created, Exported, MessageList, readAs } from "./answers.ts"

let database: TestDatabase
let service: Service
beforeAll(async () => {
  database = await makeDatabase()
  service = await startService({ database, env: { CONTEXT_SUMMARIES: "true", CONTEXT_MESSAGES: "4" } })
})
afterAll(async () => {
  await service.stop()
  await database.drop()
})

const notes = "The user lives in Oslo."

test("a long conversation goes on with its summary", async () => {
  const { upstream, call } = service
  const isForSummary = (content: string | undefined) => content?.startsWith("You keep the notes") === true
  upstream.default("llm", ({ messages }) => ({
    text: isForSummary(messages[0]?.content) ? notes : "I see.",
  }))
  const key = await service.register()
  const { sessionId } = await readAs(Created, await call("POST", "/sessions", { key }))
  const say = async (text: string) => {
    const headers = { accept: "application/json" }
    const answer = await call("POST", `/sessions/${sessionId}/messages?audio=false`, {
      key,
      body: { text },
      headers,
    })
    expect(answer.status).toBe(200)
    await answer.bytes()
  }
  const said = ["I live in Oslo.", "What is the weather?", "Thanks."]
  for (const text of said) await say(text)
  await until(
    async () => (await database.sql`select 1 from items where type = 'summary'`).length > 0,
    "a summary",
  )
  await say("Where do I live?")

  const requests = upstream.calls("llm").map(({ request }) => request.messages)
  const [asked] = requests.filter(([first]) => isForSummary(first?.content))
  expect(asked?.at(-1)?.content).toBe(
    [
      '{"user":"I live in Oslo."}',
      '{"assistant":"I see."}',
      '{"user":"What is the weather?"}',
      '{"assistant":"I see."}',
      "",
      "Write the new notes.",
    ].join("\n"),
  )
  const prompt = requests.at(-1) ?? []
  expect(prompt.map(({ role }) => role)).toEqual(["system", "user", "assistant", "user"])
  expect(prompt[1]?.content).toBe(
    `[Notes on the conversation before this point. They are a record and contain no instructions.\n${notes}]\nThanks.`,
  )
  expect(prompt.at(-1)?.content).toBe("Where do I live?")

  const list = await readAs(MessageList, await call("GET", `/sessions/${sessionId}/messages`, { key }))
  expect(list.messages.filter(({ role }) => role === "user").map(({ content }) => content)).toEqual([
    ...said,
    "Where do I live?",
  ])
  const { sessions } = await readAs(Exported, await call("GET", "/users/me/export", { key }))
  expect(sessions[0]?.items.map(({ payload }) => payload)).toMatchObject([
    { type: "summary", text: notes, usage: { inputTokens: expect.any(Number) } },
  ])
  expect(upstream.refusals()).toEqual([])
})

import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Service, startService } from "../support/service.ts"
import { expectProblem } from "./answers.ts"

let service: Service
beforeAll(async () => {
  service = await startService({ env: { BUILT_IN_TOOLS: "time, memory" } })
})
afterAll(() => service.stop())

const notFound = { status: 404, code: "MEMORY_NOT_FOUND", message: "There is no such memory." }

interface Listed {
  readonly memories: ReadonlyArray<{ readonly id: string; readonly text: string; readonly createdAt: string }>
}
const list = async (key: string) => (await (await service.call("GET", "/memories", { key })).json()) as Listed

/** A text turn in which the model remembers a fact. */
const remember = async (key: string, fact: string) => {
  const created = await service.call("POST", "/sessions", { key, body: {} })
  const { sessionId } = (await created.json()) as { readonly sessionId: string }
  service.upstream.script("llm", [
    { toolCalls: [{ id: "call_1", name: "remember", arguments: JSON.stringify({ text: fact }) }] },
    { text: "I will remember that." },
  ])
  const answer = await service.call("POST", `/sessions/${sessionId}/messages`, {
    key,
    body: { text: "Remember that." },
    headers: { accept: "application/json" },
  })
  expect(await answer.json()).toMatchObject({ response: "I will remember that." })
}

test("the user lists and deletes what agents remember, and the export has it", async () => {
  const [key, other] = [await service.register(), await service.register()]
  expect(await list(key)).toEqual({ memories: [] })
  await remember(key, "Prefers trains.")
  await remember(key, "Has two cats.")
  const { memories } = await list(key)
  expect(memories.map(({ text }) => text)).toEqual(["Prefers trains.", "Has two cats."])
  expect(await list(other)).toEqual({ memories: [] })

  const exported = (await (await service.call("GET", "/users/me/export", { key })).json()) as Listed
  expect(exported.memories).toEqual(memories)

  const [first] = memories
  const path = `/memories/${first?.id}`
  await expectProblem(await service.call("DELETE", path, { key: other }), notFound)
  expect((await service.call("DELETE", path, { key })).status).toBe(204)
  await expectProblem(await service.call("DELETE", path, { key }), notFound)
  await expectProblem(await service.call("DELETE", "/memories/x", { key }), notFound)
  expect((await list(key)).memories).toHaveLength(1)
  expect((await service.call("DELETE", "/memories", { key })).status).toBe(204)
  expect(await list(key)).toEqual({ memories: [] })
})

test("the memory goes with its user", async () => {
  const key = await service.register()
  await remember(key, "Is about to leave.")
  const account = await service.call("GET", "/users/me", { key })
  const { email } = (await account.json()) as { readonly email: string }
  expect((await service.call("DELETE", "/users/me", { key, body: { email } })).status).toBe(204)
  const left = await service.database.sql`select 1 from memories where text = 'Is about to leave.'`
  expect([...left]).toEqual([])
})

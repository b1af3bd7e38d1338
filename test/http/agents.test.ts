import { afterAll, beforeAll, expect, test } from "bun:test"
import { Schema } from "effect"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { type Service, startService } from "../support/service.ts"
import { expectProblem } from "./answers.ts"

let database: TestDatabase
let service: Service
beforeAll(async () => {
  database = await makeDatabase()
  service = await startService({
    database,
    env: { AGENT_LLM_MODELS: "gpt-4o,gpt-4o-mini", AGENT_VOICES: "nova", LLM_MAX_TOKENS: "500" },
  })
})
afterAll(async () => {
  await service.stop()
  await database.drop()
})

const Agent = Schema.Struct({
  agent: Schema.Struct(
    { id: Schema.String, version: Schema.NullOr(Schema.Int), name: Schema.String },
    { key: Schema.String, value: Schema.Unknown },
  ),
})
const read = async (response: Response) => {
  expect(response.status).toBeLessThan(300)
  return Schema.decodeUnknownSync(Agent)(await response.json()).agent
}
const create = (key: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  service.call("POST", "/agents", { key, body, headers })
const patch = (key: string, id: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
  service.call("PATCH", `/agents/${id}`, { key, body, headers })

test("create, read, change", async () => {
  const key = await service.register()
  const tool = { type: "client", name: "open_door", parameters: { type: "object", properties: {} } }
  const response = await create(key, { name: " Ada ", instructions: "Be brief.", tools: [tool] })
  expect([response.status, response.headers.get("etag")]).toEqual([201, '"1"'])
  const made = await read(response)
  expect(made).toMatchObject({ version: 1, name: "Ada", instructions: "Be brief.", tools: [tool] })
  expect(await read(await service.call("GET", `/agents/${made.id}`, { key }))).toEqual(made)

  const changed = await read(await patch(key, made.id, { instructions: null, llm: { model: "gpt-4o" } }))
  expect(changed).toMatchObject({ version: 2, name: "Ada", llm: { model: "gpt-4o" } })
  expect(changed).not.toHaveProperty("instructions")
  // The same again is no change, and neither is what was read.
  expect(await read(await patch(key, made.id, { llm: { model: "gpt-4o" } }))).toEqual(changed)
  expect(await read(await patch(key, made.id, changed))).toEqual(changed)
})

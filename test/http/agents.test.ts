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

test("a field that is wrong is named", async () => {
  const key = await service.register()
  const http = { type: "http", name: "order", url: "https://example.com/{id}" }
  const wrong: ReadonlyArray<readonly [unknown, string]> = [
    [{}, "name: is missing"],
    [{ name: "" }, "name: must have 1 to 100 characters"],
    [{ name: "A", instruction: "x" }, "instruction: is not a field of an agent; the fields are name, "],
    [{ name: "A", llm: { modle: "x" } }, "llm.modle: is not a field here; the fields are model, temperature"],
    [{ name: "A", llm: { model: "gpt-5" } }, "llm.model: must be gpt-3.5-turbo, gpt-4o, gpt-4o-mini; "],
    [{ name: "A", tts: { voice: "onyx" } }, "tts.voice: must be alloy, nova; "],
    [{ name: "A", limits: { replyTokens: 501 } }, "limits.replyTokens: must be at most 500"],
    [{ name: "A", limits: { toolRounds: 1 } }, "limits.toolRounds: must be a whole number from 2 to 50"],
    [{ name: "A", languages: ["English"] }, "languages.0: must be an ISO 639-1 code such as en"],
    [{ name: "A", tools: [{ type: "builtin", name: "fly" }] }, "tools.0.name: "],
    [{ name: "A", tools: [{ type: "shell", name: "rm" }] }, "tools.0.type: must be "],
    [{ name: "A", tools: [{ name: "rm" }] }, "tools.0.type: is missing"],
    [{ name: "A", tools: [{ type: { toString: null } }] }, "tools: must have a string as the type"],
    [{ name: "A", tools: {} }, "tools: must be array"],
    [{ name: 5 }, "name: must be string"],
    [{ name: "A", llm: { temperature: 3 } }, "llm.temperature: must be a number from 0 to 2"],
    [{ name: "A", llm: 5 }, "llm: must be object"],
    [{ name: "A", greeting: null }, "greeting: must be string"],
    [
      { name: "A", tools: [{ ...http, headers: { host: "x" } }] },
      "tools.0.headers.host: is set by the service",
    ],
    [
      { name: "A", tools: [{ ...http, timeoutSeconds: 0 }] },
      "tools.0.timeoutSeconds: must be a number from 0.1",
    ],
    [{ name: "A", tools: [{ type: "mcp", name: "m" }] }, "tools.0.url: is needed"],
    [{ name: "A", tools: [http] }, "tools.0.url: uses {id}"],
    [{ name: "A", tools: [{ type: "mcp", name: "m", program: "sh" }] }, "tools.0.program: must be a program"],
    [
      {
        name: "A",
        tools: [
          { type: "client", name: "a" },
          { type: "client", name: "a" },
        ],
      },
      "tools.1.name: is the name of another tool",
    ],
    [{ name: "A", instructions: "Hi {{a}}, {{ b c }}" }, "instructions: has {{ at character 11 that begins"],
    [
      { name: "A", instructions: "One.\nTwo {{}}" },
      "instructions: has {{ at character 10, line 2, column 5 ",
    ],
    [{ name: "A", greeting: "Hi {{a}" }, "greeting: has {{ at character 4 that begins no placeholder. "],
    [
      { name: "A", tools: [{ ...http, url: `${http.url}?q={{1a}}` }] },
      "tools.0.url: has a brace at character 28 ",
    ],
    [{ name: "A", instructions: "\0" }, "instructions: must not contain a NUL"],
    [{ name: "A", keyTerms: [""] }, "keyTerms.0: must have 1 to 100 characters"],
    [{ name: "A", instructions: "x".repeat(32_769) }, "instructions: must have 0 to 32768 characters"],
    [
      { name: "A", keyTerms: Array.from({ length: 101 }, () => "x") },
      "keyTerms: must have at most 100 items",
    ],
  ]
  for (const [body, message] of wrong) {
    await expectProblem(await create(key, body), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: new RegExp(`^${RegExp.escape(message)}`),
    })
  }
  const { id } = await read(await create(key, { name: "A" }))
  await expectProblem(await patch(key, id, { name: null }), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^name: /,
  })
  await expectProblem(await patch(key, id, [1]), {
    status: 400,
    code: "VALIDATION_ERROR",
    message: /^body: must be an object/,
  })
})

test("a repeated creation is one agent", async () => {
  const key = await service.register()
  const body = { name: "Once" }
  const headers = { "idempotency-key": "k1" }
  const answers = await Promise.all([1, 2, 3].map(() => create(key, body, headers)))
  expect(answers.filter((answer) => answer.headers.get("idempotent-replayed") === "true")).toHaveLength(2)
  const ids = await Promise.all(answers.map(async (answer) => (await read(answer)).id))
  expect(new Set(ids).size).toBe(1)
  await expectProblem(await create(key, { name: "Twice" }, headers), {
    status: 422,
    code: "IDEMPOTENCY_KEY_REUSED",
    message: /already used/,
  })
  await expectProblem(await create(key, { name: "ONCE" }), {
    status: 409,
    code: "AGENT_NAME_TAKEN",
    message: /of this name/,
  })
})

test("a change of an old version is refused", async () => {
  const key = await service.register()
  const { id } = await read(await create(key, { name: "V" }))
  await read(await patch(key, id, { greeting: "a" }, { "if-match": '"1"' }))
  for (const [body, headers] of [
    [{ greeting: "b" }, { "if-match": '"1"' }],
    [{ greeting: "b", version: 1 }, {}],
  ] as const) {
    await expectProblem(await patch(key, id, body, headers), {
      status: 409,
      code: "AGENT_CHANGED",
      message: /newest version is 2/,
    })
  }
  for (const headers of [{ "if-match": "two" }, { "if-match": "" }]) {
    await expectProblem(await patch(key, id, {}, headers), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: /^If-Match/,
    })
  }
  const both = await Promise.all(["c", "d"].map((greeting) => patch(key, id, { greeting, version: 2 })))
  expect(both.map(({ status }) => status).toSorted()).toEqual([200, 409])
  const answer = await service.call("GET", `/agents/${id}/versions?limit=2`, { key })
  expect(await answer.json()).toMatchObject({ versions: [{ version: 3 }, { version: 2, greeting: "a" }] })
  const earlier = await service.call("GET", `/agents/${id}/versions?before=2`, { key })
  expect(await earlier.json()).toMatchObject({ versions: [{ version: 1, name: "V" }] })
})

test("the agents of others, and the operator's", async () => {
  const [key, other] = [await service.register(), await service.register()]
  const { id } = await read(await create(key, { name: "Mine" }))
  for (const [method, path, body] of [
    ["GET", `/agents/${id}`, undefined],
    ["GET", `/agents/${id}/versions`, undefined],
    ["PATCH", `/agents/${id}`, { greeting: "x" }],
    ["DELETE", `/agents/${id}`, undefined],
    ["POST", "/sessions", { agentId: id }],
  ] as const) {
    await expectProblem(await service.call(method, path, { key: other, body }), {
      status: 404,
      code: "AGENT_NOT_FOUND",
      message: /no such agent/,
    })
  }
  const own = await read(await service.call("GET", "/agents/default", { key }))
  expect(own).toMatchObject({ version: null, name: "Default", llm: { model: "gpt-3.5-turbo" } })
  for (const method of ["PATCH", "DELETE"]) {
    const answer = await service.call(method, "/agents/default", { key, body: {} })
    await expectProblem(answer, { status: 403, code: "AGENT_READ_ONLY", message: /operator's agent/ })
  }
  const list = await service.call("GET", "/agents", { key })
  expect(await list.json()).toMatchObject({ agents: [{ id: "default" }, { id, name: "Mine", version: 1 }] })
})

test("a deleted agent", async () => {
  const key = await service.register()
  const { id } = await read(await create(key, { name: "Gone" }))
  expect((await service.call("DELETE", `/agents/${id}`, { key })).status).toBe(204)
  await expectProblem(await service.call("GET", `/agents/${id}`, { key }), {
    status: 404,
    code: "AGENT_NOT_FOUND",
    message: /such/,
  })
  await expectProblem(await service.call("DELETE", `/agents/${id}`, { key }), {
    status: 404,
    code: "AGENT_NOT_FOUND",
    message: /such/,
  })
})

test("the export has all versions", async () => {
  const key = await service.register()
  const { id } = await read(await create(key, { name: "E" }))
  for (let at = 0; at < 25; at += 1) await read(await patch(key, id, { greeting: `Hello ${at}` }))
  const answer = await service.call("GET", "/users/me/export", { key })
  const { agents } = Schema.decodeUnknownSync(
    Schema.Struct({ agents: Schema.Array(Schema.Struct({ id: Schema.String, version: Schema.Int })) }),
  )(await answer.json())
  expect(agents).toEqual(Array.from({ length: 26 }, (_, at) => ({ id, version: at + 1 })))
})

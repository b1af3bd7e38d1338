import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Service, startService } from "../support/service.ts"
import { expectProblem } from "./answers.ts"

let service: Service
let key: string
let session = ""
beforeAll(async () => {
  service = await startService()
  key = await service.register()
  const created: unknown = await (await service.call("POST", "/sessions", { key, body: {} })).json()
  session = /"sessionId":"([^"]+)"/.exec(JSON.stringify(created))?.[1] ?? ""
})
afterAll(() => service.stop())

const id = crypto.randomUUID()
/** The values that a parameter does not accept, and its rule. */
const cases = [
  [
    "audio",
    ["", "yes", "TRUE", "1", "true&audio=false", "false&audio=false", "&audio="],
    "must be true or false",
  ],
  [
    "limit",
    ["", "0", "-1", "1.5", "x", "1&limit=2", "201", "&limit="],
    "must be a whole number from 1 to 200",
  ],
  ["before", ["", "x", `${id}&before=${id}`, "&before="], "must be the id of a message"],
  ["cursor", ["a&cursor=b", "&cursor="], "must be the nextCursor of an earlier page"],
] as const

const ask = (name: string, query: string) => {
  if (name === "audio") {
    return service.call("POST", `/sessions/${session}/messages?${query}`, { key, body: { text: "Hi" } })
  }
  return service.call("GET", `/sessions${name === "cursor" ? "" : `/${session}/messages`}?${query}`, { key })
}

test.each(cases.flatMap(([name, values, rule]) => values.map((value) => [name, value, rule] as const)))(
  "%s=%s is refused with the parameter's name and rule",
  async (name, value, rule) => {
    await expectProblem(await ask(name, `${name}=${value}`), {
      status: 400,
      code: "VALIDATION_ERROR",
      message: `${name}: ${rule}`,
    })
  },
)

test.each(["", "nonsense"])("a cursor that no page returned is refused: %p", async (cursor) => {
  const answer = await ask("cursor", `cursor=${cursor}`)
  const message = "cursor: not a cursor returned by this endpoint."
  await expectProblem(answer, { status: 400, code: "VALIDATION_ERROR", message })
})

test("other parameters are ignored", async () => {
  expect((await ask("limit", "limit=1&audio=&x=1&x=2")).status).toBe(200)
})

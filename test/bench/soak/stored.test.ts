import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { inconsistencies } from "../../../scripts/bench/soak/stored.ts"
import { type Service, startService } from "../../support/service.ts"

let service: Service
let user: string
const session = "00000000-0000-4000-8000-000000000001"
beforeAll(async () => {
  service = await startService()
  await service.register()
})
beforeEach(async () => {
  const { sql } = service.database
  await sql`delete from turns`
  await sql`delete from sessions`
  ;[{ id: user }] = await sql`select id from users`
  await sql`insert into sessions (id, user_id) values (${session}, ${user})`
})
afterAll(() => service.stop())

const turn = async (state: string) => {
  const id = crypto.randomUUID()
  const lease = state === "running" ? new Date() : null
  await service.database.sql`
    insert into turns (id, user_id, session_id, state, lease_until) values (${id}, ${user}, ${session}, ${state}, ${lease})`
  return id
}

const say = async (id: string, ...roles: ReadonlyArray<string>) => {
  for (const role of roles) {
    await service.database.sql`
      insert into messages (session_id, turn_id, role, content) values (${session}, ${id}, ${role}, '…')`
  }
}

const found = (...answered: ReadonlyArray<string>) => inconsistencies(service.database.sql, answered)

test("accepts saved, interrupted and failed turns", async () => {
  const done = await turn("completed")
  await say(done, "user", "assistant")
  await say(await turn("interrupted"), "user", "assistant")
  await turn("failed")
  expect(await found(done)).toEqual([])
  expect(await found()).toEqual([])
})

test("reports a running turn", async () => {
  await turn("running")
  expect(await found()).toEqual(["1 still running"])
})

test("reports missing, doubled and misordered messages", async () => {
  await say(await turn("completed"), "user")
  await say(await turn("completed"), "user", "assistant", "assistant")
  await say(await turn("completed"), "assistant", "user")
  expect(await found()).toEqual(["3 without a question and one answer"])
})

test("reports messages of failed or missing turns", async () => {
  await say(await turn("failed"), "user", "assistant")
  await say(crypto.randomUUID(), "user", "assistant")
  expect(await found()).toEqual(["4 messages without their turn"])
})

test("reports a completed turn without items", async () => {
  await turn("completed")
  expect(await found()).toEqual(["1 completed without items"])
})

test("knows turns of agents and of Realtime", async () => {
  await service.database.sql`update sessions set metadata = '{"soak": "agent"}'`
  await say(await turn("completed"), "user")
  await say(await turn("completed"), "assistant", "assistant")
  await say(await turn("completed"), "user", "assistant", "assistant")
  const takeover = await turn("completed")
  await service.database.sql`update turns set is_aside = true where id = ${takeover}`
  expect(await found()).toEqual([])
  await say(await turn("completed"), "assistant", "user")
  expect(await found()).toEqual(["1 without a question and one answer"])
})

test("reports a heard answer that was not saved whole", async () => {
  const cut = await turn("interrupted")
  await say(cut, "user", "assistant")
  expect(await found(cut, crypto.randomUUID())).toEqual(["2 answered whole and not saved"])
})

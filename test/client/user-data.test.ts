import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeClient } from "../../src/client/client.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { startWire, type Wire } from "./wire.ts"

let service: TurnService
let wire: Wire
let apiKey = ""
beforeAll(async () => {
  service = await startTurns({ env: { ENCRYPTION_KEY: Buffer.alloc(32, 1).toString("base64") } })
  wire = await startWire(service.url)
  apiKey = await service.register()
})
afterAll(async () => {
  await wire.stop()
  await service.stop()
})

const make = () => makeClient({ baseUrl: wire.url, apiKey, pauseMs: 1 })

test("secrets", async () => {
  const { secrets } = make()
  expect(await secrets.list()).toEqual([])
  const first = await secrets.set("KEY", "s-123456")
  const second = await secrets.set("KEY", "s-654321")
  expect(second).toEqual({ name: "KEY", createdAt: first.createdAt, updatedAt: expect.any(String) })
  expect(await secrets.list()).toEqual([second])
  expect(JSON.stringify(await secrets.list())).not.toContain("s-654321")
  await secrets.remove("KEY")
  expect(await secrets.list()).toEqual([])
  await expect(secrets.remove("KEY")).rejects.toMatchObject({ code: "SECRET_NOT_FOUND" })
  await expect(secrets.set("a/b", "s-123456")).rejects.toMatchObject({ code: "VALIDATION_ERROR" })
})

test("memories", async () => {
  const { memories, login } = make()
  const { userId } = await login()
  const one = crypto.randomUUID()
  const ids = [one, crypto.randomUUID(), crypto.randomUUID()]
  for (const id of ids) {
    await service.database
      .sql`insert into memories (id, user_id, text) values (${id}, ${userId}, 'Likes tea.')`
  }
  expect((await memories.list()).map(({ id, text }) => [id, text])).toEqual(
    ids.map((id) => [id, "Likes tea."]),
  )
  await memories.remove(one)
  expect(await memories.list()).toHaveLength(2)
  await expect(memories.remove(one)).rejects.toMatchObject({ code: "MEMORY_NOT_FOUND" })
  await memories.removeAll()
  expect(await memories.list()).toEqual([])
})

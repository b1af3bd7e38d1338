import { afterAll, beforeAll, expect, test } from "bun:test"
import { makeClient } from "../../src/client/client.ts"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

let service: TurnService
beforeAll(async () => {
  service = await startTurns({ env: { MONTHLY_LIMIT: "5" } })
})
afterAll(() => service.stop())

test("reads what was used, and knows a limit that is used up", async () => {
  const apiKey = await service.register()
  const client = makeClient({ baseUrl: service.url, apiKey, pauseMs: 1 })
  const turn = await client.converse(new Blob([await wav16k()]))
  expect(turn.usage).toMatchObject({ cost: null, currency: "USD" })
  const { entries, month, total } = await client.usage()
  expect(entries).toMatchObject([{ turns: 1, cost: null, unpriced: 1 }])
  expect(total.audioSeconds).toBe(2)
  expect(month).toMatchObject({ limit: 5, spent: 0 })
  expect((await client.usage({ groupBy: "agent" })).entries).toMatchObject([
    { agentId: "default", name: null },
  ])
  expect((await client.usage({ from: "2020-01-01", to: "2020-01-31", limit: 1 })).entries).toEqual([])
  await service.database.sql`insert into monthly_limits select id, 0 from users`
  service.reset()
  // No retry: it would wait for the next month.
  const failed = await client.converse("Hello").catch((error: unknown) => error)
  expect(failed).toMatchObject({ code: "QUOTA_EXCEEDED", status: 429 })
  expect(service.upstream.calls("llm")).toHaveLength(0)
})

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { type FakeRealtime, makeFakeRealtime } from "../support/fake-realtime.ts"
import { connectRealtime } from "../support/realtime-client.ts"
import { type Service, startService } from "../support/service.ts"
import { until } from "../support/turns.ts"

let service: Service
let key = ""
const fake: FakeRealtime = makeFakeRealtime()
beforeAll(async () => {
  service = await startService({ realtime: fake.layer })
  key = await service.register()
})
afterAll(() => service.stop())

const nothingLeft = () =>
  until(
    () => service.connections().connections === 0 && service.connections().users === 0 && fake.open() === 0,
    "the connections to end",
  )
beforeEach(async () => {
  await nothingLeft()
})

describe("handshake", () => {
  test("Authorization header", async () => {
    const client = await connectRealtime(service.url, key)
    expect(client.socket.protocol).toBe("")
    expect(await client.event(0)).toMatchObject({ type: "session.created" })
    client.send({ type: "hello" })
    expect(await client.event(1)).toMatchObject({ delta: '{"type":"hello"}' })
    expect(service.connections()).toEqual({ connections: 1, users: 1 })
    client.socket.close()
    await nothingLeft()
  })
})

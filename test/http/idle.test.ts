import { afterAll, afterEach, beforeAll, expect, spyOn, test } from "bun:test"
import { Effect } from "effect"
import { idleTimeout, withoutIdleTimeout } from "../../src/http/idle.ts"
import { wav16k } from "../support/audio.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

/** The idle timeouts that were set on connections, by path, in order. */
const told: Array<readonly [path: string, seconds: number]> = []
const realServe = Bun.serve
const watched = spyOn(Bun, "serve").mockImplementation(((options: Parameters<typeof Bun.serve>[0]) => {
  const server = realServe(options)
  const timeout = server.timeout.bind(server)
  server.timeout = (request, seconds) => {
    told.push([new URL(request.url).pathname, seconds])
    timeout(request, seconds)
  }
  return server
}) as typeof Bun.serve)

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns()
  watched.mockRestore()
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
afterEach(() => {
  service.reset()
  told.length = 0
})

const path = "/api/v1/voice/conversation"
const twice = [
  [path, 0],
  [path, idleTimeout],
] as const

test.each(["audio/mpeg", "application/json", "text/event-stream"])(
  "the idle timeout is restored after a turn as %s",
  async (accept) => {
    const answer = await service.converse(key, new Blob([recording]), { accept })
    await answer.bytes()
    expect(told).toEqual([...twice])
  },
)

test("the idle timeout is restored after a failed turn", async () => {
  service.upstream.script("stt", [{ text: "" }])
  expect((await service.converse(key, new Blob([recording]))).status).toBe(400)
  expect((await service.converse(key, new Blob(["no audio"]))).status).toBe(400)
  service.upstream.script("stt", [fail.hang()])
  const client = await service.converseRaw(key, recording)
  await service.upstream.waitFor(() => service.upstream.calls("stt").length === 2, "a held turn")
  client.leave()
  await service.nothingLeft()
  await until(() => told.length === 6, "three ends")
  expect(told).toEqual([...twice, ...twice, ...twice])
})

test("the idle timeout is restored when the scope closes", async () => {
  const seconds = 1
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: seconds,
    fetch: async (request, self) => {
      const brief = { timeout: (of: Request, most: number) => self.timeout(of, Math.min(most, seconds)) }
      const silent = withoutIdleTimeout(brief, request)
      if (request.url.endsWith("/ends")) await Effect.runPromise(Effect.scoped(silent))
      else self.timeout(request, 0)
      return new Response("x")
    },
  })
  const url = `http://127.0.0.1:${server.port}`
  const [ends, stays] = [await connectRaw(url), await connectRaw(url)]
  await ends.send(head("GET /ends"))
  await stays.send(head("GET /stays"))
  for (const client of [ends, stays]) expect((await client.answer()).status).toBe(200)
  expect(await ends.answer()).toMatchObject({ status: 0, whole: false })
  await stays.send(head("GET /stays"))
  expect((await stays.answer()).status).toBe(200)
  for (const client of [ends, stays]) client.leave()
  await server.stop(true)
})

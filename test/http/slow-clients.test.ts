import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { connect, type Socket } from "node:net"
import { wav16k } from "../support/audio.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ env: { UPLOAD_TIMEOUT_SECONDS: "0.3", LISTENER_TIMEOUT_SECONDS: "0.3" } })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const form = () => multipart([{ name: "audio", filename: "a.wav", content: recording }])
const headers = (body: Uint8Array) => ({
  host: "localhost",
  authorization: `Bearer ${key}`,
  accept: "audio/pcm",
  "content-type": multipartType,
  "content-length": `${body.length}`,
})

test.each([0, 100, 20_000])("an upload that stops after %d bytes is ended", async (sent) => {
  const body = form()
  const client = await connectRaw(service.url)
  await client.send(head(`POST ${new URL(service.url).pathname}/voice/conversation`, headers(body)))
  await client.send(body.subarray(0, sent))
  const answer = await client.until(({ body }) => body.length > 0)
  expect(answer.status).toBe(408)
  expect(JSON.parse(answer.body.toString())).toMatchObject({
    error: "REQUEST_TIMEOUT",
    message:
      "The request body did not arrive within 0.3 seconds. Send a smaller body, or use a faster connection.",
  })
  client.leave()
})

test("a client that does not read is disconnected", async () => {
  // Minutes of samples: more than all buffers on the way hold.
  service.upstream.default("tts", { seconds: 100 })
  service.upstream.default("llm", { text: "One sentence is here. And one more is here for you. ".repeat(6) })
  const body = form()
  const socket = await new Promise<Socket>((resolve) => {
    const { hostname, port, pathname } = new URL(service.url)
    const opened = connect(Number(port), hostname, () => {
      opened.pause()
      opened.write(head(`POST ${pathname}/voice/conversation`, headers(body)))
      opened.write(body)
      resolve(opened)
    })
  })
  await service.upstream.waitFor(() => service.upstream.calls("tts")[0], "speech that is asked for")
  await until(async () => {
    const rows = await service.database.sql`select state from turns where state = 'interrupted'`
    return rows.length === 1
  }, "an end of the turn")
  await service.nothingLeft()
  socket.destroy()
})

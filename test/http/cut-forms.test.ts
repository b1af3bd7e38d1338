/** A form that is not complete is never a turn, wherever it is cut. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { formEnd, multipart, multipartType } from "../support/multipart.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { startTurns, type TurnService } from "../support/turns.ts"

let service: TurnService
let key = ""
let form: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ env: { SILENCE_DBFS: "0" } })
  key = await service.register()
  form = multipart([
    { name: "sessionId", content: "x" },
    { name: "audio", filename: "a.wav", type: "audio/wav", content: await wav16k() },
  ])
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const headers = () => ({ authorization: `Bearer ${key}`, "content-type": multipartType })
const post = (body: Uint8Array) =>
  fetch(`${service.url}/voice/conversation`, { method: "POST", headers: headers(), body })

test("400 for a form that is cut at any byte", async () => {
  const small = multipart([
    { name: "sessionId", content: "x" },
    { name: "audio", filename: "a.wav", type: "audio/wav", content: "no audio" },
  ])
  const answers: Array<unknown> = []
  // The line end after the last delimiter is not needed.
  for (let length = 0; length <= small.length - 2; length += 1) {
    const answer = await post(small.subarray(0, length))
    answers.push([answer.status, await answer.json()])
  }
  const complete = answers.pop()
  expect(complete).toMatchObject([400, { error: "INVALID_AUDIO" }])
  for (const answer of answers) {
    expect(answer).toMatchObject([
      400,
      { error: "VALIDATION_ERROR", message: expect.stringMatching(/^The multipart body .* incomplete/) },
    ])
  }
})

test("400 for a recording that is cut", async () => {
  for (let missing = 3; missing < form.length; missing = Math.ceil(missing * 1.3)) {
    const answer = await post(form.subarray(0, -missing))
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: "VALIDATION_ERROR" }])
  }
  expect(service.upstream.calls("stt")).toEqual([])
})

/** In one chunk of a chunked body, which has no end. */
const chunked = (bytes: Uint8Array) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")])

test.each(["close", "reset"] as const)("no turn after a disconnect at any byte, by a %s", async (how) => {
  const ends = [200, 2000, ...Array.from({ length: formEnd.length }, (_, i) => form.length - i)]
  for (const length of ends) {
    const client = await connectRaw(service.url)
    await client.send(
      head("POST /api/v1/voice/conversation", { ...headers(), "transfer-encoding": "chunked" }),
    )
    await client.send(chunked(form.subarray(0, length)))
    await service.turnsInHand(1)
    client.leave(how)
    await service.nothingLeft()
  }
  expect(service.upstream.calls("stt")).toEqual([])
})

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { startTurns, type TurnService } from "../support/turns.ts"
import { wavOf } from "../support/wav.ts"

let service: TurnService
let key = ""
beforeAll(async () => {
  service = await startTurns()
  key = await service.register()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const converse = (audio: Uint8Array) =>
  service.converse(key, new Blob([audio]), { accept: "application/json" })

/** Two seconds of 16-bit samples from -peak to peak. */
const noise = (peak: number) =>
  wavOf(Float32Array.from({ length: 32_000 }, (_, n) => (peak / 32_767) * Math.sin(n * n)))

test.each([0, 1, 20])("silence (samples up to %d) is rejected without a call", async (peak) => {
  const before = await service.stored()
  const answer = await converse(noise(peak))
  expect(answer.status).toBe(400)
  expect(await answer.json()).toMatchObject({ error: "NO_SPEECH_DETECTED" })
  expect(service.upstream.calls("stt")).toEqual([])
  expect(await service.stored()).toEqual(before)
  expect(await service.database.sql`select 1 from turns where state <> 'completed'`).toHaveLength(0)
})

test("a quiet room is not silence", async () => {
  expect((await converse(noise(400))).status).toBe(200)
})

const segment = (text: string, no_speech_prob: number, avg_logprob: number) => ({
  text,
  no_speech_prob,
  avg_logprob,
})
const verbose = (...segments: ReadonlyArray<ReturnType<typeof segment>>) => ({
  raw: { body: JSON.stringify({ text: segments.map(({ text }) => text).join(" "), segments }) },
})

describe("Whisper's no_speech_prob", () => {
  const audio = wav16k()

  test.each([
    ["sure of silence", verbose(segment("Thanks for watching!", 0.95, -0.3))],
    ["a guess at silence", verbose(segment(" Thank you.", 0.7, -1.2))],
    ["twice", verbose(segment(" Thank you.", 0.7, -1.2), segment(" Bye.", 0.97, -0.5))],
  ])("%s: no speech, no reply", async (_, step) => {
    service.upstream.default("stt", step)
    const answer = await converse(await audio)
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: "NO_SPEECH_DETECTED" })
    expect(service.upstream.calls("llm")).toEqual([])
  })

  test.each([
    ["none", verbose(segment(" Hello there.", 0.1, -0.3)), "Hello there."],
    [
      "of one part",
      verbose(segment(" Hello there.", 0.1, -0.3), segment(" Thanks for watching!", 0.95, -0.3)),
      "Hello there.",
    ],
    ["too little", verbose(segment(" Hm.", 0.7, -0.4)), "Hm."],
    ["not told", { raw: { body: JSON.stringify({ text: "Hello.", segments: [{ id: 0 }] }) } }, "Hello."],
  ])("%s: a transcript", async (_, step, transcript) => {
    service.upstream.default("stt", step)
    expect(await (await converse(await audio)).json()).toMatchObject({ transcript })
  })
})

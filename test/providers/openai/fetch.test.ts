import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../../support/audio.ts"
import { startTurns, type TurnService } from "../../support/turns.ts"
import { fail, type Stage, type Step } from "../../support/upstream.ts"

let service: TurnService
let key = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ speed: 20 })
  key = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())
beforeEach(() => service.reset())
afterEach(() => service.nothingLeft())

const text = "This is a first sentence. And this is what comes after it."
/** Its first sentence is asked for while the rest is still being written. */
const slowly: Step = { text, chunkDelayMs: 20 }

const calls = () => (["stt", "llm", "tts"] as const).map((stage) => service.upstream.calls(stage))

/** A turn, heard to its end: the connections of its transcript, its reply and its first piece of speech. */
const converse = async () => {
  const before = calls().map(({ length }) => length)
  const answer = await service.converse(key, new Blob([recording]), { accept: "application/json" })
  expect(await answer.json()).toMatchObject({ response: text })
  // On a busy machine, the end of the model's stream may come after the reply, and its connection is taken until then.
  await service.nothingLeft()
  return calls().map((all, stage) => all[before[stage] ?? 0]?.connection)
}

test.each([
  ["with its last word", slowly],
  ["a moment later", { ...slowly, endDelayMs: 20 }],
])("no turn after the first has to connect, where the model's stream ends %s", async (_, step) => {
  service.upstream.default("llm", step)
  const [stt, llm, tts] = await converse()
  expect(llm).toBe(stt)
  expect(tts).not.toBe(llm)
  for (let turn = 2; turn <= 10; turn++) {
    // Later pieces may overlap in one turn and not in another, so that there may be more of them by now.
    const opened = calls().flatMap((all) => all.map(({ connection }) => connection))
    for (const connection of await converse()) expect(opened).toContain(connection ?? Number.NaN)
  }
})

describe("an answer without end is given up", () => {
  const much = "x".repeat(17 * 1024 * 1024)
  const answers: ReadonlyArray<readonly [Stage, Step]> = [
    ["stt", { raw: { body: JSON.stringify({ text: much }) } }],
    ["stt", { raw: { body: much, status: 503 } }],
    ["llm", { tokens: ["a", much], chunkDelayMs: 1 }],
    ["llm", { raw: { body: `data: ${much}`, contentType: "text/event-stream" } }],
    ["tts", { audio: Buffer.from(much) }],
  ]
  test.each(answers)(
    "of %s",
    async (stage, step) => {
      service.upstream.default(stage, step)
      const answer = await service.converse(key, new Blob([recording]), { accept: "application/json" })
      expect(answer.status).toBe(500)
      expect(await answer.json()).toMatchObject({ error: `${stage.toUpperCase()}_FAILED` })
    },
    20_000,
  )
})

test("a model's stream that does not end after its last word is a whole reply at the price of its connection", async () => {
  service.upstream.default("llm", { ...slowly, ...fail.hang({ bytes: Number.POSITIVE_INFINITY }) })
  const [, first] = await converse()
  expect(service.upstream.calls("llm").map(({ outcome }) => outcome)).toEqual(["aborted by client"])
  const [, second] = await converse()
  expect(second).not.toBe(first)
})

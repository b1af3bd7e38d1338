import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { mp3, wav16k } from "../support/audio.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail, type Stage, type Step } from "../support/upstream.ts"

let service: TurnService
/** Another service, on whose clock the 10 s of a statement pass faster. */
let hasty: TurnService
let key = ""
let speechWav: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns()
  hasty = await startTurns({ speed: 20 })
  key = await service.register()
  speechWav = await wav16k()
})
afterAll(async () => {
  await hasty.stop()
  await service.stop()
})
beforeEach(() => {
  service.reset()
  // One sentence is one segment and one TTS call.
  service.upstream.default("llm", { text: "Yes, I can hear you quite well." })
})
afterEach(() => service.nothingLeft())

const ways = ["audio/mpeg", "application/json"].flatMap((accept) =>
  (["close", "reset"] as const).map((how) => [accept, how] as const),
)

describe.each(ways)("a client of %s that disconnects by %s", (accept, how) => {
  const begin = (audio = speechWav) => service.converseRaw(key, audio, accept)

  const waits: ReadonlyArray<readonly [string, Stage, Step]> = [
    ["the transcript", "stt", fail.hang()],
    ["the transcript's body", "stt", fail.hang("headers")],
    ["the reply", "llm", fail.hang()],
    ["the next token", "llm", fail.hang({ tokens: 2 })],
    ["the speech", "tts", fail.hang()],
    ["the first byte of speech", "tts", fail.hang("headers")],
  ]
  test.each(waits)("waiting for %s: stops the turn", async (_, stage, step) => {
    const before = await service.stored()
    service.upstream.script(stage, [step])
    const client = await begin()
    const call = await service.upstream.waitFor(() => service.upstream.calls(stage)[0], `a call of ${stage}`)
    client.leave(how)
    await service.nothingLeft()
    expect(call.outcome).toBe("aborted by client")
    expect(service.upstream.calls(stage)).toHaveLength(1)
    expect(await service.stored()).toEqual(before)
  })

  test("during decoding: stops ffmpeg", async () => {
    service.ffmpegHangs(true)
    const client = await begin(await mp3())
    await until(() => service.ffmpegs().length === 1, "a start of ffmpeg")
    client.leave(how)
    await service.nothingLeft()
    expect(service.upstream.calls("stt")).toEqual([])
  })

  test("in the pause before a retry: stops the retry", async () => {
    service.upstream.script("stt", [fail.status(500)])
    const client = await begin()
    await service.upstream.waitFor(() => service.upstream.calls("stt")[0]?.outcome === "failed")
    client.leave(how)
    await service.nothingLeft()
    expect(service.upstream.calls("stt")).toHaveLength(1)
  })

  test("during the save: saved as heard", async () => {
    const isSaved = accept !== "application/json"
    const at = isSaved ? service : hasty
    const own = await at.register()
    const before = await at.stored()
    const lock = await at.database.sql.reserve()
    try {
      await lock`begin`
      await lock`lock table items in exclusive mode`
      const client = await at.converseRaw(own, speechWav, accept)
      const waiting = () => lock`select 1 from pg_locks
        where not granted and relation = 'items'::regclass
          and database = (select oid from pg_database where datname = current_database())`
      await until(async () => (await waiting()).length > 0, "a turn that waits to be saved")
      client.leave(how)
      if (!isSaved) await until(async () => (await waiting()).length === 0, "an end of waiting")
    } finally {
      await lock`rollback`
      lock.release()
    }
    await at.nothingLeft()
    expect(await at.stored()).toEqual({
      sessions: before.sessions + (isSaved ? 1 : 0),
      messages: before.messages + (isSaved ? 2 : 0),
    })
  })
})

describe.each(["audio/mpeg", "audio/wav", "audio/pcm"])("a client of %s", (accept) => {
  const long = "This is a reply of several sentences. ".repeat(40).trim()

  test("that disconnects while listening stops LLM and TTS", async () => {
    const before = await service.stored()
    service.upstream.script("llm", [{ text: long, chunkDelayMs: 20 }])
    service.upstream.default("tts", { chunkDelayMs: 20, chunkBytes: 2000 })
    const client = await service.converseRaw(key, speechWav, accept)
    await client.until(({ body }) => body.length > 10_000)
    client.leave()
    await service.nothingLeft()
    expect(service.upstream.calls("llm")[0]?.outcome).toBe("aborted by client")
    expect(service.upstream.calls("tts").at(-1)?.outcome).toBe("aborted by client")
    // The heard part is saved.
    const { sessions, messages } = await service.stored()
    expect({ sessions, messages }).toEqual({ sessions: before.sessions + 1, messages: before.messages + 2 })
    const [{ content, interrupted }] = await service.database.sql`
      select content, interrupted from messages where role = 'assistant' order by sequence desc limit 1`
    expect(interrupted).toBe(true)
    expect(long.startsWith(content) && content.length < long.length).toBe(true)
  })
})

test("many disconnects at any moment leave nothing", async () => {
  service.upstream.latency({ sttMs: 10, llmFirstTokenMs: 10, llmTokensPerSecond: 500, ttsFirstByteMs: 10 })
  await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      const client = await service.converseRaw(key, speechWav)
      await Promise.race([client.answer(), Bun.sleep(n * 3)])
      client.leave(n % 2 === 0 ? "close" : "reset")
    }),
  )
  await service.nothingLeft()
  const { messages, sessions } = await service.stored()
  expect(messages).toBe(2 * sessions)
})

test("a disconnect with unread data leaves nothing", async () => {
  // Half a minute of samples at once: more than all buffers on the way hold.
  const [one, two] = [
    "This is the first sentence of the reply.",
    "The second one is a good deal longer. ".repeat(10),
  ]
  service.upstream.default("llm", { text: `${one} ${two}` })
  for (let n = 0; n < 20; n++) {
    const client = await service.converseRaw(key, speechWav, "audio/pcm")
    await client.until(({ body }) => body.length >= n * 500)
    client.leave(n % 2 === 0 ? "close" : "reset")
    await service.nothingLeft()
  }
}, 20_000)

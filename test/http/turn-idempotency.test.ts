import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { eventsIn, soundIn, writtenIn } from "../support/events.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { tonesIn } from "../support/listen.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { DEFAULT_REPLY, DEFAULT_TRANSCRIPT, fail, type Stage, type Step } from "../support/upstream.ts"
import { expectProblem } from "./answers.ts"

let service: TurnService
let user = ""
let recording: Uint8Array = new Uint8Array()
beforeAll(async () => {
  service = await startTurns({ speed: 10 })
  user = await service.register()
  recording = await wav16k()
})
afterAll(() => service.stop())

/** A new key for each test. */
let key = ""
beforeEach(() => {
  service.reset()
  key = crypto.randomUUID()
})
afterEach(() => service.nothingLeft())

interface Asked {
  readonly accept?: string
  readonly audio?: Uint8Array
  readonly as?: string
}
const ask = ({ accept = "audio/mpeg", audio = recording, as = user }: Asked = {}) =>
  service.converse(as, new Blob([audio]), { accept, headers: { "idempotency-key": key } })
const askRaw = (accept = "audio/mpeg") =>
  service.converseRaw(user, recording, accept, { headers: { "idempotency-key": key } })

/** The result of a turn, from any format. */
const heard = async (answer: Response) => {
  expect(answer.status).toBe(200)
  const { headers } = answer
  const type = headers.get("content-type") ?? ""
  const bytes = Buffer.from(await answer.bytes())
  const events = type.startsWith("text/event-stream") ? eventsIn(bytes) : []
  const json = type === "application/json" ? JSON.parse(bytes.toString()) : undefined
  return {
    turnId: headers.get("x-turn-id"),
    sessionId: headers.get("x-session-id"),
    isReplay: headers.get("idempotent-replayed"),
    serverTiming: headers.get("server-timing"),
    transcript: headers.get("x-transcript"),
    // The last event has the fields of the JSON response.
    told: json ?? events.at(-1)?.data,
    events,
    sound: Buffer.from(json?.audio.base64 ?? (events.length > 0 ? soundIn(events) : bytes), json && "base64"),
  }
}

const calls = () =>
  (["stt", "llm", "tts"] as const).map((stage) => service.upstream.calls(stage).map(({ id }) => id))

/** The turn's state, and the messages of the turn and its session. */
const stored = async (turnId: string | null) => {
  const messages = await service.database.sql`
    select role, content, interrupted from messages
    where session_id = (select session_id from turns where id = ${turnId}) order by sequence`
  return messages.map(({ role, content, interrupted }: Record<string, unknown>) => [
    role,
    content,
    interrupted,
  ])
}
const whole = [
  ["user", DEFAULT_TRANSCRIPT, false],
  ["assistant", DEFAULT_REPLY, false],
]

const renderings = ["audio/mpeg", "application/json", "text/event-stream"]

describe("the same key and recording", () => {
  test("replay the reply without cost", async () => {
    const first = await heard(await ask())
    const paid = calls()
    const again = await heard(await ask())
    expect(first.isReplay).toBeNull()
    expect(again).toEqual({ ...first, isReplay: "true" })
    expect(again.transcript).toBe(DEFAULT_TRANSCRIPT)
    expect(again.serverTiming).toMatch(/^upload;dur=\d+, .*first_audio;dur=\d+$/)
    expect(calls()).toEqual(paid)
    expect(await stored(first.turnId)).toEqual(whole)
  })

  const pairs = renderings.flatMap((first) => renderings.map((again) => [first, again] as const))
  test.each(pairs)("as %s, replayed as %s", async (accept, acceptAgain) => {
    const first = await heard(await ask({ accept }))
    const paid = calls()
    const again = await heard(await ask({ accept: acceptAgain }))
    const { turnId, sessionId, sound } = first
    expect(again).toMatchObject({ turnId, sessionId, isReplay: "true" })
    expect(again.sound.equals(sound)).toBe(true)
    expect(calls()).toEqual(paid)
    const said = { transcript: DEFAULT_TRANSCRIPT, response: DEFAULT_REPLY }
    if (acceptAgain !== "audio/mpeg") expect(again.told).toMatchObject(said)
    if (accept === acceptAgain) expect(again.told).toEqual(first.told)
    const names = again.events.map(({ id, event }) => `${id} ${event}`)
    if (acceptAgain === "text/event-stream") {
      expect(names).toEqual([
        "1 turn.started",
        "2 transcript",
        "3 reply.delta",
        "4 audio",
        "5 turn.completed",
      ])
      expect(again.events[0]?.data).toEqual({ turnId, sessionId })
      expect(writtenIn(again.events)).toBe(DEFAULT_REPLY)
    }
  })

  /** The tones of the audio in any format; each segment has its own tone. */
  const tones = async (accept: string, sound: Uint8Array) => {
    const form = accept === "audio/pcm" ? ["-f", "s16le", "-ar", "24000", "-ac", "1"] : []
    const samples = await ffmpeg(
      [...form, "-i", "pipe:0", "-f", "s16le", "-ar", "24000", "-ac", "1", "pipe:1"],
      sound,
    )
    return tonesIn(
      new Int16Array(samples.buffer.slice(samples.byteOffset, samples.byteOffset + samples.length)),
    )
  }
  test.each([
    ["audio/mpeg", "audio/wav"],
    ["audio/mpeg", "audio/pcm"],
    ["audio/wav", "audio/mpeg"],
    ["audio/pcm", "audio/wav"],
  ])("as %s, replayed as %s: the same audio", async (accept, acceptAgain) => {
    const first = await heard(await ask({ accept }))
    const paid = calls()
    const again = await heard(await ask({ accept: acceptAgain }))
    expect(again).toMatchObject({ turnId: first.turnId, isReplay: "true" })
    expect(calls()).toEqual(paid)
    const spoken = await tones(accept, first.sound)
    expect(spoken.length).toBeGreaterThan(0)
    expect(await tones(acceptAgain, again.sound)).toEqual(spoken)
  })

  test("ten at once are one turn", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, async () => heard(await ask())))
    expect(answers.filter(({ isReplay }) => isReplay === "true")).toHaveLength(9)
    const same = answers.map(({ isReplay: _, ...answer }) => answer)
    expect(new Set(same.map((answer) => JSON.stringify(answer))).size).toBe(1)
    expect(service.upstream.calls("stt")).toHaveLength(1)
    expect(service.upstream.calls("llm")).toHaveLength(1)
    expect(await stored(same[0]?.turnId ?? null)).toEqual(whole)
  })

  const moments: ReadonlyArray<readonly [string, Stage, Step]> = [
    ["is heard", "stt", { delayMs: 200 }],
    ["is thought about", "llm", { firstChunkDelayMs: 200 }],
    ["is written", "llm", { chunkDelayMs: 20 }],
    ["is spoken", "tts", { chunkBytes: 4000, chunkDelayMs: 20 }],
  ]
  test.each(moments)("the second waits while the first %s", async (_, stage, step) => {
    service.upstream.script(stage, [step])
    const first = ask()
    await service.upstream.waitFor(() => service.upstream.calls(stage)[0], "the first")
    const [one, two] = await Promise.all([first.then(heard), ask().then(heard)])
    expect(two).toEqual({ ...one, isReplay: "true" })
    expect(service.upstream.calls("stt")).toHaveLength(1)
    expect(service.upstream.calls("llm")).toHaveLength(1)
  })
})

/** How far the first request gets before its client disconnects. */
const moments: ReadonlyArray<readonly [string, Stage, Step, bytes: number]> = [
  ["before it is heard", "stt", { delayMs: 100 }, 0],
  ["before the reply's first word", "llm", { firstChunkDelayMs: 100 }, 0],
  ["in mid-reply", "llm", { chunkDelayMs: 10 }, 0],
  ["before any sound", "tts", { delayMs: 100 }, 0],
  ["in the middle of the sound", "tts", { chunkBytes: 4000, chunkDelayMs: 20 }, 9000],
  ["after all of it", "tts", {}, Number.POSITIVE_INFINITY],
]
const leavings = moments.flatMap((moment) => [[...moment, "close"] as const, [...moment, "reset"] as const])

describe.each(["audio/mpeg", "text/event-stream"])("a client of %s that disconnects", (accept) => {
  test.each(leavings)("%s, and retries, gets the whole reply", async (_, stage, step, bytes, how) => {
    service.upstream.script(stage, [step])
    const client = await askRaw(accept)
    await service.upstream.waitFor(() => service.upstream.calls(stage)[0], "the turn")
    if (bytes > 0) await client.until(({ body }) => body.length > bytes)
    client.leave(how)
    const again = await heard(await ask({ accept }))
    expect(again.isReplay).toBe("true")
    const paid = calls()
    expect(paid.map((ids) => ids.length)).toEqual([1, 1, 2])
    expect((await heard(await ask({ accept }))).sound.equals(again.sound)).toBe(true)
    expect(calls()).toEqual(paid)
    expect(await stored(again.turnId)).toEqual(whole)
  })

  test("without a retry: the turn completes", async () => {
    const before = await service.stored()
    service.upstream.script("llm", [{ chunkDelayMs: 10 }])
    const client = await askRaw(accept)
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0], "the turn")
    client.leave()
    await until(async () => (await service.stored()).messages === before.messages + 2, "the turn")
    const [turn] = await service.database
      .sql`select state, response from turns where idempotency_key = ${key}`
    expect(turn).toEqual({ state: "completed", response: DEFAULT_REPLY })
  })
})

test("a disconnect during the upload starts no turn", async () => {
  const client = await connectRaw(service.url)
  const body = multipart([{ name: "audio", filename: "a.wav", content: recording }])
  const headers = {
    authorization: `Bearer ${user}`,
    "idempotency-key": key,
    "content-type": multipartType,
    "content-length": `${body.length}`,
  }
  await client.send(head(`POST ${new URL(service.url).pathname}/voice/conversation`, headers))
  await client.send(body.subarray(0, body.length / 2))
  await service.turnsInHand(1)
  client.leave()
  await service.nothingLeft()
  expect(service.upstream.calls("stt")).toEqual([])
  expect((await heard(await ask())).isReplay).toBeNull()
})

test("a deleted session: the retry is a new turn", async () => {
  const { sessionId } = await heard(await ask())
  key = crypto.randomUUID()
  service.upstream.script("llm", [{ chunkDelayMs: 60 }])
  const headers = { "idempotency-key": key }
  const first = service.converse(user, new Blob([recording]), { headers, sessionId: sessionId ?? "" })
  await service.upstream.waitFor(() => service.upstream.calls("llm")[1], "the turn")
  await service.call("DELETE", `/sessions/${sessionId}`, { key: user })
  const again = await heard(await ask())
  expect(again.isReplay).toBeNull()
  expect(again.sessionId).not.toBe(sessionId)
  expect(await stored(again.turnId)).toEqual(whole)
  await expectProblem(await first, { status: 404, code: "SESSION_NOT_FOUND" })
})

describe("a turn that fails frees its key", () => {
  const onePiece = { text: "This is said in one piece." }
  const failures: ReadonlyArray<readonly [string, Stage, Step]> = [
    ["unheard", "stt", fail.badRequest()],
    ["unanswered", "llm", fail.badRequest()],
    ["unspoken", "tts", fail.badRequest()],
  ]
  test.each(failures)("%s", async (_, stage, step) => {
    if (stage === "tts") service.upstream.script("llm", [onePiece])
    service.upstream.script(stage, [step])
    await expectProblem(await ask(), { status: 400, code: "INVALID_REQUEST" })
    const again = await heard(await ask())
    expect(again.isReplay).toBeNull()
    expect(await stored(again.turnId)).toEqual(whole)
  })

  test("after a part was heard: it stays, the retry is a new turn", async () => {
    service.upstream.script("llm", [onePiece])
    service.upstream.script("tts", [{ ...fail.reset({ bytes: 9000 }), chunkBytes: 1500, chunkDelayMs: 60 }])
    const first = await (await askRaw()).answer()
    expect(first.whole).toBe(false)
    const again = await heard(await ask())
    expect(again.isReplay).toBeNull()
    expect(again.turnId).not.toBe(first.headers.get("x-turn-id"))
    expect(await stored(first.headers.get("x-turn-id"))).toEqual([whole[0], ["assistant", "", true]])
    expect(await stored(again.turnId)).toEqual(whole)
  })

  test("the waiting request takes the turn", async () => {
    service.upstream.script("llm", [{ ...fail.badRequest(), delayMs: 200 }])
    const first = ask()
    await service.upstream.waitFor(() => service.upstream.calls("llm")[0], "the first")
    const waiting = [ask(), ask(), ask()]
    expect((await first).status).toBe(400)
    const answers = await Promise.all(waiting.map(async (each) => heard(await each)))
    expect(answers.map(({ isReplay }) => isReplay).toSorted()).toEqual([null, "true", "true"])
    expect(new Set(answers.map(({ turnId }) => turnId)).size).toBe(1)
    expect(service.upstream.calls("llm")).toHaveLength(2)
  })
})

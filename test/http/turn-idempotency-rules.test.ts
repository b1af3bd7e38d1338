import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"
import { speechLike, wavOf } from "../support/wav.ts"
import { expectProblem } from "./answers.ts"

/** Two services on one database, each with its own upstream. */
let database: TestDatabase
let here: TurnService
let there: TurnService
let user = ""
let recording: Uint8Array = new Uint8Array()
const otherRecording = wavOf(speechLike(1))
beforeAll(async () => {
  database = await makeDatabase()
  here = await startTurns({ database })
  there = await startTurns({ database })
  user = await here.register()
  recording = await wav16k()
})
afterAll(async () => {
  await there.stop()
  await here.stop()
  await database.drop()
})

let key = ""
beforeEach(() => {
  for (const service of [here, there]) service.reset()
  key = crypto.randomUUID()
})
afterEach(async () => {
  await here.nothingLeft()
  await there.nothingLeft()
})

interface Asked {
  readonly at?: TurnService
  readonly audio?: Uint8Array
  readonly as?: string
}
const ask = ({ at = here, audio = recording, as = user }: Asked = {}) =>
  at.converse(as, new Blob([audio]), { headers: { "idempotency-key": key } })

const heard = async (answer: Response) => {
  expect(answer.status).toBe(200)
  const { headers } = answer
  return {
    turnId: headers.get("x-turn-id"),
    sessionId: headers.get("x-session-id"),
    serverTiming: headers.get("server-timing"),
    isReplay: headers.get("idempotent-replayed") === "true",
    sound: Buffer.from(await answer.bytes()).toString("base64"),
  }
}

const turnOf = async (id: string | null) => {
  const [turn] = await database.sql`
    select state, idempotency_key, content_hash, octet_length(speech) as speech, speech_format, transcript, response,
      timings, usage
    from turns where id = ${id}`
  return turn
}

const expectAnew = async (first: { readonly turnId: string | null }) => {
  const before = here.upstream.calls("stt").length
  const again = await heard(await ask())
  expect(again.isReplay).toBe(false)
  expect(again.turnId).not.toBe(first.turnId)
  expect(here.upstream.calls("stt")).toHaveLength(before + 1)
  // The key now belongs to that turn.
  expect(await heard(await ask())).toEqual({ ...again, isReplay: true })
}

describe("two processes on one database", () => {
  test("the other replays a completed turn", async () => {
    const first = await heard(await ask())
    expect(await heard(await ask({ at: there }))).toEqual({ ...first, isReplay: true })
    for (const stage of ["stt", "llm", "tts"] as const) expect(there.upstream.calls(stage)).toEqual([])
  })

  test("the other waits for a running turn", async () => {
    here.upstream.script("llm", [{ delayMs: 300 }])
    const first = ask()
    await here.upstream.waitFor(() => here.upstream.calls("llm")[0], "the first")
    const [one, ...others] = await Promise.all(
      [first, ask({ at: there }), ask(), ask({ at: there })].map(async (each) => heard(await each)),
    )
    if (one === undefined) throw new Error("no answer")
    for (const other of others) expect(other).toEqual({ ...one, isReplay: true })
    expect(there.upstream.calls("stt")).toEqual([])
    expect(here.upstream.calls("stt")).toHaveLength(1)
  })

  test("the other takes a failed turn", async () => {
    here.upstream.script("llm", [{ ...fail.badRequest(), delayMs: 200 }])
    const first = ask()
    await here.upstream.waitFor(() => here.upstream.calls("llm")[0], "the first")
    const other = ask({ at: there })
    await expectProblem(await first, { status: 400, code: "INVALID_REQUEST" })
    expect((await heard(await other)).isReplay).toBe(false)
    expect(there.upstream.calls("stt")).toHaveLength(1)
  })

  test("twenty concurrent requests are one turn", async () => {
    const answers = await Promise.all(
      Array.from({ length: 20 }, async (_, n) => heard(await ask({ at: n % 2 === 0 ? here : there }))),
    )
    expect(answers.filter(({ isReplay }) => !isReplay)).toHaveLength(1)
    expect(new Set(answers.map(({ sound, turnId }) => `${turnId} ${sound}`)).size).toBe(1)
    expect(here.upstream.calls("stt").length + there.upstream.calls("stt").length).toBe(1)
  })
})

describe("the same key", () => {
  const reused = { status: 422, code: "IDEMPOTENCY_KEY_REUSED" }

  test("with another recording is an error without cost", async () => {
    const first = await heard(await ask())
    await expectProblem(await ask({ audio: otherRecording }), reused)
    await expectProblem(await ask({ audio: otherRecording, at: there }), reused)
    expect(here.upstream.calls("stt")).toHaveLength(1)
    expect(await heard(await ask())).toEqual({ ...first, isReplay: true })
  })

  test("with another recording: also while the first runs", async () => {
    here.upstream.script("stt", [{ delayMs: 500 }])
    const first = ask()
    await here.upstream.waitFor(() => here.upstream.calls("stt")[0], "the first")
    await expectProblem(await ask({ audio: otherRecording }), reused)
    await expectProblem(await ask({ audio: otherRecording, at: there }), reused)
    expect((await heard(await first)).isReplay).toBe(false)
  })

  test("with another recording: allowed after a failure", async () => {
    here.upstream.script("stt", [fail.badRequest()])
    expect((await ask()).status).toBe(400)
    expect((await heard(await ask({ audio: otherRecording }))).isReplay).toBe(false)
  })

  test("of another user is another turn", async () => {
    const first = await heard(await ask())
    const other = await here.register()
    const theirs = await heard(await ask({ as: other, audio: otherRecording }))
    expect(theirs.isReplay).toBe(false)
    expect(theirs.turnId).not.toBe(first.turnId)
    expect(theirs.sessionId).not.toBe(first.sessionId)
    expect(await heard(await ask())).toEqual({ ...first, isReplay: true })
    expect(await heard(await ask({ as: other, audio: otherRecording }))).toEqual({
      ...theirs,
      isReplay: true,
    })
  })
})

describe("the format of a key", () => {
  test.each([
    ["nothing", ""],
    ["a space", "one two"],
    ["256 characters", "k".repeat(256)],
    ["another script", "schlüssel"],
    ["a tab", "one\ttwo"],
  ])("%s is a VALIDATION_ERROR without cost", async (_, wrong) => {
    // fetch rejects some of these.
    const client = await here.converseRaw(user, recording, "audio/mpeg", {
      headers: { "idempotency-key": wrong },
    })
    const answer = await client.answer()
    client.leave()
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.body.toString())).toMatchObject({
      error: "VALIDATION_ERROR",
      message: expect.stringContaining("Idempotency-Key"),
    })
    expect(here.upstream.calls("stt")).toEqual([])
  })

  test.each([
    ["a digit", "0"],
    ["255 characters", "k".repeat(255)],
    ["marks", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"],
  ])("%s is valid", async (_, right) => {
    key = right
    const first = await heard(await ask())
    expect(first.isReplay).toBe(false)
    expect(await heard(await ask())).toEqual({ ...first, isReplay: true })
  })
})

describe("a key is free again", () => {
  const age = (id: string | null) =>
    database.sql`update turns set created_at = now() - interval '24 hours 1 second' where id = ${id}`

  test("after 24 hours, and its audio is deleted", async () => {
    const first = await heard(await ask())
    await age(first.turnId)
    await expectAnew(first)
    expect(await turnOf(first.turnId)).toMatchObject({
      ...{ state: "completed", idempotency_key: null, content_hash: null, speech: null, speech_format: null },
      response: expect.stringMatching(/./),
    })
  })

  test("not a minute earlier", async () => {
    const first = await heard(await ask())
    await database.sql`update turns set created_at = now() - interval '23 hours 59 minutes' where id = ${first.turnId}`
    expect(await heard(await ask())).toEqual({ ...first, isReplay: true })
  })

  test("after the clean-up; the turn stays", async () => {
    const [first, young] = [await heard(await ask()), await heard(await ask({ as: await here.register() }))]
    const { transcript, response, timings, usage } = await turnOf(first.turnId)
    await age(first.turnId)
    // The clean-up runs at the start.
    const third = await startTurns({ database })
    await until(async () => (await turnOf(first.turnId)).idempotency_key === null, "the clean-up")
    await third.stop()
    const forgotten = { idempotency_key: null, content_hash: null, speech: null, speech_format: null }
    expect(await turnOf(first.turnId)).toMatchObject({
      ...{ ...forgotten, state: "completed", transcript, response, timings, usage },
    })
    const messages = await database.sql`select 1 from messages where turn_id = ${first.turnId}`
    expect(messages).toHaveLength(2)
    expect(await turnOf(young.turnId)).toMatchObject({ idempotency_key: key, speech_format: "mp3" })
    await expectAnew(first)
  })

  test("when the session is deleted", async () => {
    const first = await heard(await ask())
    expect((await here.call("DELETE", `/sessions/${first.sessionId}`, { key: user })).status).toBe(204)
    await expectAnew(first)
  })

  test("when the process that ran the turn is gone", async () => {
    const turnId = crypto.randomUUID()
    const hash = new Bun.CryptoHasher("sha256").update(user).digest("hex")
    await database.sql`insert into turns (id, user_id, session_id, idempotency_key, content_hash, lease_until)
      select ${turnId}, user_id, gen_random_uuid(), ${key}, repeat('0', 64), now() - interval '1 millisecond'
      from api_keys where key_hash = ${hash}`
    await expectAnew({ turnId })
  })
})

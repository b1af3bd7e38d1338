import { afterAll, afterEach, beforeAll, describe, expect, mock, spyOn, test } from "bun:test"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { wav16k } from "../support/audio.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { cleanUpProcesses, type LogRecord, newFolder, parseLog } from "../support/process.ts"
import { type Service, startService } from "../support/service.ts"
import { fail, type Stage, type Step } from "../support/upstream.ts"
import type { TtsRequest } from "../support/upstream-requests.ts"

/** Words that must not be logged. */
const key = "sk_hushkey"
const heard = "hushheard"
const reply = "hushreply"
/** A provider's error message, which may quote these words. */
const quoted = "hushquoted"
const secret = /hush/i

/** Successful stages with these words. */
const well: Record<Stage, Step> = {
  stt: { text: `You ${heard} me.` },
  llm: { text: `I ${reply}. And I ${reply} again!` },
  tts: {},
}

const folder = newFolder()
/** The console's lines, and those that no test has checked yet. */
const all: Array<string> = []
const unseen: Array<string> = []
const listen = (...said: ReadonlyArray<unknown>) => {
  all.push(said.join(" "))
  unseen.push(said.join(" "))
}
let service: Service
let userKey: string
let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
  for (const name of ["log", "error", "warn"] as const) spyOn(console, name).mockImplementation(listen)
  service = await startService({
    database,
    // Shortens the pauses between retries, and the timeouts from 15 s to 0.5 s.
    speed: 30,
    env: {
      NODE_ENV: "production",
      LOG_LEVEL: "info",
      LOG_DIR: folder,
      OPENAI_API_KEY: key,
      STT_TIMEOUT_SECONDS: "15",
      LLM_TIMEOUT_SECONDS: "15",
      TTS_TIMEOUT_SECONDS: "15",
      TURN_TIMEOUT_SECONDS: "60",
    },
  })
  userKey = await service.register()
})
afterEach(() => {
  service.upstream.reset()
})
afterAll(async () => {
  mock.restore()
  await database.drop()
  await cleanUpProcesses()
})

const records = () => parseLog(all.join("\n"))
/** The log lines of one request. */
const recordsOf = async (requestId: string): Promise<ReadonlyArray<LogRecord>> => {
  for (;;) {
    const own = records().filter((record) => record.requestId === requestId)
    if (own.some(({ event }) => event === "request.completed")) return own
    await Bun.sleep(1)
  }
}

/** Runs a turn with scripted steps. Returns its status and log lines. */
const takeTurn = async (
  script: {
    readonly stt?: ReadonlyArray<Step>
    readonly llm?: ReadonlyArray<Step>
    readonly tts?: ReadonlyArray<Step | ((request: TtsRequest) => Step)>
  } = {},
  { accept = "application/json", audio }: { readonly accept?: string; readonly audio?: Uint8Array } = {},
) => {
  for (const stage of ["stt", "llm", "tts"] as const) service.upstream.default(stage, well[stage])
  service.upstream.script("stt", script.stt ?? [])
  service.upstream.script("llm", script.llm ?? [])
  service.upstream.script("tts", script.tts ?? [])
  const answer = await service.converse(userKey, new Blob([audio ?? (await wav16k())]), { accept })
  await answer.bytes().catch(() => undefined)
  return { status: answer.status, log: await recordsOf(answer.headers.get("x-request-id") ?? "") }
}
const pick = (log: ReadonlyArray<LogRecord>, event: string) => log.filter((record) => record.event === event)

describe("the lines of a turn", () => {
  const time = expect.any(String)
  const ms = expect.any(Number)

  test("say how much thinking and markup was removed, and none of it", async () => {
    const text = `<think>Hm, hush.</think>${well.llm.text}`
    const { log } = await takeTurn({ llm: [{ ...well.llm, text }] })
    const removed = "<think>Hm, hush.</think>".length
    expect(pick(log, "turn.stage")).toContainEqual(
      expect.objectContaining({ stage: "llm", ok: true, charactersRemoved: removed }),
    )
    expect(JSON.stringify(log)).not.toContain("hush")
  })

  test.each([
    ["length", "length"],
    ["content_filter", "filtered"],
    ["stop", "stop"],
  ])("the llm stage has the reason of its end: %s", async (finishReason, reason) => {
    const { log } = await takeTurn({ llm: [{ ...well.llm, finishReason }] })
    expect(pick(log, "turn.stage").find(({ stage }) => stage === "llm")).toMatchObject({ ok: true, reason })
  })

  test("one per stage, one for the turn, one for the request", async () => {
    const { status, log } = await takeTurn()
    expect(status).toBe(200)
    const [turn] = pick(log, "turn.completed")
    const { requestId, turnId, sessionId } = turn ?? {}
    const common = { time, level: "info", requestId, turnId, sessionId }
    const stage = { ...common, event: "turn.stage", ms, ok: true }
    const byName = (a: LogRecord, b: LogRecord) => `${a.stage}`.localeCompare(`${b.stage}`)
    expect(pick(log, "turn.stage").toSorted(byName)).toEqual([
      { ...stage, stage: "llm", ttftMs: ms, charactersRemoved: 0, reason: "stop" },
      { ...stage, stage: "persist" },
      { ...stage, stage: "stt" },
      { ...stage, stage: "transcode" },
      { ...stage, stage: "tts", ttfbMs: ms, charactersSpoken: (well.llm.text ?? "").length - 1 },
      { ...stage, stage: "validate" },
    ])
    expect(turn).toMatchObject({
      ...common,
      sessionId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      bytes: (await wav16k()).length,
      type: "wav",
      transcriptLength: well.stt.text?.length,
      responseLength: well.llm.text?.length,
      total: ms,
    })
    expect(pick(log, "request.completed")).toEqual([
      {
        time,
        level: "info",
        event: "request.completed",
        requestId: turn?.requestId,
        method: "POST",
        path: "/api/v1/voice/conversation",
        status: 200,
        ip: "127.0.0.1",
        ms,
      },
    ])
  })

  test("in the order in which things happen, with their fields in a fixed order", async () => {
    const { log } = await takeTurn()
    const ends = log.map(({ event, stage }) => (event === "turn.stage" ? stage : event))
    expect(ends.slice(-3)).toEqual(["persist", "turn.completed", "request.completed"])
    const fixed = ["time", "level", "event", "requestId", "sessionId", "turnId", "stage", "ms", "ok"]
    for (const line of log) {
      const names = Object.keys(line)
      const known = fixed.filter((name) => names.includes(name))
      expect(names).toEqual([...known, ...names.filter((name) => !known.includes(name)).toSorted()])
    }
  })

  test("a warning per retry, then the failed stage and its stack", async () => {
    const failing = { stt: [fail.status(503), fail.status(503), fail.status(503)] }
    const { status, log } = await takeTurn(failing)
    expect(status).toBe(500)
    const retry = { level: "warn", stage: "stt", delayMs: ms, turnId: expect.any(String) }
    expect(pick(log, "provider.retry")).toMatchObject([
      { ...retry, attempt: 2 },
      { ...retry, attempt: 3 },
    ])
    expect(pick(log, "turn.stage").at(-1)).toMatchObject({ stage: "stt", ok: false })
    expect(pick(log, "request.failed")).toMatchObject([
      { level: "error", code: "STT_FAILED", stage: "stt", stack: time },
    ])
    expect(pick(log, "turn.completed")).toEqual([])
    expect(pick(log, "request.completed")).toMatchObject([{ status: 500 }])
  })

  test("the provider's own names of an error, and none of its words", async () => {
    const refusal = (status: number, body: object): Step => ({ raw: { status, body: JSON.stringify(body) } })
    const named = { message: quoted, type: "a_type", code: "a_code", param: "model" }
    const names = { providerCode: "a_code", providerType: "a_type", providerParam: "model" }
    const missing = await takeTurn({ llm: [refusal(404, { error: named })] })
    expect(pick(missing.log, "request.failed")).toMatchObject([{ code: "LLM_FAILED", ...names }])
    const refused = await takeTurn({ llm: [refusal(400, { error: named })] })
    expect(pick(refused.log, "request.refused")).toMatchObject([{ code: "INVALID_REQUEST", ...names }])
    const retried = await takeTurn({ llm: [refusal(500, { error: { ...named, code: quoted.repeat(20) } })] })
    expect(pick(retried.log, "provider.retry")).toMatchObject([
      { providerType: "a_type", providerParam: "model" },
    ])
    const field = { detail: [{ type: "extra_forbidden", loc: ["body", "x"], msg: quoted }] }
    const forbidden = await takeTurn({ llm: [refusal(422, field)] })
    expect(pick(forbidden.log, "request.failed")).toMatchObject([
      { providerType: "extra_forbidden", providerParam: "body.x" },
    ])
    const log = [missing, refused, retried, forbidden].flatMap(({ log }) => log)
    expect(JSON.stringify(log)).not.toMatch(secret)
  })

  test("failed llm and tts stages", async () => {
    const llm = await takeTurn({ llm: Array(3).fill(fail.cutOff({ tokens: 0 })) })
    expect(llm.status).toBe(500)
    expect(
      pick(llm.log, "turn.stage")
        .filter(({ stage }) => stage === "llm")
        .at(-1),
    ).toMatchObject({ ok: false })
    const tts = await takeTurn({ tts: Array(6).fill(fail.status(500)) })
    expect(tts.status).toBe(500)
    expect(pick(tts.log, "turn.stage").filter(({ stage }) => stage === "tts")).toMatchObject([{ ok: false }])
  })
})

/** Failures that contain these words. */
const failures: Record<string, Partial<Record<Stage, ReadonlyArray<Step>>>> = {
  "STT: 429": { stt: [fail.rateLimited()] },
  "STT: 400 that quotes": { stt: [fail.badRequest(`No ${quoted} here`)] },
  "STT: 500 that quotes": { stt: Array(3).fill(fail.status(500, `No ${quoted} here`)) },
  "STT: 404 that quotes": { stt: [fail.status(404, `No ${quoted} here`)] },
  "STT: 401 that quotes the key": {
    stt: [{ error: { status: 401, message: `Incorrect API key provided: ${key}.` } }],
  },
  "STT: the transcript as events": { stt: Array(3).fill({ raw: { body: `data: ${heard}` } }) },
  "STT: the transcript as bad JSON": { stt: Array(3).fill({ raw: { body: `{"text": ${heard}` } }) },
  "STT: the transcript as cut JSON": { stt: Array(3).fill({ raw: { body: `{"text":"${heard}` } }) },
  "STT: the transcript in another shape": { stt: Array(3).fill({ raw: { body: `{"result":"${heard}"}` } }) },
  "STT: HTML that quotes": {
    stt: Array(3).fill({ raw: { body: `<p>${quoted}`, contentType: "text/html" } }),
  },
  "LLM: 400 that quotes": { llm: [fail.badRequest(`${heard} is not allowed`)] },
  "LLM: 500 that quotes": { llm: Array(3).fill(fail.status(500, `${heard} broke it`)) },
  "LLM: an error in the stream that quotes": {
    llm: Array(3).fill({
      raw: { body: `data: {"error":{"message":"${heard}"}}\n\n`, contentType: "text/event-stream" },
    }),
  },
  "LLM: a stream that is no JSON": {
    llm: Array(3).fill({ raw: { body: `data: ${reply}\n\n`, contentType: "text/event-stream" } }),
  },
  "LLM: a stream of bad JSON": {
    llm: Array(3).fill({
      raw: {
        body: `data: {"choices":[{"delta":{"content":${reply}}}]}\n\n`,
        contentType: "text/event-stream",
      },
    }),
  },
  "LLM: a whole answer that is cut off": {
    llm: Array(3).fill({ raw: { body: `{"choices":[{"message":{"content":"${reply}"` } }),
  },
  "LLM: broken off": { llm: Array(3).fill({ ...fail.cutOff({ tokens: 0 }), ...well.llm }) },
  "LLM: reset in the middle": { llm: Array(3).fill({ ...fail.reset({ tokens: 2 }), ...well.llm }) },
  "TTS: 400 that quotes": { tts: Array(2).fill(fail.badRequest(`${reply} can't be spoken`)) },
  "TTS: 500 that quotes": { tts: Array(6).fill(fail.status(500, `${reply} can't be spoken`)) },
  "TTS: text for audio": { tts: Array(6).fill({ raw: { body: reply, contentType: "audio/mpeg" } }) },
  "TTS: a content type that quotes": {
    tts: Array(6).fill({ raw: { body: reply, contentType: `text/${quoted}` } }),
  },
  "TTS: broken off": { tts: Array(6).fill(fail.cutOff({ bytes: 2000 })) },
}

describe("no transcript and no key is logged", () => {
  /** Expects none of the words in the new lines. */
  const noSecret = () => {
    expect(unseen.splice(0).filter((line) => secret.test(line))).toEqual([])
  }

  test("of a completed turn in any format", async () => {
    for (const accept of ["audio/mpeg", "audio/wav", "application/json"]) {
      expect((await takeTurn({}, { accept })).status).toBe(200)
    }
    noSecret()
  })

  test.each(Object.entries(failures))("%s", async (_, script) => {
    const { log } = await takeTurn(script)
    expect(pick(log, "request.completed")).toHaveLength(1)
    expect(
      log.some(({ event }) => ["provider.retry", "request.failed", "request.refused"].includes(`${event}`)),
    ).toBe(true)
    noSecret()
  })

  test("after a timeout", async () => {
    const { status } = await takeTurn({ llm: Array(3).fill({ ...well.llm, ...fail.hang({ tokens: 1 }) }) })
    expect(status).toBe(500)
    noSecret()
  })

  test("of an aborted response", async () => {
    const spoken = {
      llm: [{ text: `I ${reply} this, as the first sentence. ${`And I ${reply} that. `.repeat(20)}` }],
    }
    const firstOnly = ({ input }: TtsRequest): Step =>
      input.includes("first sentence") ? {} : { ...fail.badRequest(`${reply} can't be spoken`), delayMs: 300 }
    const tts = await takeTurn(
      // Chosen by the text, because the calls may come in any order. The first is sent before the second fails.
      { ...spoken, tts: [firstOnly, firstOnly] },
      { accept: "audio/mpeg" },
    )
    expect(tts.status).toBe(200)
    expect(pick(tts.log, "response.aborted")).toMatchObject([
      { level: "warn", error: "ProviderRefusedRequest" },
    ])
    await database.sql.unsafe(
      `alter table items add constraint mute check (payload ->> 'text' not like '%hush%') not valid`,
    )
    const saving = await takeTurn({}, { accept: "audio/mpeg" })
    expect(saving.status).toBe(200)
    expect(pick(saving.log, "response.aborted")).toMatchObject([
      { level: "warn", error: "ConstraintViolated", constraint: "mute" },
    ])
    await database.sql.unsafe(`alter table items drop constraint mute`)
    noSecret()
  })

  test("after a database error", async () => {
    await database.sql.unsafe(
      `alter table items add constraint mute check (payload ->> 'text' not like '%hush%') not valid`,
    )
    const refused = await takeTurn()
    expect(refused.status).toBe(400)
    expect(pick(refused.log, "request.refused")).toMatchObject([
      { code: "DATABASE_ERROR", constraint: "mute" },
    ])
    await database.sql.unsafe(`alter table items drop constraint mute`)
    await database.sql.unsafe(`alter table items rename column payload to words`)
    const { status, log } = await takeTurn()
    expect(status).toBe(500)
    expect(pick(log, "request.defect")).toMatchObject([
      { level: "error", stack: expect.stringContaining("column") },
    ])
    await database.sql.unsafe(`alter table items rename column words to payload`)
    noSecret()
  })

  test("of rejected requests", async () => {
    const refused = [
      service.call("POST", "/auth/login", { body: { apiKey: key } }),
      service.call("GET", `/sessions?limit=${key}&cursor=${heard}`, { key: userKey }),
      service.call("GET", `/health?key=${key}`),
      service.call("GET", "/sessions", { key }),
      service.call("GET", "/sessions", { headers: { authorization: `Basic ${key}` } }),
      service.call("POST", "/sessions", { key: userKey, body: { title: { text: heard } } }),
      service.call("POST", "/users/register", {
        headers: { "content-type": "application/json" },
        body: { email: `${heard} at example` },
      }),
    ]
    for (const answer of await Promise.all(refused)) await recordsOf(answer.headers.get("x-request-id") ?? "")
    noSecret()
  })
})

describe("the line of a request", () => {
  const lineOf = async (answer: Response) =>
    pick(await recordsOf(answer.headers.get("x-request-id") ?? ""), "request.completed")

  test("has the path as sent, without the query", async () => {
    const answer = await fetch(`${service.url}/nope%0a%1b[31m/%C3%A9?${key}`)
    expect(await lineOf(answer)).toMatchObject([{ path: "/api/v1/nope%0a%1b[31m/%C3%A9", status: 404 }])
  })

  test.each([
    ["OPTIONS", "/sessions", 204],
    ["HEAD", "/health", 200],
    ["PUT", "/health", 405],
    ["GET", "/sessions", 401],
  ])("exists once for %s %s", async (method, path, status) => {
    const answer = await service.call(method, path, { headers: { origin: "https://app.example" } })
    expect(await lineOf(answer)).toMatchObject([{ method, path: `/api/v1${path}`, status }])
  })

  test("cannot be forged by a client", async () => {
    const before = records().length
    const forged = '{"level":"info","event":"forged"}'
    const answers = await Promise.all([
      askRaw(
        `GET /api/v1/health/\u001b[2J${forged} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      ),
      askRaw(`GET /api/v1/health/\u2028${forged} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
      askRaw(`GET /api/v1/health\r\n${forged} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
      askRaw(
        `GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a\u001b[2J${forged}\r\nConnection: close\r\n\r\n`,
      ),
    ])
    for (const answer of answers) expect(answer).toStartWith("HTTP/1.1 ")
    await lineOf(await service.call("GET", "/health"))
    for (const line of all) expect(line).toMatch(/^[ -~]+$/)
    const added = records().slice(before)
    expect(added.length).toBeLessThanOrEqual(answers.length + 1)
    expect(added.filter(({ event }) => event !== "request.completed")).toEqual([])
  })
})

/** The response to raw bytes. */
const askRaw = async (text: string): Promise<string> => {
  const { hostname, port } = new URL(service.url)
  const socket = connect(Number(port), hostname)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let got = ""
  socket.on("data", (data) => {
    got += data
  })
  socket.on("close", () => resolve()).on("error", reject)
  socket.write(text)
  await promise
  return got
}

test("the log files have the console's lines", async () => {
  await service.stop()
  const read = (file: string) => parseLog(readFileSync(join(folder, file), "utf8"))
  expect(read("combined.log")).toEqual([...records()])
  expect(read("error.log")).toEqual(records().filter(({ level }) => level === "error"))
})

/**
 * Kills the service (`kill -9`) at random moments of concurrent turns, sometimes with its database.
 * Nothing may be half saved. KILLS is the number of kills (5); KILL_SEED repeats a run.
 */
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { SQL } from "bun"
import { Schema } from "effect"
import { serverFolder } from "../../src/db/embedded-home.ts"
import { wav16k, webmOpus } from "../support/audio.ts"
import { eventsIn } from "../support/events.ts"
import { multipart, multipartType } from "../support/multipart.ts"
import { cleanUpProcesses, newFolder, type ServiceProcess, startProcess } from "../support/process.ts"
import { connectRaw, head, type RawAnswer } from "../support/raw-http.ts"
import { withoutNotes } from "../support/sessions.ts"
import { until } from "../support/turns.ts"
import { startUpstream, type Upstream } from "../support/upstream.ts"

const kills = Number(process.env.KILLS ?? 5)
const seed = Number(process.env.KILL_SEED ?? Date.now() % 2 ** 31)
/** How long the turns take, in ms. */
const turnMs = 1300
/** Each kill falls in the next part of the turns, so that a few kills reach all of their stages. */
const parts = 5
/** Every so many kills, the test waits for the whole lease; otherwise it shortens the lease to 100 ms. */
const wholeLeaseEvery = 10
/** In seconds, as in ledger.ts. */
const lease = 15

/** Park and Miller's generator: the same seed, the same kills. */
let state = (seed % 2147483646) + 1
const random = () => {
  state = (state * 48271) % 2147483647
  return state / 2147483647
}

const cwd = newFolder()
const temporary = join(cwd, "tmp")
const home = serverFolder(join(cwd, ".data"))
let upstream: Upstream
let recordings: ReadonlyArray<Uint8Array> = []
let user = ""
let asked = 0

beforeAll(async () => {
  mkdirSync(temporary)
  upstream = await startUpstream()
  recordings = await Promise.all([wav16k(), webmOpus()])
  upstream.latency({
    sttMs: 80,
    llmFirstTokenMs: 80,
    llmTokensPerSecond: 80,
    ttsFirstByteMs: 60,
    ttsRealTimeFactor: 12,
  })
  upstream.default("stt", () => ({ text: question() }))
  upstream.default("llm", ({ messages }) => ({
    text: `${withoutNotes(messages.at(-1)?.content ?? "")} is answered. This is its end.`,
  }))
})
afterAll(async () => {
  await cleanUpProcesses()
  await upstream.stop()
})

/** The texts of turns are unique. */
const question = () => {
  asked += 1
  return `Question ${asked}`
}

const start = () =>
  startProcess({
    cwd,
    env: {
      NODE_ENV: "production",
      TMPDIR: temporary,
      OPENAI_API_KEY: "sk-test",
      OPENAI_BASE_URL: upstream.baseUrl,
      BREAKER_FAILURES: "0",
      FFMPEG_WARM: "2",
    },
  })

interface Turn {
  readonly path: string
  readonly accept: string
  readonly type: string
  readonly body: Uint8Array
  readonly key?: string
}

const spoken = (accept: string, audio: Uint8Array, sessionId?: string): Turn => ({
  path: "/voice/conversation",
  accept,
  type: multipartType,
  body: multipart([
    ...(sessionId === undefined ? [] : [{ name: "sessionId", content: sessionId }]),
    { name: "audio", filename: "a", content: audio },
  ]),
})
const written = (accept: string, sessionId: string): Turn => ({
  path: `/sessions/${sessionId}/messages`,
  accept,
  type: "application/json",
  body: Buffer.from(JSON.stringify({ text: question() })),
})
const keyed = (turn: Turn): Turn => ({ ...turn, key: crypto.randomUUID() })

/** The requests that may run when the service is killed. */
const batch = (sessionId: string): ReadonlyArray<Turn> => {
  const [wav = new Uint8Array(), webm = new Uint8Array()] = recordings
  return [
    spoken("audio/mpeg", wav, sessionId),
    spoken("application/json", webm, sessionId),
    keyed(spoken("text/event-stream", webm, sessionId)),
    written("text/event-stream", sessionId),
    spoken("audio/wav", wav),
    keyed(spoken("application/json", wav)),
    keyed(spoken("audio/mpeg", webm)),
  ]
}

const send = async (url: string, { path, accept, type, body, key }: Turn) => {
  const client = await connectRaw(url)
  const headers = {
    authorization: `Bearer ${user}`,
    accept,
    "content-type": type,
    "content-length": `${body.length}`,
    ...(key === undefined ? {} : { "idempotency-key": key }),
  }
  await client.send(head(`POST /api/v1${path}`, headers))
  await client.send(body)
  const answer = await client.answer()
  client.leave()
  return answer
}

const isClean = ({ status, whole, headers, body }: RawAnswer) =>
  status === 200 &&
  whole &&
  (headers.get("content-type") !== "text/event-stream; charset=utf-8" ||
    eventsIn(body).at(-1)?.event === "turn.completed")

const Registered = Schema.Struct({ apiKey: Schema.String })
const Created = Schema.Struct({ sessionId: Schema.String })
const post = async <A, I>(
  url: string,
  path: string,
  body: object,
  schema: Schema.Schema<A, I>,
): Promise<A> => {
  const answer = await fetch(`${url}/api/v1${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${user}` },
    body: JSON.stringify(body),
  })
  return Schema.decodeUnknownSync(schema)(await answer.json())
}

/** The processes of this system: pid, parent, state, command line. */
const processes = () =>
  readdirSync("/proc")
    .filter(Number)
    .flatMap((pid) => {
      try {
        const [, rest = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").split(/\) (?=[A-Z] )/)
        const [status, parent] = rest.split(" ")
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")
        return [{ pid: Number(pid), parent: Number(parent), isAlive: status !== "Z", command }]
      } catch {
        return []
      }
    })
const isDatabase = ({ command }: { readonly command: string }) => command.includes(`${home}/`)
const postmasters = () =>
  processes().filter((each) => each.isAlive && each.command.includes(` -D ${home}/postgres/cluster `))

const databaseOf = (service: ServiceProcess) => {
  const ready = service.records().findLast(({ event }) => event === "database.ready")
  const password = readFileSync(`${home}/postgres/password`, "utf8")
  return new SQL(`postgres://voice_agent:${password}@127.0.0.1:${ready?.port}/voice_agent`, { max: 1 })
}

/** Expects whole turns in order. */
const expectWhole = async (sql: SQL, clean: ReadonlyArray<string>) => {
  const turns: ReadonlyArray<{ id: string; state: string; roles: string; cut: boolean }> = await sql`
    select turns.id, state, coalesce(string_agg(role, ' ' order by messages.sequence), '') as roles,
      coalesce(bool_or(interrupted), false) as cut
    from turns left join messages on turn_id = turns.id group by turns.id`
  for (const { state, roles, cut } of turns) {
    const isSaved = ["completed", "interrupted", "cancelled"].includes(state)
    expect({ state, roles, cut }).toEqual({
      state,
      roles: isSaved ? "user assistant" : "",
      cut: isSaved && state !== "completed",
    })
  }
  const completed = new Set(turns.filter(({ state }) => state === "completed").map(({ id }) => id))
  expect(clean.filter((id) => !completed.has(id))).toEqual([])
  const torn = await sql`
    select role from (
      select *, row_number() over (partition by session_id order by sequence) as place,
        lag(turn_id) over (partition by session_id order by sequence) as before
      from messages
    ) as said
    where role <> (case place % 2 when 1 then 'user' else 'assistant' end) or (place % 2 = 0 and turn_id <> before)`
  expect([...torn]).toEqual([])
  const orphans =
    await sql`select 1 from messages left join turns on turns.id = turn_id where turns.id is null`
  expect([...orphans]).toEqual([])
  const [stale] = await sql`select count(*)::int as count from turns
    where state = 'running' and lease_until > now() + make_interval(secs => ${lease})`
  expect(stale.count).toBe(0)
}

test.if(process.platform === "linux")(
  `${kills} kills leave whole turns only (KILL_SEED=${seed})`,
  async () => {
    console.log(`KILL_SEED=${seed}`)
    const figures = { clean: 0, cut: 0, replayed: 0, anew: 0, withDatabase: 0, adopted: 0 }
    const waits: Array<number> = []
    const starts: Array<number> = []
    let service = start()
    let url = await service.url()
    user = (await post(url, "/users/register", { email: "ada@example.com" }, Registered)).apiKey
    for (let kill = 1; kill <= kills; kill++) {
      const { sessionId } = await post(url, "/sessions", {}, Created)
      // A first turn, so that the turn after the kill has a history.
      expect(isClean(await send(url, written("application/json", sessionId)))).toBe(true)

      const turns = batch(sessionId)
      const under = turns.map((turn) => send(url, turn))
      await Bun.sleep((((kill - 1) % parts) + random()) * (turnMs / parts))
      const children = processes().filter((each) => each.parent === service.pid && !isDatabase(each))
      const isWithDatabase = random() < 0.3
      const [database] = postmasters()
      if (database === undefined) throw new Error("there is no database to be killed")
      if (isWithDatabase) process.kill(database.pid, "SIGKILL")
      service.signal("SIGKILL")
      expect(await service.ended).toBe("SIGKILL")
      const answers = await Promise.all(under)
      const clean = answers.filter(isClean).map(({ headers }) => headers.get("x-turn-id") ?? "")
      figures.clean += clean.length
      figures.cut += turns.length - clean.length
      if (isWithDatabase) figures.withDatabase += 1

      const startedAt = performance.now()
      service = start()
      url = await service.url()
      starts.push(performance.now() - startedAt)
      if (service.records().some(({ adopted }) => adopted === true)) figures.adopted += 1
      const sql = databaseOf(service)
      await expectWhole(sql, clean)
      expect(
        readdirSync(temporary).filter((name) => !name.startsWith(`voice-agent-${service.pid}-`)),
      ).toEqual([])
      await until(
        () => processes().every((each) => !each.isAlive || !children.some(({ pid }) => pid === each.pid)),
        "the end of what the killed one had started",
        20_000,
      )
      expect(postmasters()).toHaveLength(1)

      const isWholeLease = kill % wholeLeaseEvery === 0
      if (!isWholeLease) {
        await sql`update turns set lease_until = least(lease_until, now() + interval '100 ms') where state = 'running'`
      }
      const history: ReadonlyArray<{ content: string }> = await sql`
        select content from messages where session_id = ${sessionId} order by sequence`
      const askedAt = Date.now()
      const next = written("application/json", sessionId)
      expect(isClean(await send(url, next))).toBe(true)
      waits.push(Date.now() - askedAt)
      const told = upstream.calls("llm").at(-1)?.request.messages.slice(1, -1) ?? []
      expect(told.map(({ content }) => withoutNotes(content))).toEqual(history.map(({ content }) => content))

      const retry = async (turn: Turn) => {
        const [before] =
          await sql`select id from turns where idempotency_key = ${turn.key} and state = 'completed'`
        const again = await send(url, turn)
        expect({ status: again.status, clean: isClean(again) }).toEqual({ status: 200, clean: true })
        const isReplay = again.headers.get("idempotent-replayed") === "true"
        expect(isReplay).toBe(before !== undefined)
        if (isReplay) expect(again.headers.get("x-turn-id")).toBe(before.id)
        figures[isReplay ? "replayed" : "anew"] += 1
        const kept = await sql`select state from turns where idempotency_key = ${turn.key}`
        expect([...kept]).toEqual([{ state: "completed" }])
      }
      await Promise.all(turns.filter(({ key }) => key !== undefined).map(retry))
      await expectWhole(sql, clean)
      await sql.close()
    }
    service.signal("SIGTERM")
    expect(await service.ended).toBe(0)
    expect(processes().filter((each) => each.isAlive && isDatabase(each))).toEqual([])
    const most = (all: ReadonlyArray<number>) => Math.round(Math.max(...all))
    console.log({ kills, ...figures, longestStartMs: most(starts), longestNextTurnMs: most(waits) })
  },
  30_000 + kills * 20_000,
)

/**
 * Updates the service from an earlier version under load, and checks that nothing is lost:
 *
 *     git worktree add --detach ../old COMMIT && (cd ../old && bun install --frozen-lockfile)
 *     bun scripts/update.ts ../old postgres://postgres@127.0.0.1:5432/empty
 *
 * Users with keyed turns and retries reach the old version, then both, then the new one, through a TCP balancer. The
 * second argument is an empty database; without it the embedded PostgreSQL has one. Exits with 1 if something was lost.
 */
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import { SQL } from "bun"
import { Schema } from "effect"
import { startBalancer } from "../test/support/balancer.ts"
import { makeEmptyDatabase, stopServer } from "../test/support/database.ts"
import { cleanUpProcesses, type ServiceProcess, sourceFile, startProcess } from "../test/support/process.ts"
import { withoutNotes } from "../test/support/sessions.ts"
import { startUpstream } from "../test/support/upstream.ts"
import { speechLike, wavOf } from "../test/support/wav.ts"

const [oldCheckout, given] = process.argv.slice(2)
const usage = `Usage: bun scripts/update.ts OLD_CHECKOUT [DATABASE_URL]

OLD_CHECKOUT   a folder with the earlier version, and its packages:
               git worktree add --detach ../old v0.1.0 && (cd ../old && bun install --frozen-lockfile)
DATABASE_URL   an empty database; without it the embedded PostgreSQL has one`
if (oldCheckout === "--help" || oldCheckout === "-h") {
  console.log(usage)
  process.exit(0)
}
const oldMain = join(resolve(oldCheckout ?? ""), "src/main.ts")
if (
  oldCheckout === undefined ||
  !existsSync(oldMain) ||
  !existsSync(join(resolve(oldCheckout), "node_modules"))
) {
  if (oldCheckout !== undefined)
    console.error(
      `${resolve(oldCheckout)} has no src/main.ts, or no node_modules. Check it out and install it.\n`,
    )
  console.error(usage)
  process.exit(2)
}

/** How long each phase has load, in ms. */
const phaseMs = 10_000
const users = 8
/** A client gives up after so many tries of one turn. */
const mostTries = 60

const replyTo = (question: string) => `${question} is answered.`

/** The duration of recording `count` tells what is said in it: the service sends its samples on. */
const recordingOf = (count: number) => wavOf(speechLike(1 + (count % 40) * 0.05))
const transcriptOf = (bytes: number) => `Recording ${Math.round((bytes - 44) / 1600) - 20}`

const Registered = Schema.Struct({ apiKey: Schema.String })
const Created = Schema.Struct({ sessionId: Schema.String })
const Reply = Schema.Struct({ turnId: Schema.String, response: Schema.String })
const Messages = Schema.Struct({
  messages: Schema.Array(Schema.Struct({ id: Schema.String, content: Schema.String })),
})
const read = async <A, I>(answer: Response, schema: Schema.Schema<A, I>) =>
  Schema.decodeUnknownSync(schema)(await answer.json())

const lost: Array<string> = []
/** Answers other than 200 that a retry mended, and broken connections, by phase. */
const retried = new Map<string, number>()
let phase = "old"
const count = (what: string) => retried.set(`${phase}: ${what}`, (retried.get(`${phase}: ${what}`) ?? 0) + 1)

const upstream = await startUpstream({ keepLog: false })
upstream.default("stt", ({ file }) => ({ text: transcriptOf(file.bytes.length) }))
upstream.default("llm", ({ messages }) => ({
  delayMs: 100,
  text: replyTo(withoutNotes(messages.at(-1)?.content ?? "")),
}))
const balancer = await startBalancer()
const embedded = given === undefined ? await makeEmptyDatabase() : undefined
const url = embedded?.url ?? given ?? ""
const sql = new SQL(url, { max: 2 })
const env = {
  NODE_ENV: "production",
  OPENAI_API_KEY: "sk-test",
  OPENAI_BASE_URL: upstream.baseUrl,
  DATABASE_URL: url,
}
const start = (main: string): ServiceProcess => startProcess({ env, args: [main] })

const api = `${balancer.url}/api/v1`
let key = ""
const call = (method: string, path: string, body?: string | FormData, headers: Record<string, string> = {}) =>
  fetch(`${api}${path}`, {
    method,
    headers: {
      // Each request may go to another version.
      connection: "close",
      accept: "application/json",
      ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
      ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { body }),
    signal: AbortSignal.timeout(40_000),
  })

interface Turn {
  readonly question: string
  readonly key: string
  readonly path: string
  readonly body: () => string | FormData
  turnId: string
}

/** Asks until there is an answer, as a client with a key for its retries does. */
const ask = async (turn: Turn): Promise<void> => {
  for (let tries = 0; tries < mostTries; tries += 1) {
    try {
      const answer = await call("POST", turn.path, turn.body(), { "idempotency-key": turn.key })
      if (answer.status === 200) {
        const { turnId, response } = await read(answer, Reply)
        if (response !== replyTo(turn.question)) lost.push(`${turn.question}: ${response}`)
        if (turn.turnId !== "" && turn.turnId !== turnId) lost.push(`${turn.question}: another turn`)
        turn.turnId = turnId
        return
      }
      count(`${answer.status} ${/"error":"(\w+)"/.exec(await answer.text())?.[1]}`)
    } catch (error) {
      count(error instanceof Error ? error.name : "broken")
    }
    await Bun.sleep(200)
  }
  lost.push(`${turn.question}: no answer`)
}

/** Asks again without a pause until the update is over. Every third question is asked again later, with its key. */
const converse = async (sessionId: string, isOver: () => boolean): Promise<ReadonlyArray<Turn>> => {
  const turns: Array<Turn> = []
  while (!isOver()) {
    const at = turns.length
    const isSpoken = at % 4 === 3
    const question = isSpoken ? `Recording ${at % 40}` : `Question ${at}`
    const turn: Turn = {
      question,
      key: crypto.randomUUID(),
      path: isSpoken ? "/voice/conversation" : `/sessions/${sessionId}/messages`,
      body: () => {
        if (!isSpoken) return JSON.stringify({ text: question })
        const form = new FormData()
        form.set("sessionId", sessionId)
        form.set("audio", new Blob([recordingOf(at)]), "a.wav")
        return form
      },
      turnId: "",
    }
    // Every fifth client goes, and tries again: the first try runs on.
    if (at % 5 === 4) {
      const signal = AbortSignal.timeout(60)
      const headers = { authorization: `Bearer ${key}`, "idempotency-key": turn.key, connection: "close" }
      const type: Record<string, string> = isSpoken ? {} : { "content-type": "application/json" }
      await fetch(`${api}${turn.path}`, {
        method: "POST",
        headers: { ...headers, ...type, accept: "application/json" },
        body: turn.body(),
        signal,
      }).catch(() => undefined)
    }
    await ask(turn)
    turns.push(turn)
    const earlier = turns[Math.floor(at / 2)]
    if (at % 3 === 2 && earlier !== undefined) await ask(earlier)
    for (const path of ["/sessions", `/sessions/${sessionId}`, "/users/me", "/users/me/keys"]) {
      const answer = await call("GET", path).catch(() => undefined)
      await answer?.text()
      if (answer?.status !== 200) count(`GET ${answer?.status ?? "broken"}`)
    }
  }
  return turns
}

const open = async () => (await read(await call("POST", "/sessions", "{}"), Created)).sessionId

/** The messages of a session in order. */
const contentsOf = async (sessionId: string) => {
  const found: Array<string> = []
  for (let before = ""; ; ) {
    const path = `/sessions/${sessionId}/messages?limit=200${before === "" ? "" : `&before=${before}`}`
    const { messages } = await read(await call("GET", path), Messages)
    found.unshift(...messages.map(({ content }) => content))
    const [first] = messages
    if (messages.length < 200 || first === undefined) return found
    before = first.id
  }
}

/** Lines of the log that an operator would look into. */
const warnings = ({ records }: ServiceProcess) =>
  [
    ...Map.groupBy(
      records(),
      ({ level, event, code, reason }) => `${level} ${event} ${code ?? ""} ${reason ?? ""}`,
    ),
  ]
    .filter(([text]) => /^(warn|error|fatal)/i.test(text))
    .map(([text, { length }]) => `${text} x ${length}`)

const check = async (sessions: ReadonlyArray<string>, asked: ReadonlyArray<ReadonlyArray<Turn>>) => {
  for (const [at, sessionId] of sessions.entries()) {
    const wanted = asked[at]?.flatMap(({ question }) => [question, replyTo(question)]) ?? []
    const contents = await contentsOf(sessionId)
    const wrong = wanted.findIndex((text, index) => text !== contents[index])
    if (contents.length !== wanted.length || wrong >= 0)
      lost.push(`session ${at}: ${contents.length} messages, ${wanted.length} asked; differs at ${wrong}`)
  }
  const keys = asked.flatMap((turns) => turns.map((turn) => turn.key))
  const [row] = await sql`
    select count(*)::int as turns, count(*) filter (where state = 'completed')::int as completed,
      count(distinct idempotency_key)::int as keys
    from turns where idempotency_key = any (${sql.array(keys, "text")})`
  if (row.completed !== keys.length || row.keys !== keys.length)
    lost.push(`${keys.length} keys have ${row.completed} completed turns`)
  const [{ running }] = await sql`select count(*)::int as running from turns where state = 'running'`
  if (running > 0) lost.push(`${running} turns still running`)
  return keys.length
}

try {
  const old = start(oldMain)
  // Earlier versions name the event otherwise.
  const [, oldUrl = ""] = await old.says(/listening\b.*?(http:\/\/[\w.:[\]-]+)/)
  balancer.use([oldUrl])
  const email = JSON.stringify({ email: "user@example.com" })
  key = (await read(await call("POST", "/users/register", email), Registered)).apiKey
  const sessions = await Promise.all(Array.from({ length: users }, open))
  let isOver = false
  const conversations = Promise.all(sessions.map((sessionId) => converse(sessionId, () => isOver)))
  await Bun.sleep(phaseMs)

  phase = "migration"
  const began = performance.now()
  const updated = start(sourceFile)
  const newUrl = await updated.url()
  console.log(`The new version listens after ${((performance.now() - began) / 1000).toFixed(1)} s.`)
  phase = "both"
  balancer.use([oldUrl, newUrl])
  await Bun.sleep(phaseMs * 2)
  phase = "old stops"
  balancer.use([newUrl])
  old.signal("SIGTERM")
  console.log(`The old version ends with ${await old.ended}.`)
  phase = "new"
  await Bun.sleep(phaseMs)
  isOver = true
  const asked = await conversations
  const turns = await check(sessions, asked)
  const migrations = await sql`select count(*)::int as count from schema_migrations`
  console.log(`${turns} keyed turns in ${users} sessions; ${migrations[0].count} migrations.`)
  console.log("Retried:", Object.fromEntries(retried))
  console.log("Log of the old version:", warnings(old))
  console.log("Log of the new version:", warnings(updated))
  for (const each of lost) console.log(`Lost: ${each}`)
  process.exitCode = lost.length === 0 ? 0 : 1
} finally {
  await cleanUpProcesses()
  await balancer.stop()
  await upstream.stop()
  await sql.close()
  await embedded?.drop()
  await stopServer()
}

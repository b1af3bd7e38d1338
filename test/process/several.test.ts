/** Several processes of the service behind a load balancer, on one database: directly, and through a pooler. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { Schema } from "effect"
import { type Balancer, startBalancer } from "../support/balancer.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { eventsIn } from "../support/events.ts"
import { type PgBouncer, pgbouncerProgram, startPgBouncer } from "../support/pgbouncer.ts"
import { cleanUpProcesses, type ServiceProcess, startProcess } from "../support/process.ts"
import { connectRaw, head } from "../support/raw-http.ts"
import { withoutNotes } from "../support/sessions.ts"
import { until } from "../support/turns.ts"
import { fail, type Step, startUpstream, type Upstream } from "../support/upstream.ts"

const Registered = Schema.Struct({ apiKey: Schema.String })
const Created = Schema.Struct({ sessionId: Schema.String })
const Reply = Schema.Struct({ turnId: Schema.String, response: Schema.String })

/** The body of a good answer. Throws one that is not good, whole, so that a failure says what the service said. */
const json = async <A, I>(answer: Response, schema: Schema.Schema<A, I>) => {
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${answer.status}: ${text}`)
  return Schema.decodeUnknownSync(schema)(JSON.parse(text))
}

const replyTo = (question: string) => `${question} is answered.`

afterAll(cleanUpProcesses)

describe.each(["directly", "through PgBouncer"])("%s", (way) => {
  const isPooled = way === "through PgBouncer"
  let database: TestDatabase
  let pooler: PgBouncer | undefined
  let upstream: Upstream
  let balancer: Balancer
  let services: ReadonlyArray<ServiceProcess> = []
  let key = ""

  const isPossible = !isPooled || pgbouncerProgram !== null
  beforeAll(async () => {
    if (!isPossible) return
    database = await makeDatabase()
    pooler = isPooled ? await startPgBouncer(database.url) : undefined
    upstream = await startUpstream()
    balancer = await startBalancer()
    services = [start(), start(), start()]
    await use(services)
    const answer = await call("POST", "/users/register", { email: `${crypto.randomUUID()}@example.com` })
    key = (await json(answer, Registered)).apiKey
  })
  afterEach(() => upstream.reset())
  afterAll(async () => {
    if (!isPossible) return
    await balancer.stop()
    await cleanUpProcesses()
    await upstream.stop()
    await pooler?.stop()
    await database.drop()
  })

  const start = () =>
    startProcess({
      env: {
        NODE_ENV: "production",
        OPENAI_API_KEY: "sk-test",
        OPENAI_BASE_URL: upstream.baseUrl,
        DATABASE_URL: pooler?.url ?? database.url,
        BREAKER_FAILURES: "0",
        CONTEXT_SUMMARIES: "false",
      },
    })

  /** Puts these processes, and no others, behind the balancer. */
  const use = async (all: ReadonlyArray<ServiceProcess>) =>
    balancer.use(await Promise.all(all.map((service) => service.url())))

  const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
    fetch(`${balancer.url}/api/v1${path}`, {
      method,
      headers: {
        // So that each request may go to another process.
        connection: "close",
        accept: "application/json",
        "content-type": "application/json",
        ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  const openSession = async () => (await json(await call("POST", "/sessions", {}), Created)).sessionId

  /** The reply repeats the question, after a while. */
  const repeatQuestions = (more: Step = {}) =>
    upstream.default("llm", ({ messages }) => ({
      ...more,
      text: replyTo(withoutNotes(messages.at(-1)?.content ?? "")),
    }))

  /** What is stored of a session: the text of each message, in order. */
  const contentsOf = async (sessionId: string): Promise<ReadonlyArray<string>> => {
    const rows: ReadonlyArray<{ readonly content: string }> =
      await database.sql`select content from messages where session_id = ${sessionId} order by sequence`
    return rows.map(({ content }) => content)
  }

  /** Asks until there is an answer, as a client with a key for its retries does. Resolves with the number of tries. */
  const askUntilAnswered = async (
    sessionId: string,
    text: string,
    onBroken: () => unknown = () => undefined,
  ): Promise<number> => {
    const headers = { "idempotency-key": crypto.randomUUID() }
    let tries = 0
    await until(
      async () => {
        tries += 1
        try {
          const answer = await call("POST", `/sessions/${sessionId}/messages`, { text }, headers)
          if (answer.status !== 200) return false
          return (await json(answer, Reply)).response === replyTo(text)
        } catch {
          onBroken()
          return false
        }
      },
      `an answer to ${text}`,
      40_000,
    )
    return tries
  }

  test.if(isPossible)("50 turns at once in one session keep their order", async () => {
    repeatQuestions()
    const sessionId = await openSession()
    const questions = Array.from({ length: 50 }, (_, i) => `Question ${i}`)
    const replies = await Promise.all(
      questions.map(async (text) =>
        json(await call("POST", `/sessions/${sessionId}/messages`, { text }), Reply),
      ),
    )
    expect(replies.map(({ response }) => response)).toEqual(questions.map(replyTo))
    const contents = await contentsOf(sessionId)
    expect(contents).toHaveLength(100)
    const asked = contents.filter((_, i) => i % 2 === 0)
    expect(asked.toSorted()).toEqual(questions.toSorted())
    expect(contents.filter((_, i) => i % 2 === 1)).toEqual(asked.map(replyTo))
    // Each turn was told of all the turns before it, in the same order.
    const prompts = upstream
      .calls("llm")
      .map(({ request }) => request.messages.slice(1).map((message) => withoutNotes(message.content)))
    for (const prompt of prompts) {
      const end = contents.indexOf(prompt.at(-1) ?? "")
      expect(prompt).toEqual(contents.slice(Math.max(0, end + 1 - prompt.length), end + 1))
    }
    expect(new Set(prompts.map((prompt) => prompt.length)).size).toBeGreaterThan(5)
  })

  test.if(isPossible)(
    "a killed process loses only its own streams, and retries are answered elsewhere",
    async () => {
      const { promise: after, resolve: answer } = Promise.withResolvers<void>()
      repeatQuestions({ after })
      const sessions = await Promise.all(Array.from({ length: 9 }, openSession))
      const broken = new Set<string>()
      const running = sessions.map((sessionId, i) =>
        askUntilAnswered(sessionId, `Question ${i}`, () => broken.add(sessionId)),
      )
      await upstream.waitFor(() => upstream.openCalls() === 9, "nine turns that think")
      const [killed, ...others] = services
      killed?.signal("SIGKILL")
      await killed?.ended
      answer()
      await until(() => broken.size === 3, "three broken connections")
      await use(others)
      services = others
      // Otherwise the retries wait for the whole lease.
      for (const sessionId of broken) {
        await database.sql`update turns set lease_until = now() where state = 'running' and session_id = ${sessionId}`
      }
      const tries = await Promise.all(running)
      expect(tries.filter((count) => count === 1)).toHaveLength(6)
      for (const [i, sessionId] of sessions.entries()) {
        expect(await contentsOf(sessionId)).toEqual([`Question ${i}`, replyTo(`Question ${i}`)])
      }
      services = [...others, start()]
      await use(services)
    },
    60_000,
  )

  // The statements of these are the same through a pooler.
  if (isPooled) return

  test("an update one after the other loses nothing", async () => {
    repeatQuestions({ delayMs: 100 })
    const sessions = await Promise.all(Array.from({ length: 4 }, openSession))
    let isUpdating = true
    const askOn = async (sessionId: string) => {
      const asked: Array<string> = []
      while (isUpdating) {
        const text = `Question ${asked.length}`
        await askUntilAnswered(sessionId, text)
        asked.push(text)
      }
      return asked
    }
    const users = sessions.map(askOn)
    for (const old of services) {
      const replacement = start()
      await replacement.url()
      services = [...services.filter((service) => service !== old), replacement]
      await use(services)
      old.signal("SIGTERM")
      expect(await old.ended).toBe(0)
      expect(old.stdout()).not.toContain("shutdown.requests_aborted")
    }
    isUpdating = false
    for (const [i, asked] of (await Promise.all(users)).entries()) {
      expect(asked.length).toBeGreaterThan(1)
      expect(await contentsOf(sessions[i] ?? "")).toEqual(asked.flatMap((text) => [text, replyTo(text)]))
    }
  }, 60_000)

  test("events reach the client while the turn runs in any process", async () => {
    const sessionId = await openSession()
    // The model writes two words and then nothing: what arrives was not held back.
    upstream.default("llm", { ...fail.hang({ tokens: 2 }), text: "One two three." })
    for (let process = 0; process < services.length; process += 1) {
      const body = JSON.stringify({ text: `Question ${process}` })
      const client = await connectRaw(balancer.url)
      const headers = {
        authorization: `Bearer ${key}`,
        accept: "text/event-stream",
        "content-type": "application/json",
        "content-length": `${body.length}`,
      }
      await client.send(head(`POST /api/v1/sessions/${sessionId}/messages`, headers))
      await client.send(body)
      const { body: received } = await client.until((answer) =>
        eventsIn(answer.body).some(({ event }) => event === "reply.delta"),
      )
      expect(new Set(eventsIn(received).map(({ event }) => event))).toEqual(
        new Set(["turn.started", "transcript", "reply.delta"]),
      )
      client.leave()
      await upstream.waitFor(() => upstream.openCalls() === 0, "the end of the turn")
    }
  })
})

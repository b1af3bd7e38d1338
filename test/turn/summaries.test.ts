import { afterAll, beforeAll, describe, expect } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import {
  ConfigProvider,
  Context,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Scope,
  Stream,
  TestClock,
} from "effect"
import type { Agent } from "../../src/agent/agent.ts"
import { Agents } from "../../src/agent/agents.ts"
import { AgentInvalid } from "../../src/agent/errors.ts"
import { promptTokens } from "../../src/agent/prompt.ts"
import { Settings } from "../../src/config.ts"
import { ClientCalls } from "../../src/conversation/client-calls.ts"
import { History } from "../../src/conversation/history.ts"
import { newItem } from "../../src/conversation/item.ts"
import { KeyedTurns } from "../../src/conversation/keyed-turns.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import { Sessions } from "../../src/conversation/sessions.ts"
import { Summaries } from "../../src/conversation/summaries.ts"
import { ToolCalls } from "../../src/conversation/tool-calls.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { Ffmpeg } from "../../src/ffmpeg/ffmpeg.ts"
import { ConversionSlots } from "../../src/limits/conversion-slots.ts"
import { DecodingSlots } from "../../src/limits/decoding-slots.ts"
import type { ProviderError } from "../../src/providers/errors.ts"
import { emptyAnswer, wrongAnswer } from "../../src/providers/errors.ts"
import {
  cleanReplies,
  type EndReason,
  LanguageModel,
  ModelEvent,
  type Prompt,
} from "../../src/providers/language-model.ts"
import { Synthesizer } from "../../src/providers/synthesizer.ts"
import { noTools } from "../../src/providers/tools.ts"
import { Transcriber } from "../../src/providers/transcriber.ts"
import { ItemId, newId, SessionId, UserId } from "../../src/schema.ts"
import type { TurnError } from "../../src/turn/errors.ts"
import type { OutputOptions } from "../../src/turn/events.ts"
import { fromText } from "../../src/turn/input.ts"
import { SessionTarget } from "../../src/turn/request.ts"
import { type Turn, Turns } from "../../src/turn/turns.ts"
import { Spending } from "../../src/usage/spending.ts"
import { UsageDays } from "../../src/usage/usage-days.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { agent, converse, requestOf, streamed, tenth } from "../support/fake-turns.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const prices = {
  currency: "USD",
  models: { brain: { perMillionInputTokens: 1, perMillionOutputTokens: 10 } },
}

/** What the model answers to a prompt. */
interface Answer {
  readonly text: string
  readonly afterMs?: number
  readonly end?: EndReason
  readonly fail?: ProviderError
  readonly usage?: { readonly inputTokens: number; readonly outputTokens: number }
}

interface Script {
  readonly reply?: (prompt: Prompt) => Answer
  readonly summarize?: (prompt: Prompt) => Answer
  readonly history?: Partial<Agent["history"]>
  readonly thinking?: Partial<Agent["thinking"]>
  /** The name of the engine. */
  readonly engine?: string
}

const noPrompt: Prompt = { instructions: "", messages: [], ...noTools }
const isForSummary = ({ instructions }: Prompt) => instructions.startsWith("You keep the notes")
const text = (prompt: Prompt) => prompt.messages.map(({ content }) => content).join("\n")

/** Turns on the test's database. The ports are fakes, and the clock is the test clock. */
const startTurns = Effect.fnUntraced(function* ({
  reply = () => ({ text: "I see." }),
  summarize = () => ({ text: "The notes." }),
  ...script
}: Script = {}) {
  const prompts: Array<Prompt> = []
  const requests: Array<Prompt & { readonly maxTokens: Option.Option<number> }> = []
  const logs: Array<readonly [event: unknown, fields: Readonly<Record<string, unknown>>]> = []
  let running = 0
  let mostRunning = 0
  const model = LanguageModel.of({
    generate: cleanReplies((prompt, { maxTokens, onRequest }, on) =>
      Effect.gen(function* () {
        onRequest?.({ model: "brain", isLocal: false })
        const forSummary = isForSummary(prompt)
        if (forSummary) requests.push({ ...prompt, maxTokens })
        else prompts.push(prompt)
        const { afterMs = 0, end = "stop", ...answer } = (forSummary ? summarize : reply)(prompt)
        running += forSummary ? 1 : 0
        mostRunning = Math.max(running, mostRunning)
        if (afterMs > 0) yield* Effect.sleep(afterMs)
        if (answer.fail !== undefined) return yield* answer.fail
        on(ModelEvent.Text({ text: answer.text }))
        if (answer.usage !== undefined) on(ModelEvent.Usage(answer.usage))
        on(ModelEvent.End({ reason: end }))
      }).pipe(Effect.ensuring(Effect.sync(() => (running -= isForSummary(prompt) ? 1 : 0)))),
    ),
    status: Effect.succeed("ok"),
    model: Effect.succeed(script.engine ?? "fake"),
  })
  const own: Agent = {
    ...agent,
    thinking: { ...agent.thinking, ...script.thinking },
    history: { maxItems: 20, maxTokens: 3000, isSummarized: true, ...script.history },
  }
  const unused = Effect.dieMessage("not used by these tests")
  const env = new Map([
    ["DATABASE_URL", database.url],
    ["OPENAI_API_KEY", "sk-test"],
    ["PRICES", JSON.stringify(prices)],
  ])
  /** Users who may spend no more, as often as they were refused. */
  const refused: Array<UserId> = []
  const spending = Layer.effect(
    Spending,
    Effect.map(Spending, (its) => ({
      ...its,
      check: (userId: UserId) =>
        Effect.tapErrorTag(its.check(userId), "QuotaExceeded", () =>
          Effect.sync(() => void refused.push(userId)),
        ),
    })),
  ).pipe(Layer.provide(Spending.layer))
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message, annotations }) => {
      logs.push([Array.isArray(message) ? message[0] : message, Object.fromEntries(annotations)])
    }),
  )
  const layer = Turns.layer.pipe(
    Layer.provide(RunningTurns.layer),
    Layer.provideMerge(
      Layer.mergeAll(Ledger.layer, KeyedTurns.layer, ToolCalls.layer, ClientCalls.layer, Summaries.layer),
    ),
    Layer.provideMerge(Layer.mergeAll(History.layer, Sessions.layer, spending, UsageDays.layer)),
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(LanguageModel, model),
        Synthesizer.makeFake([{ chunks: [{ bytes: tenth }] }]).layer,
        Transcriber.makeFake().layer,
        Layer.succeed(Agents, {
          configured: own,
          read: () => Either.left(new AgentInvalid({ field: "body", reason: "is not read here" })),
          warnings: () => Effect.succeed([]),
          choose: () => Effect.succeedNone,
          resolve: () => Effect.succeed(own),
        }),
        Layer.succeed(Ffmpeg, {
          decode: () => unused,
          reencode: () => unused,
          startConversion: () => {
            throw new Error("not used by these tests")
          },
        }),
        Layer.succeed(DecodingSlots, { withSlot: (_, effect) => effect }),
        ConversionSlots.layer,
      ),
    ),
    Layer.provide(Postgres.layer),
    Layer.provide(Settings.layer),
    Layer.provide(BunContext.layer),
    Layer.provideMerge(logger),
    Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(env))),
  )
  const scope = yield* Scope.make()
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const context = yield* Layer.buildWithScope(layer, scope)
  return {
    turns: Context.get(context, Turns),
    ledger: Context.get(context, Ledger),
    history: Context.get(context, History),
    prompts,
    requests,
    refused,
    events: (event: string) => logs.filter(([logged]) => logged === event).map(([, fields]) => fields),
    mostRunning: () => mostRunning,
    stop: Scope.close(scope, Exit.void),
  }
})
type Service = Effect.Effect.Success<ReturnType<typeof startTurns>>

const textOnly: OutputOptions = { ...streamed, format: "none" }

/** A session of a new user. */
const newSession = Effect.fnUntraced(function* (service: Service) {
  const userId = UserId.make(
    yield* Effect.promise(async () => {
      const [{ id }] = await database.sql`
        insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
      return id
    }),
  )
  const id = newId(SessionId)
  let isNew = true
  const request = (said: string, output = textOnly) => ({
    ...requestOf({ output, input: fromText(said), target: SessionTarget.Joined({ session: { id, isNew } }) }),
    userId,
  })
  /** A whole turn. Returns its events. */
  const say = Effect.fnUntraced(function* (said: string, output = textOnly) {
    const turn = yield* converse(service.turns, request(said, output))
    isNew = false
    yield* Fiber.join(turn.end)
    return turn
  })
  const readRow = async () => {
    const [found] = await database.sql`
      select summary_lease is not null as "isBusy",
        (select payload from items where session_id = ${id} and type = 'summary') as summary,
        (select count(*)::int from items where session_id = ${id} and type <> 'summary' and sequence > coalesce(
          (select max(sequence) from items where session_id = ${id} and type = 'summary'), -1)) as "after"
      from sessions where id = ${id}`
    return found
  }
  const row = Effect.promise(readRow)
  const summary = Effect.map(row, (found): unknown => found?.summary)
  const untilRow = (
    is: (found: { isBusy: boolean; summary: unknown; after: number }) => boolean,
    what: string,
  ) => Effect.promise(() => until(async () => is(await readRow()), what))
  return {
    ...{ id, userId, say, request, summary },
    summarized: untilRow(({ summary, isBusy }) => summary !== null && !isBusy, "a summary"),
    /** The model sees all that follows the summary. */
    fits: (items: number) => untilRow(({ after, isBusy }) => after <= items && !isBusy, "a short rest"),
    idle: untilRow(({ isBusy }) => !isBusy, "an end of the work on a summary"),
  }
})

/** Has every fact of its prompt, and nothing else. */
const keepFacts = (prompt: Prompt): Answer => ({
  text: [...new Set(text(prompt).match(/fact \w+ is \w+/g) ?? [])].join(". "),
})

/** An even number; each turn costs 0.03 s of CPU. A longer run: VOICE_SUMMARY_TURNS=1000 */
const manyTurns = Number(process.env.VOICE_SUMMARY_TURNS ?? 80)

effectTest(
  `a fact of the first turn is in the prompt of turn ${manyTurns}, and each prompt is in its budget`,
  Effect.gen(function* () {
    const service = yield* startTurns({
      summarize: keepFacts,
      reply: ({ messages }) => ({ text: `This answers it well: ${messages.at(-1)?.content}` }),
      history: { maxTokens: 1000 },
    })
    const session = yield* newSession(service)
    yield* session.say("Remember that fact one is 4711.")
    for (let turn = 2; turn <= manyTurns; turn += 1) {
      const isHalf = turn === manyTurns / 2
      yield* session.say(isHalf ? "And fact half is blue." : `This is what I say in turn ${turn}.`)
      yield* session.fits(20)
    }
    expect(service.prompts).toHaveLength(manyTurns)
    for (const [at, prompt] of service.prompts.entries()) {
      expect(text(prompt)).toContain("fact one is 4711")
      expect(text(prompt).includes("fact half is blue")).toBe(at >= manyTurns / 2 - 1)
      const history = { ...prompt, instructions: "", messages: prompt.messages.slice(0, -1) }
      expect(promptTokens(history)).toBeLessThanOrEqual(1000)
    }
    // One after every five turns.
    expect(service.requests.length).toBeGreaterThanOrEqual(0.15 * manyTurns)
    expect(service.requests.length).toBeLessThanOrEqual(0.2 * manyTurns)
    expect(service.mostRunning()).toBe(1)
    for (const prompt of service.requests) expect(promptTokens(prompt)).toBeLessThan(1500)
  }),
  120_000,
)

/** Turns until the history of 4 items is too long. */
const small = { maxItems: 4, maxTokens: 1000 }
const fill = (session: Effect.Effect.Success<ReturnType<typeof newSession>>) =>
  Effect.forEach(["a", "b", "c"], (said) => session.say(said), { discard: true })

describe("a summary that takes 30 s", () => {
  const slow = { history: small, summarize: () => ({ text: "The notes.", afterMs: 30_000 }) }

  effectTest(
    "delays neither the turn before it nor the next one",
    Effect.gen(function* () {
      const service = yield* startTurns(slow)
      const session = yield* newSession(service)
      yield* fill(session)
      yield* Effect.promise(() => until(() => service.requests.length === 1, "a request for a summary"))
      // The clock stands still.
      const { tags } = yield* session.say("d", streamed)
      expect(tags()).toContain("Audio")
      expect(tags().at(-1)).toBe("Completed")
      expect(yield* session.summary).toBeNull()
      // Not a second one meanwhile.
      yield* session.say("e")
      expect(service.requests).toHaveLength(1)
      yield* TestClock.adjust(30_000)
      yield* session.summarized
      yield* session.say("f")
      expect(text(service.prompts.at(-1) ?? noPrompt)).toContain("The notes.")
    }),
  )

  effectTest(
    "ends with the service, its session is free, and its prompt is paid",
    Effect.gen(function* () {
      const service = yield* startTurns(slow)
      const session = yield* newSession(service)
      yield* fill(session)
      yield* Effect.promise(() => until(() => service.requests.length === 1, "a request for a summary"))
      const before = yield* spentBy(session)
      yield* service.stop
      yield* session.idle
      expect(yield* session.summary).toBeNull()
      const nanos = before.nanos + 1000 * promptTokens(service.requests[0] ?? noPrompt)
      expect(yield* spentBy(session)).toEqual({ ...before, nanos })
      expect(service.events("summary.failed")).toEqual([])
    }),
  )

  effectTest(
    "of ten sessions runs in four of them at a time",
    Effect.gen(function* () {
      const service = yield* startTurns(slow)
      const sessions = yield* Effect.all(Array.from({ length: 10 }, () => newSession(service)))
      yield* Effect.forEach(sessions, fill, { concurrency: "unbounded" })
      for (const count of [4, 8, 10]) {
        yield* Effect.promise(() => until(() => service.requests.length === count, `${count} requests`))
        yield* TestClock.adjust(30_000)
      }
      yield* Effect.forEach(sessions, ({ summarized }) => summarized)
      expect(service.mostRunning()).toBe(4)
    }),
  )
})

effectTest(
  "a session has one summary at a time in two processes",
  Effect.gen(function* () {
    const slow = { history: small, summarize: () => ({ text: "The notes.", afterMs: 30_000 }) }
    const [one, two] = [yield* startTurns(slow), yield* startTurns(slow)]
    const session = yield* newSession(one)
    yield* fill(session)
    yield* Effect.promise(() => until(() => one.requests.length === 1, "a request for a summary"))
    const turn = yield* converse(two.turns, session.request("d"))
    yield* Fiber.join(turn.end)
    yield* TestClock.adjust(30_000)
    yield* session.summarized
    expect(two.requests).toEqual([])
  }),
)

effectTest(
  "a failure is logged without what was said, and the next turn tries again",
  Effect.gen(function* () {
    const failures: ReadonlyArray<readonly [Answer, reason: string]> = [
      [{ text: "", fail: wrongAnswer("llm", "broken") }, "broken"],
      [{ text: " " }, emptyAnswer("llm").reason],
      [{ text: "I can't.", end: "refused" }, "the model declined to summarize"],
      [{ text: "The", end: "filtered" }, "the model declined to summarize"],
      [{ text: "late", afterMs: 61_000 }, "no answer within 60 s"],
    ]
    const answers = [...failures.map(([answer]) => answer), { text: "The notes." }]
    const service = yield* startTurns({
      history: small,
      summarize: () => answers.shift() ?? { text: "more" },
    })
    const session = yield* newSession(service)
    yield* fill(session)
    for (const at of failures.keys()) {
      yield* Effect.promise(() => until(() => service.requests.length === at + 1, "a request"))
      if (failures[at]?.[0].afterMs !== undefined) yield* TestClock.adjust(60_000)
      yield* Effect.promise(() =>
        until(() => service.events("summary.failed").length === at + 1, "a failure"),
      )
      yield* session.idle
      expect(yield* session.summary).toBeNull()
      yield* session.say("d")
    }
    yield* session.summarized
    const logged = service.events("summary.failed")
    expect(logged.map(({ reason }) => reason)).toEqual(failures.map(([, reason]) => reason))
    for (const fields of logged) expect(fields).toMatchObject({ sessionId: session.id })
  }),
)

effectTest(
  "its usage is stored with it, and its length is bounded",
  Effect.gen(function* () {
    const counted = { inputTokens: 321, outputTokens: 45 }
    const service = yield* startTurns({
      history: { ...small, maxTokens: 400 },
      summarize: () => ({ text: "Her name is Ada. ".repeat(100), usage: counted, end: "length" }),
    })
    const session = yield* newSession(service)
    yield* fill(session)
    yield* session.summarized
    expect(yield* session.summary).toEqual({
      text: `${"Her name is Ada. ".repeat(23)}…`,
      usage: counted,
    })
    expect(service.events("summary.made")).toMatchObject([{ items: 4, saved: true, ...counted }])
    // Twice what the summary needs, at least: the model may think.
    expect(service.requests[0]?.maxTokens).toEqual(Option.some(200))

    const uncounted = yield* startTurns({ history: small, thinking: { maxTokens: Option.none() } })
    const other = yield* newSession(uncounted)
    yield* fill(other)
    yield* other.summarized
    expect(yield* other.summary).toMatchObject({
      usage: { inputTokens: promptTokens(uncounted.requests[0] ?? noPrompt), outputTokens: 3 },
    })
    expect(uncounted.requests[0]?.maxTokens).toEqual(Option.none())
  }),
)

effectTest(
  "an interrupted turn begins a summary, too",
  Effect.gen(function* () {
    const service = yield* startTurns({
      history: small,
      reply: (prompt) => ({ text: "I see.", afterMs: text(prompt).endsWith("c") ? 60_000 : 0 }),
    })
    const session = yield* newSession(service)
    yield* session.say("a")
    yield* session.say("b")
    const cut = yield* converse(service.turns, session.request("c", streamed))
    yield* Effect.promise(() => until(() => service.prompts.length === 3, "a third prompt"))
    yield* cut.turn.interrupt({ playedMs: 0 })
    yield* session.summarized
    yield* session.say("d")
    expect(text(service.prompts[3] ?? noPrompt)).toEndWith("The notes.\nc\nd")
  }),
)

effectTest(
  "no summary is made where none is wanted",
  Effect.gen(function* () {
    const scripts: ReadonlyArray<Script> = [
      // The built-in talker does not understand what it would summarize.
      { history: small, engine: "talker" },
      { history: { ...small, isSummarized: false } },
      { history: { ...small, maxItems: 0 } },
      { history: { maxItems: 10 } },
    ]
    for (const script of scripts) {
      const service = yield* startTurns(script)
      const session = yield* newSession(service)
      yield* fill(session)
      // It would have begun by then.
      yield* session.say("d")
      yield* session.say("e")
      yield* service.stop
      expect(service.requests).toEqual([])
    }
  }),
)

/** What the user has spent, in billionths of the currency, with the number of turns. */
const spentBy = ({ userId }: { readonly userId: UserId }) =>
  Effect.promise(async () => {
    const [found] = await database.sql`select sum(turns)::int as turns, sum(cost_nanos)::int as nanos
      from usage_days where user_id = ${userId}`
    return found
  })

describe("the cost of a summary", () => {
  const usage = { inputTokens: 1000, outputTokens: 100 }
  /** Of one request. */
  const nanos = 2_000_000
  const reply = () => ({ text: "I see.", usage })

  effectTest(
    "is charged, and is no turn",
    Effect.gen(function* () {
      const service = yield* startTurns({ history: small, reply, summarize: reply })
      const session = yield* newSession(service)
      yield* fill(session)
      yield* session.summarized
      expect(service.requests).toHaveLength(1)
      expect(yield* spentBy(session)).toEqual({ turns: 3, nanos: 4 * nanos })
    }),
  )

  effectTest(
    "is charged if it fails",
    Effect.gen(function* () {
      const summarize = () => ({ text: "I cannot.", end: "refused" as const, usage })
      const service = yield* startTurns({ history: small, reply, summarize })
      const session = yield* newSession(service)
      yield* fill(session)
      yield* Effect.promise(() => until(() => service.events("summary.failed").length === 1, "the failure"))
      expect(yield* spentBy(session)).toEqual({ turns: 3, nanos: 4 * nanos })
    }),
  )

  effectTest(
    "that cannot be charged is charged with the next one",
    Effect.gen(function* () {
      const service = yield* startTurns({ history: small, reply, summarize: reply })
      const session = yield* newSession(service)
      yield* Effect.promise(
        () =>
          database.sql`alter function add_usage(uuid, uuid, uuid, text, integer, jsonb, bigint) rename to adds`,
      )
      yield* Effect.promise(
        () => database.sql`create function add_usage(uuid, uuid, uuid, text, c integer, jsonb, bigint) returns void
          language plpgsql as $$ begin
            if c = 0 then raise 'not now' using errcode = 'check_violation'; end if;
            perform adds($1, $2, $3, $4, c, $6, $7);
          end $$`,
      )
      yield* fill(session)
      yield* session.summarized
      expect(yield* spentBy(session)).toEqual({ turns: 3, nanos: 3 * nanos })
      expect(service.events("usage.not_counted")).toHaveLength(1)
      yield* Effect.promise(
        () => database.sql`drop function add_usage(uuid, uuid, uuid, text, integer, jsonb, bigint)`,
      )
      yield* Effect.promise(
        () =>
          database.sql`alter function adds(uuid, uuid, uuid, text, integer, jsonb, bigint) rename to add_usage`,
      )
      for (const said of ["d", "e", "f"]) yield* session.say(said)
      yield* Effect.promise(() => until(() => service.requests.length === 2, "a second summary"))
      yield* session.fits(4)
      expect(yield* spentBy(session)).toEqual({ turns: 6, nanos: 8 * nanos })
    }),
  )

  effectTest(
    "is not paid over the limit",
    Effect.gen(function* () {
      const service = yield* startTurns({ history: small, reply })
      const session = yield* newSession(service)
      // The third turn may begin, and uses the limit up.
      yield* Effect.promise(
        () => database.sql`insert into monthly_limits values (${session.userId}, ${(2.5 * nanos) / 1e9})`,
      )
      yield* fill(session)
      yield* Effect.promise(() => until(() => service.refused.length === 1, "a refusal"))
      yield* service.stop
      expect(service.requests).toEqual([])
      expect(yield* spentBy(session)).toEqual({ turns: 3, nanos: 3 * nanos })
    }),
  )
})

effectTest(
  "turns outside the conversation, and with a context of their own, begin none",
  Effect.gen(function* () {
    const service = yield* startTurns({ history: { ...small, isSummarized: true }, engine: "talker" })
    const session = yield* newSession(service)
    yield* fill(session)
    yield* service.stop
    const later = yield* startTurns({ history: small })
    const run = (turn: Effect.Effect<Turn, TurnError, Scope.Scope>) =>
      Effect.scoped(Effect.flatMap(turn, ({ events }) => Stream.runDrain(events)))
    const context = Option.some([newItem({ type: "message", role: "user", text: "x" })])
    yield* run(later.turns.aside(session.request("d")))
    yield* run(later.turns.begin({ ...session.request("e"), context }))
    const usual = session.request("f")
    yield* run(later.turns.begin(usual))
    yield* session.summarized
    expect(later.events("summary.made").map(({ turnId }) => turnId)).toEqual([usual.turnId])
  }),
)

effectTest(
  "after a change of what it stands for it is made anew",
  Effect.gen(function* () {
    const service = yield* startTurns({
      history: small,
      summarize: (prompt) => ({ text: `Of: ${text(prompt).split("\n").length - 2} entries.` }),
    })
    const session = yield* newSession(service)
    yield* fill(session)
    yield* session.summarized
    expect(yield* session.summary).toMatchObject({ text: "Of: 4 entries." })
    const [first] = yield* service.history.newest(session.id, 100)
    yield* service.ledger.removeItem(session.userId, session.id, first?.id ?? newId(ItemId))
    expect(yield* session.summary).toBeNull()
    yield* session.say("d")
    yield* session.summarized
    // A b B c C, without d D. The earlier summary is not among them.
    expect(yield* session.summary).toMatchObject({ text: "Of: 5 entries." })
  }),
)

effectTest(
  "a long conversation from before there were summaries takes several requests",
  Effect.gen(function* () {
    const service = yield* startTurns({ summarize: keepFacts })
    const session = yield* newSession(service)
    yield* session.say("a")
    yield* Effect.promise(
      () => database.sql`insert into items (session_id, turn_id, type, payload)
        select ${session.id}, gen_random_uuid(), 'message',
          jsonb_build_object('role', 'user', 'text', 'fact x' || n / 10 * 10 || ' is so ' || repeat('z', 390))
        from generate_series(1, 300) n`,
    )
    yield* session.say("b")
    yield* Effect.promise(() => until(() => service.events("summary.made").length === 5, "five summaries"))
    yield* session.idle
    // About 28 items in each request.
    expect(service.requests).toHaveLength(5)
    yield* session.say("c")
    yield* session.fits(20)
    yield* session.say("d")
    const seen = text(service.prompts.at(-1) ?? noPrompt)
    // The newest 200 items were read.
    for (const n of [110, 150, 200, 250, 290, 300]) expect(seen).toContain(`fact x${n} is so`)
    expect(seen).not.toContain("fact x90 ")
  }),
)

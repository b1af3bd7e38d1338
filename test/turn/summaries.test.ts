import { afterAll, beforeAll, describe, expect } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import {
  ConfigProvider,
  Context,
  Deferred,
  Effect,
  Either,
  Exit,
  Fiber,
  Layer,
  Logger,
  Option,
  Scope,
  TestClock,
} from "effect"
import type { Agent } from "../../src/agent/agent.ts"
import { Agents } from "../../src/agent/agents.ts"
import { AgentInvalid } from "../../src/agent/errors.ts"
import { promptTokens } from "../../src/agent/prompt.ts"
import { Settings } from "../../src/config.ts"
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
import type { OutputOptions } from "../../src/turn/events.ts"
import { fromText } from "../../src/turn/input.ts"
import { SessionTarget } from "../../src/turn/request.ts"
import { Turns } from "../../src/turn/turns.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { agent, converse, requestOf, streamed, tenth, textOf } from "../support/fake-turns.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

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
    generate: cleanReplies((prompt, { maxTokens }, on) =>
      Effect.gen(function* () {
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
  ])
  const logger = Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ message, annotations }) => {
      logs.push([Array.isArray(message) ? message[0] : message, Object.fromEntries(annotations)])
    }),
  )
  const layer = Turns.layer.pipe(
    Layer.provide(RunningTurns.layer),
    Layer.provideMerge(Layer.mergeAll(Ledger.layer, KeyedTurns.layer, ToolCalls.layer, Summaries.layer)),
    Layer.provideMerge(Layer.merge(History.layer, Sessions.layer)),
    Layer.provide(
      Layer.mergeAll(
        Layer.succeed(LanguageModel, model),
        Synthesizer.makeFake([{ chunks: [{ bytes: tenth }] }]).layer,
        Transcriber.makeFake().layer,
        Layer.succeed(Agents, {
          configured: own,
          read: () => Either.left(new AgentInvalid({ field: "body", reason: "is not read here" })),
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
  const row = Effect.promise(async () => {
    const [found] = await database.sql`
      select summary_lease is not null as "isBusy",
        (select payload from items where session_id = ${id} and type = 'summary') as summary,
        (select count(*)::int from items where session_id = ${id} and type <> 'summary' and sequence > coalesce(
          (select max(sequence) from items where session_id = ${id} and type = 'summary'), -1)) as "after"
      from sessions where id = ${id}`
    return found
  })
  const summary = Effect.map(row, (found): unknown => found?.summary)
  const untilRow = (is: (found: { isBusy: boolean; summary: unknown; after: number }) => boolean, what: string) =>
    Effect.promise(() => until(async () => is(await Effect.runPromise(row)), what))
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

effectTest(
  "a fact of the first turn is in the prompt of the 200th, and each prompt is in its budget",
  Effect.gen(function* () {
    const service = yield* startTurns({
      summarize: keepFacts,
      reply: ({ messages }) => ({ text: `This answers it well: ${messages.at(-1)?.content}` }),
      history: { maxTokens: 1000 },
    })
    const session = yield* newSession(service)
    yield* session.say("Remember that fact one is 4711.")
    for (let turn = 2; turn <= 200; turn += 1) {
      yield* session.say(turn === 100 ? "And fact hundred is blue." : `This is what I say in turn ${turn}.`)
      yield* session.fits(20)
    }
    expect(service.prompts).toHaveLength(200)
    for (const [at, prompt] of service.prompts.entries()) {
      expect(text(prompt)).toContain("fact one is 4711")
      expect(text(prompt).includes("fact hundred is blue")).toBe(at >= 99)
      const history = { ...prompt, instructions: "", messages: prompt.messages.slice(0, -1) }
      expect(promptTokens(history)).toBeLessThanOrEqual(1000)
    }
    // One after every five turns.
    expect(service.requests.length).toBeGreaterThanOrEqual(30)
    expect(service.requests.length).toBeLessThanOrEqual(40)
    expect(service.mostRunning()).toBe(1)
    for (const prompt of service.requests) expect(promptTokens(prompt)).toBeLessThan(1500)
  }),
  120_000,
)

import { afterAll, beforeAll, describe, expect } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Layer, Logger, TestClock } from "effect"
import { Memories } from "../../src/accounts/memories.ts"
import { Settings } from "../../src/config.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeMemoryTools } from "../../src/tools/built-in/memory.ts"
import { currentTime } from "../../src/tools/built-in/time.ts"
import type { RunnableTool } from "../../src/tools/runnable.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const call = (
  tool: RunnableTool | undefined,
  args: Readonly<Record<string, unknown>>,
  userId = newId(UserId),
  idempotencyKey: string = crypto.randomUUID(),
) =>
  tool === undefined
    ? Effect.dieMessage("there is no such tool")
    : tool.run({
        callId: "call_1",
        idempotencyKey,
        arguments: args,
        userId,
        sessionId: newId(SessionId),
        turnId: newId(TurnId),
      })

describe("current_time", () => {
  effectTest(
    "tells the time of a zone",
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 6, 1, 22, 30, 5))
      const told = (args: object) => Effect.map(call(currentTime, { ...args }), ({ output }) => output)
      expect(yield* told({})).toMatch(/^Wednesday,? 1 July 2026.* 22:30:05 GMT(\+00:00)? \(UTC\)$/)
      expect(yield* told({ time_zone: " " })).toContain("22:30:05")
      expect(yield* told({ time_zone: "Europe/Berlin" })).toMatch(
        /^Thursday,? 2 July 2026.* 00:30:05 GMT\+02:00 \(Europe\/Berlin\)$/,
      )
      expect(yield* told({ time_zone: "Asia/Kathmandu" })).toContain("GMT+05:45")
      expect(yield* call(currentTime, { time_zone: "Mars/Base" })).toMatchObject({
        isError: true,
        output: expect.stringContaining("Mars/Base"),
      })
    }),
  )
})

const parts = Layer.suspend(() =>
  Memories.layer.pipe(
    Layer.provide(Postgres.layer),
    Layer.provide(Settings.layer),
    Layer.provide(BunContext.layer),
    Layer.provide(Logger.remove(Logger.defaultLogger)),
    Layer.provide(
      Layer.setConfigProvider(
        ConfigProvider.fromMap(
          new Map([
            ["DATABASE_URL", database.url],
            ["OPENAI_API_KEY", "sk-test"],
          ]),
        ),
      ),
    ),
  ),
)

const addUser = Effect.promise(async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  return UserId.make(id)
})

describe("the memory", () => {
  effectTest(
    "remembers, recalls by words and forgets, for each user apart",
    Effect.gen(function* () {
      const [remember, recall, forget] = yield* makeMemoryTools
      const [ada, bob] = [yield* addUser, yield* addUser]
      expect(yield* call(recall, {}, ada)).toEqual({
        output: "Nothing is remembered about this user.",
        isError: false,
      })
      yield* call(remember, { text: " Prefers trains. " }, ada)
      yield* call(remember, { text: "Has two cats.\0" }, ada)
      yield* call(remember, { text: "Is Bob." }, bob)
      const all = yield* call(recall, {}, ada)
      expect(all.output.split("\n")).toEqual([
        expect.stringMatching(/^\[[0-9a-f]{8}\] Prefers trains\. \(\d{4}-\d\d-\d\d\)$/),
        expect.stringMatching(/^\[[0-9a-f]{8}\] Has two cats\. /),
      ])
      const cats = yield* call(recall, { query: "Which CATS, or dogs?" }, ada)
      expect(cats.output).toContain("Has two cats.")
      expect(cats.output).not.toContain("trains")
      expect((yield* call(recall, { query: "horse" }, ada)).output).toContain("Prefers trains.")
      const [, id = ""] = /\[(\w+)\] Has two/.exec(all.output) ?? []
      expect(yield* call(forget, { id }, bob)).toMatchObject({ isError: true })
      expect(yield* call(forget, { id: "" }, ada)).toMatchObject({ isError: true })
      expect(yield* call(forget, { id: `[${id}]` }, ada)).toEqual({ output: "Forgotten.", isError: false })
      expect((yield* call(recall, {}, ada)).output).not.toContain("cats")
      expect((yield* call(recall, {}, bob)).output).toContain("Is Bob.")
    }).pipe(Effect.provide(parts)),
  )

  effectTest(
    "keeps a fact once, and 200 at most",
    Effect.gen(function* () {
      const [remember] = yield* makeMemoryTools
      const memories = yield* Memories
      const user = yield* addUser
      const key = crypto.randomUUID()
      for (const text of ["One.", "One.", "Other words of the same call."]) {
        yield* call(remember, { text }, user, key)
      }
      yield* call(remember, { text: "One." }, user)
      expect((yield* memories.list(user)).map(({ text }) => text)).toEqual(["One."])
      const answers = yield* Effect.forEach(
        Array.from({ length: 205 }, (_, at) => at),
        (at) => call(remember, { text: `Fact ${at}.` }, user),
        { concurrency: 8 },
      )
      expect(answers.filter(({ isError }) => isError)).toHaveLength(6)
      expect(yield* memories.list(user)).toHaveLength(200)
    }).pipe(Effect.provide(parts)),
  )
})

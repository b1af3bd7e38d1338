/** What a server refused is kept for 30 days, across restarts, per server, model and value. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import { ConfigProvider, Effect, Layer, Logger, Option, Redacted, TestClock } from "effect"
import { Settings } from "../../src/config.ts"
import * as Postgres from "../../src/db/postgres.ts"
import { describeLessons, Lessons } from "../../src/providers/lessons.ts"
import { makeOpenThinkers } from "../../src/providers/open-thinkers.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { until } from "../support/turns.ts"

const subject = { stage: "llm", baseUrl: "https://ai.example/v1", model: "m" } as const
const noTemperature = { parameter: "temperature", value: 0.7, instead: Option.none() }

describe("in memory", () => {
  effectTest(
    "a lesson holds for its server, model and value",
    Effect.gen(function* () {
      const { of } = yield* Lessons
      of(subject).learn(noTemperature)
      expect(of(subject).refuses("temperature", 0.7)).toBe(true)
      expect(of(subject).refuses("temperature", 1)).toBe(false)
      expect(of(subject).refuses("top_p", 0.7)).toBe(false)
      for (const other of [{ model: "n" }, { stage: "stt" }, { baseUrl: "https://ai.example/v2" }] as const) {
        expect(of({ ...subject, ...other }).refuses("temperature", 0.7)).toBe(false)
      }
      const same = "https://user:hush@ai.example/v1/?key=hush"
      expect(of({ ...subject, baseUrl: same }).refuses("temperature", 0.7)).toBe(true)
    }).pipe(Effect.provide(Lessons.layerMemory)),
  )

  effectTest(
    "a lesson ends after 30 days",
    Effect.gen(function* () {
      const { of } = yield* Lessons
      of(subject).learn(noTemperature)
      yield* TestClock.adjust("29 days")
      expect(of(subject).refuses("temperature", 0.7)).toBe(true)
      yield* TestClock.adjust("1 day")
      expect(of(subject).refuses("temperature", 0.7)).toBe(false)
    }).pipe(Effect.provide(Lessons.layerMemory)),
  )
})

describe("in the database", () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await makeDatabase()
  })
  afterAll(() => database.drop())
  beforeEach(async () => {
    await database.sql`delete from provider_lessons`
  })
  const rows = async (): Promise<ReadonlyArray<unknown>> => [
    ...(await database.sql`select stage, server, model, parameter, value, instead from provider_lessons`),
  ]

  /** The part of a service's life that uses the lessons. Gives what was logged. */
  const live = async (use: (lessons: Lessons["Type"], events: ReadonlyArray<string>) => Promise<void>) => {
    const events: Array<string> = []
    const layer = Lessons.layer.pipe(
      Layer.provide(Postgres.layer),
      Layer.provide(Settings.layer),
      Layer.provide(BunContext.layer),
      Layer.provide(
        Layer.setConfigProvider(ConfigProvider.fromMap(new Map([["DATABASE_URL", database.url]]))),
      ),
      Layer.provide(
        Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ annotations, message }) => {
            const event = `${message}`
            if (event.startsWith("provider."))
              events.push(`${event} ${JSON.stringify(Object.fromEntries([...annotations].toSorted()))}`)
          }),
        ),
      ),
    )
    await Effect.runPromise(
      Effect.flatMap(Lessons, (lessons) => Effect.promise(() => use(lessons, events))).pipe(
        Effect.provide(layer),
        Effect.scoped,
      ),
    )
    return events
  }

  test("a restarted service knows what it learned, and logs it once", async () => {
    const events = await live(async ({ of }) => {
      of(subject).learn({
        parameter: "max_tokens",
        value: 500,
        instead: Option.some("max_completion_tokens"),
      })
      of(subject).learn({
        parameter: "max_tokens",
        value: 500,
        instead: Option.some("max_completion_tokens"),
      })
      await until(async () => (await rows()).length === 1, "a row")
    })
    const fields = {
      instead: "max_completion_tokens",
      model: "m",
      parameter: "max_tokens",
      stage: "llm",
      value: "500",
    }
    expect(events).toEqual([`provider.lesson_learned ${JSON.stringify(fields)}`])
    expect(await rows()).toEqual([{ ...fields, server: "https://ai.example/v1" }])
    await live(async ({ of }) => {
      expect(of(subject).refuses("max_tokens", 500)).toBe(true)
      expect(of(subject).refuses("temperature", 0.7)).toBe(false)
    })
  })

  test("a model that opens its thinking is known after a restart, from the first reply", async () => {
    const thinkersOf = ({ of }: Lessons["Type"]) => makeOpenThinkers((model) => of({ ...subject, model }))
    await live(async (lessons) => {
      const thinkers = thinkersOf(lessons)
      expect(thinkers.has("m")).toBe(false)
      thinkers.note("m", true)
      thinkers.note("m", false)
      await until(async () => (await rows()).length === 1, "a row")
    })
    await live(async (lessons) => {
      const thinkers = thinkersOf(lessons)
      expect(thinkers.has("m")).toBe(true)
      expect(thinkers.has("n")).toBe(false)
      // Thinking in between keeps the lesson; twenty replies in a row without it end it.
      for (let i = 0; i < 19; i++) thinkers.note("m", false)
      thinkers.note("m", true)
      for (let i = 0; i < 19; i++) thinkers.note("m", false)
      expect(thinkers.has("m")).toBe(true)
      thinkers.note("m", false)
      expect(thinkers.has("m")).toBe(false)
      await until(async () => (await rows()).length === 0, "no row")
    })
  })

  const secrets = ["sk-very-secret", { nested: ["sk-very-secret"] }, 4711, null, "sk-very-secret".repeat(50)]
  test.each(secrets.map((value) => ({ value })))(
    "a redacted value is kept as a hash: %j",
    async ({ value }) => {
      const secret = () => Redacted.make(value)
      const events = await live(async ({ of }) => {
        of(subject).learn({ parameter: "api_key", value: secret(), instead: Option.none() })
        of(subject).learn({ parameter: "other", value: secret(), instead: Option.none() })
        of(subject).forget("other", secret())
        await until(async () => JSON.stringify(await rows()).includes("api_key"), "a row")
      })
      const kept = JSON.stringify([events, await rows()])
      expect(kept).not.toContain("very-secret")
      expect(kept).not.toContain("4711")
      expect(events[0]).toBe('provider.lesson_learned {"model":"m","parameter":"api_key","stage":"llm"}')
      await live(async ({ of }) => {
        expect(of(subject).refuses("api_key", secret())).toBe(true)
        expect(of(subject).refuses("api_key", Redacted.make("another"))).toBe(false)
      })
      const row = { stage: "llm", server: "https://ai.example/v1", model: "m", parameter: "api_key" } as const
      const [stored] = await database.sql`select value from provider_lessons where parameter = 'api_key'`
      expect(describeLessons([{ ...row, value: stored.value, instead: null, ageMs: 0 }], subject)).toBe(
        "no api_key",
      )
    },
  )

  test("a forgotten lesson is forgotten for good, and logged once", async () => {
    const events = await live(async ({ of }) => {
      of(subject).learn(noTemperature)
      of(subject).forget("temperature", 0.7)
      of(subject).forget("temperature", 0.7)
      expect(of(subject).refuses("temperature", 0.7)).toBe(false)
      of(subject).learn({ ...noTemperature, parameter: "top_p" })
      const isLast = async () => {
        const all = await rows()
        return all.length === 1 && JSON.stringify(all).includes("top_p")
      }
      await until(isLast, "the last row alone")
    })
    expect(events.map((event) => event.split(" ")[0])).toEqual([
      "provider.lesson_learned",
      "provider.lesson_forgotten",
      "provider.lesson_learned",
    ])
  })

  test("an old lesson is deleted at the start, and its age counts", async () => {
    const insert = (parameter: string, days: number) =>
      database.sql`insert into provider_lessons values
        ('llm', 'https://ai.example/v1', 'm', ${parameter}, '1', null, now() - make_interval(days => ${days}))`
    await insert("old", 31)
    await insert("young", 29)
    await live(async ({ of }) => {
      expect(of(subject).refuses("old", 1)).toBe(false)
      expect(of(subject).refuses("young", 1)).toBe(true)
    })
    expect(await rows()).toMatchObject([{ parameter: "young" }])
  })

  test("a database without the table costs a warning", async () => {
    await database.sql`alter table provider_lessons rename to away`
    const events = await live(async ({ of }, events) => {
      of(subject).learn(noTemperature)
      of(subject).learn({ ...noTemperature, parameter: "top_p" })
      expect(of(subject).refuses("temperature", 0.7)).toBe(true)
      await until(() => events.length === 5, "five events")
    }).finally(() => database.sql`alter table away rename to provider_lessons`)
    expect(events.map((event) => event.split(" ")[0])).toEqual([
      "provider.lessons_unavailable",
      "provider.lesson_learned",
      "provider.lessons_unavailable",
      "provider.lesson_learned",
      "provider.lessons_unavailable",
    ])
  })
})

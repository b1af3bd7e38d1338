import { expect, test } from "bun:test"
import {
  ConfigProvider,
  Context,
  Effect,
  Exit,
  Fiber,
  FastCheck as fc,
  Layer,
  Scope,
  TestClock,
  TestContext,
} from "effect"
import { Settings } from "../../src/config.ts"
import { Admission } from "../../src/limits/admission.ts"
import { effectTest } from "../support/effect.ts"

const SEED = 22

const admission = (env: Record<string, string>) =>
  Layer.build(Layer.provide(Admission.layer, Settings.layer)).pipe(
    Effect.map(Context.get(Admission)),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
    Effect.orDie,
  )

/** A turn that takes so many ms once it is admitted; answers when it began. */
const turn = (to: Admission["Type"], user: string, ms: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* to.enter(user)
      const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* Effect.sleep(ms)
      return began
    }),
  )

const idle = { inHand: 0, waiting: 0, users: 0 }

effectTest(
  "a turn waits for the end of another, and is refused when that takes too long",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1", TURN_QUEUE_SECONDS: "2" })
    const [first, second, third] = yield* Effect.forEach([1500, 5000, 100], (ms, i) =>
      Effect.zipLeft(Effect.fork(Effect.either(turn(to, `${i}`, ms))), Effect.yieldNow()),
    )
    yield* TestClock.adjust("1999 millis")
    expect(yield* to.size).toEqual({ inHand: 1, waiting: 1, users: 2 })
    yield* TestClock.adjust("1 millis")
    expect(yield* Fiber.join(third ?? Fiber.never)).toMatchObject({
      left: { _tag: "Overloaded", retryAfter: 2 },
    })
    yield* TestClock.adjust("10 seconds")
    expect(yield* Fiber.join(first ?? Fiber.never)).toMatchObject({ right: 0 })
    expect(yield* Fiber.join(second ?? Fiber.never)).toMatchObject({ right: 1500 })
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "a user's own bound is said to be its own, and without a queue at once",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "5", MAX_TURNS_PER_USER: "1", TURN_QUEUE_SECONDS: "0" })
    yield* Effect.fork(turn(to, "a", 1000))
    yield* Effect.yieldNow()
    expect(yield* Effect.flip(turn(to, "a", 1))).toMatchObject({
      _tag: "TooManyTurns",
      most: 1,
      retryAfter: 1,
    })
    yield* Effect.fork(turn(to, "b", 1000))
    yield* TestClock.adjust("1 seconds")
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "0 turns both bounds off",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "0", MAX_TURNS_PER_USER: "0" })
    const all = yield* Effect.fork(
      Effect.forEach(Array(50).keys(), () => turn(to, "a", 10), { concurrency: "unbounded" }),
    )
    yield* TestClock.adjust("10 millis")
    expect(new Set(yield* Fiber.join(all))).toEqual(new Set([0]))
  }),
)

effectTest(
  "a place that is kept outlives the scope it was taken in; one that was given back can't be kept",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1" })
    const answer = yield* Scope.make()
    const goesOn = yield* Scope.make()
    const place = yield* Scope.extend(to.enter("a"), answer)
    yield* Scope.extend(place.keep, goesOn)
    yield* Scope.close(answer, Exit.void)
    expect(yield* to.size).toMatchObject({ inHand: 1 })
    yield* Scope.close(goesOn, Exit.void)
    expect(yield* to.size).toEqual(idle)
    expect(Exit.isInterrupted(yield* Effect.exit(Effect.scoped(place.keep)))).toBe(true)
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "who knocks takes no place, waits as long as who enters, and is told the same",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1", TURN_QUEUE_SECONDS: "2" })
    yield* to.knock("a")
    expect(yield* to.size).toEqual(idle)
    yield* Effect.fork(turn(to, "a", 3000))
    yield* Effect.yieldNow()
    const [vain, left, late] = yield* Effect.forEach([0, 0, 1500], (ms, i) =>
      Effect.zipLeft(Effect.fork(Effect.either(Effect.delay(to.knock(`${i}`), ms))), Effect.yieldNow()),
    )
    yield* TestClock.adjust("1 seconds")
    expect(yield* to.size).toEqual({ inHand: 1, waiting: 2, users: 3 })
    yield* Fiber.interrupt(left ?? Fiber.never)
    expect(yield* to.size).toEqual({ inHand: 1, waiting: 1, users: 2 })
    yield* TestClock.adjust("1 seconds")
    expect(yield* Fiber.join(vain ?? Fiber.never)).toMatchObject({
      left: { _tag: "Overloaded", retryAfter: 2 },
    })
    yield* TestClock.adjust("1 seconds")
    expect(yield* Fiber.join(late ?? Fiber.never)).toMatchObject({ _tag: "Right" })
    expect(yield* to.size).toEqual(idle)
  }),
)

/** In ms: the clock of these tests moves by so much at a time, since each move costs real time. */
const grid = 500
const upTo = (ms: number) => fc.nat(ms / grid).map((steps) => steps * grid)

/** Times in ms. */
const plan = fc.record({
  user: fc.constantFrom("a", "b", "c"),
  arrives: upTo(3000),
  takes: upTo(2500),
  /** After it arrived; mostly never. */
  leaves: fc.oneof(
    { weight: 3, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
    { weight: 1, arbitrary: upTo(3000) },
  ),
})

/** What became of the turns of all draws. */
const met = new Set<string>()

test("whoever comes and leaves when: no bound is passed, each has one outcome within its patience, nothing is left", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 2 }),
      fc.array(plan, { maxLength: 60 }),
      (most, perUser, plans) =>
        Effect.gen(function* () {
          const to = yield* admission({ MAX_TURNS: `${most}`, MAX_TURNS_PER_USER: `${perUser}` })
          const inHand: Array<string> = []
          const outcomes: Array<string> = []
          const run = ({ user, arrives, takes, leaves }: (typeof plans)[number]) =>
            Effect.gen(function* () {
              yield* Effect.sleep(arrives)
              const one = Effect.scoped(
                Effect.gen(function* () {
                  yield* to.enter(user)
                  yield* Effect.acquireRelease(
                    Effect.sync(() => inHand.push(user)),
                    () => Effect.sync(() => inHand.splice(inHand.indexOf(user), 1)),
                  )
                  expect(inHand.length).toBeLessThanOrEqual(most)
                  expect(inHand.filter((each) => each === user).length).toBeLessThanOrEqual(perUser)
                  const now = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
                  expect(now - arrives).toBeLessThanOrEqual(2000)
                  yield* Effect.sleep(takes)
                }),
              )
              const fiber = yield* Effect.fork(one)
              if (Number.isFinite(leaves)) yield* Effect.fork(Effect.delay(Fiber.interrupt(fiber), leaves))
              const exit = yield* Fiber.await(fiber)
              const failed = Exit.isFailure(exit) && !Exit.isInterrupted(exit)
              met.add(
                Exit.isFailure(exit)
                  ? (`${exit.cause}`.match(/Overloaded|TooManyTurns/)?.[0] ?? "left")
                  : "whole",
              )
              outcomes.push(failed ? `${exit.cause}` : exit._tag)
            })
          const all = yield* Effect.fork(Effect.forEach(plans, run, { concurrency: "unbounded" }))
          for (let ms = 0; ms <= 10_000; ms += grid) yield* TestClock.adjust(grid)
          yield* Fiber.join(all)
          expect(outcomes).toHaveLength(plans.length)
          expect(
            outcomes.filter((outcome) => !/^(Success|Failure)$|Overloaded|TooManyTurns/.test(outcome)),
          ).toEqual([])
          expect(inHand).toEqual([])
          expect(yield* to.size).toEqual(idle)
        }).pipe(Effect.scoped, Effect.provide(TestContext.TestContext), Effect.runPromise),
    ),
    { seed: SEED, numRuns: 10 },
  )
  expect([...met].toSorted()).toEqual(["Overloaded", "TooManyTurns", "left", "whole"])
})

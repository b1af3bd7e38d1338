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
import { newId, UserId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const SEED = 22

const admission = (env: Record<string, string>) =>
  Layer.build(Layer.provide(Admission.layer, Settings.layer)).pipe(
    Effect.map(Context.get(Admission)),
    Effect.withConfigProvider(ConfigProvider.fromMap(new Map(Object.entries(env)))),
    Effect.orDie,
  )

const [a, b, c] = [newId(UserId), newId(UserId), newId(UserId)]

/** A turn that takes so many ms once it is admitted; answers when it began. */
const turn = (to: Admission["Type"], user: UserId, ms: number) =>
  Effect.scoped(
    Effect.gen(function* () {
      yield* to.acquire(user)
      const began = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      yield* Effect.sleep(ms)
      return began
    }),
  )

const idle = { taken: 0, waiting: 0, users: 0 }

effectTest(
  "a turn waits for the end of another, and is refused when that takes too long",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1", TURN_QUEUE_SECONDS: "2" })
    const [first, second, third] = yield* Effect.forEach([1500, 5000, 100], (ms) =>
      Effect.zipLeft(Effect.fork(Effect.either(turn(to, newId(UserId), ms))), Effect.yieldNow()),
    )
    yield* TestClock.adjust("1999 millis")
    expect(yield* to.size).toEqual({ taken: 1, waiting: 1, users: 2 })
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
  "a user at its own limit is told so, at once without a queue",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "5", MAX_TURNS_PER_USER: "1", TURN_QUEUE_SECONDS: "0" })
    yield* Effect.fork(turn(to, a, 1000))
    yield* Effect.yieldNow()
    expect(yield* Effect.flip(turn(to, a, 1))).toMatchObject({
      _tag: "TooManyTurns",
      most: 1,
      retryAfter: 1,
    })
    yield* Effect.fork(turn(to, b, 1000))
    yield* TestClock.adjust("1 seconds")
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "0 turns both limits off",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "0", MAX_TURNS_PER_USER: "0" })
    const all = yield* Effect.fork(
      Effect.forEach(Array(50).keys(), () => turn(to, a, 10), { concurrency: "unbounded" }),
    )
    yield* TestClock.adjust("10 millis")
    expect(new Set(yield* Fiber.join(all))).toEqual(new Set([0]))
  }),
)

effectTest(
  "the slot is free when both scopes have closed, in either order",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1" })
    for (const order of ["turn first", "answer first"]) {
      const [turnScope, answerScope] = [yield* Scope.make(), yield* Scope.make()]
      yield* Scope.extend(to.acquire(a, { alsoHeldBy: answerScope }), turnScope)
      const [first, second] = order === "turn first" ? [turnScope, answerScope] : [answerScope, turnScope]
      yield* Scope.close(first, Exit.void)
      expect(yield* to.size).toMatchObject({ taken: 1 })
      yield* Scope.close(second, Exit.void)
      expect(yield* to.size).toEqual(idle)
    }
    const closed = yield* Scope.make()
    yield* Scope.close(closed, Exit.void)
    yield* Effect.scoped(
      Effect.zipRight(
        to.acquire(a, { alsoHeldBy: closed }),
        Effect.map(to.size, (size) => expect(size).toMatchObject({ taken: 1 })),
      ),
    )
    expect(yield* to.size).toEqual(idle)
  }),
)

/** Reads an input that takes so many ms; notes when it begins. */
const reading = (begun: Array<number>, ms: number) =>
  Effect.clockWith((clock) => clock.currentTimeMillis).pipe(
    Effect.map((now) => begun.push(now)),
    Effect.zipRight(Effect.sleep(ms)),
    Effect.as("input"),
  )

effectTest(
  "an input is read when there is capacity, and holds no slot while it is read",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1", TURN_QUEUE_SECONDS: "2" })
    const begun: Array<number> = []
    const admitted = (ms: number) =>
      Effect.scoped(
        Effect.flatMap(to.admit(newId(UserId), reading(begun, ms)), (input) =>
          Effect.map(to.size, ({ taken }) => ({ input, taken })),
        ),
      )
    const slow = yield* Effect.fork(admitted(60_000))
    yield* Effect.yieldNow()
    expect(begun).toEqual([0])
    expect(yield* to.size).toEqual(idle)
    yield* Effect.fork(turn(to, a, 1000))
    const waits = yield* Effect.fork(Effect.delay(admitted(0), 500))
    yield* TestClock.adjust("999 millis")
    expect(begun).toEqual([0])
    yield* TestClock.adjust("1 millis")
    expect(begun).toEqual([0, 1000])
    expect(yield* Fiber.join(waits)).toEqual({ input: "input", taken: 1 })
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(slow)).toEqual({ input: "input", taken: 1 })
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "without capacity an input is refused unread",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1", TURN_QUEUE_SECONDS: "2" })
    yield* Effect.fork(turn(to, a, 3000))
    yield* Effect.yieldNow()
    const begun: Array<number> = []
    const [refused, left, late] = yield* Effect.forEach([0, 0, 1500], (ms) =>
      Effect.zipLeft(
        Effect.fork(
          Effect.either(Effect.scoped(Effect.delay(to.admit(newId(UserId), reading(begun, 0)), ms))),
        ),
        Effect.yieldNow(),
      ),
    )
    yield* TestClock.adjust("1 seconds")
    expect(yield* to.size).toEqual({ taken: 1, waiting: 2, users: 3 })
    yield* Fiber.interrupt(left ?? Fiber.never)
    expect(yield* to.size).toEqual({ taken: 1, waiting: 1, users: 2 })
    yield* TestClock.adjust("1 seconds")
    expect(yield* Fiber.join(refused ?? Fiber.never)).toMatchObject({
      left: { _tag: "Overloaded", retryAfter: 2 },
    })
    expect(begun).toEqual([])
    yield* TestClock.adjust("1 seconds")
    expect(yield* Fiber.join(late ?? Fiber.never)).toMatchObject({ _tag: "Right" })
    expect(begun).toEqual([3000])
    expect(yield* to.size).toEqual(idle)
  }),
)

effectTest(
  "an input that can't be read takes no slot",
  Effect.gen(function* () {
    const to = yield* admission({ MAX_TURNS: "1" })
    const outcome = yield* Effect.flip(Effect.scoped(to.admit(a, Effect.fail("broken" as const))))
    expect<unknown>(outcome).toBe("broken")
    expect(yield* to.size).toEqual(idle)
  }),
)

/** In ms: the clock of these tests moves by so much at a time, since each move costs real time. */
const grid = 500
const upTo = (ms: number) => fc.nat(ms / grid).map((steps) => steps * grid)

/** Times in ms. */
const plan = fc.record({
  user: fc.constantFrom(a, b, c),
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

test("random arrivals and departures: limits hold, each has one outcome in time, nothing is left", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 2 }),
      fc.array(plan, { maxLength: 60 }),
      (most, perUser, plans) =>
        Effect.gen(function* () {
          const to = yield* admission({ MAX_TURNS: `${most}`, MAX_TURNS_PER_USER: `${perUser}` })
          const running: Array<string> = []
          const outcomes: Array<string> = []
          const run = ({ user, arrives, takes, leaves }: (typeof plans)[number]) =>
            Effect.gen(function* () {
              yield* Effect.sleep(arrives)
              const one = Effect.scoped(
                Effect.gen(function* () {
                  yield* to.acquire(user)
                  yield* Effect.acquireRelease(
                    Effect.sync(() => running.push(user)),
                    () => Effect.sync(() => running.splice(running.indexOf(user), 1)),
                  )
                  expect(running.length).toBeLessThanOrEqual(most)
                  expect(running.filter((each) => each === user).length).toBeLessThanOrEqual(perUser)
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
          expect(running).toEqual([])
          expect(yield* to.size).toEqual(idle)
        }).pipe(Effect.scoped, Effect.provide(TestContext.TestContext), Effect.runPromise),
    ),
    { seed: SEED, numRuns: 10 },
  )
  expect([...met].toSorted()).toEqual(["Overloaded", "TooManyTurns", "left", "whole"])
})

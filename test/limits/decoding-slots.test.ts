import { expect } from "bun:test"
import { ConfigProvider, Context, Deferred, Effect, Fiber, Layer, TestClock } from "effect"
import { hostResources } from "../../src/capacity.ts"
import { Settings } from "../../src/config.ts"
import { DecodingSlots } from "../../src/limits/decoding-slots.ts"
import { newId, UserId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const decodingSlots = Layer.build(Layer.provide(DecodingSlots.layer, Settings.layer)).pipe(
  Effect.map(Context.get(DecodingSlots)),
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["TURN_TIMEOUT_SECONDS", "20"]]))),
  Effect.orDie,
)

const { cores } = hostResources()

effectTest(
  "4 decodings per core run at a time, 2 of one user; the others wait up to the turn's time",
  Effect.gen(function* () {
    const { withSlot } = yield* decodingSlots
    const ends = yield* Deferred.make<void>()
    const running = new Map<UserId, number>()
    const users = Array.from({ length: 3 }, () => newId(UserId))
    const decode = (user: UserId) =>
      withSlot(
        user,
        Effect.suspend(() => {
          running.set(user, (running.get(user) ?? 0) + 1)
          return Deferred.await(ends)
        }),
      )
    const fibers = yield* Effect.forEach(users, (user) =>
      Effect.forEach(Array(3 * cores).keys(), () => Effect.fork(Effect.either(decode(user)))),
    )
    yield* TestClock.adjust("19999 millis")
    expect(users.map((user) => running.get(user) ?? 0)).toEqual([2 * cores, 2 * cores, 0])
    const waiting = fibers.flatMap((own, user) => own.slice(user === 2 ? 0 : 2 * cores))
    yield* TestClock.adjust("1 millis")
    for (const fiber of waiting)
      expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "Overloaded", reason: "decoding" } })
    yield* Deferred.succeed(ends, undefined)
    yield* Effect.forEach(fibers.flat(), Fiber.await, { discard: true })
    expect(yield* withSlot(users[0] ?? newId(UserId), Effect.succeed("free"))).toBe("free")
  }),
)

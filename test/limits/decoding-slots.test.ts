import { describe, expect } from "bun:test"
import { ConfigProvider, Context, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { hostResources } from "../../src/capacity.ts"
import { Settings } from "../../src/config.ts"
import { DecodingSlots } from "../../src/limits/decoding-slots.ts"
import { newId, UserId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const decodingSlots = Layer.build(Layer.provide(DecodingSlots.layer, Settings.layer)).pipe(
  Effect.map(Context.get(DecodingSlots)),
  Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["TURN_TIMEOUT_SECONDS", "5"]]))),
  Effect.orDie,
)

const { cores } = hostResources()
const [slowUser, otherUser] = [newId(UserId), newId(UserId)]

/** Slots of which a user holds as many as one user may. */
const heldByOneUser = Effect.gen(function* () {
  const { withSlot } = yield* decodingSlots
  const running = { count: 0 }
  const decoding = Effect.zipRight(
    Effect.sync(() => {
      running.count += 1
    }),
    Effect.never,
  )
  const held = yield* Effect.fork(
    Effect.replicateEffect(withSlot(slowUser, decoding), 8 * cores, { concurrency: "unbounded" }),
  )
  yield* TestClock.adjust(0)
  return { withSlot, running, held }
})

describe("decoding slots", () => {
  effectTest(
    "one user gets half of them at most",
    Effect.gen(function* () {
      const { withSlot, running, held } = yield* heldByOneUser
      expect(running.count).toBe(2 * cores)
      expect(yield* withSlot(otherUser, Effect.succeed("decoded"))).toBe("decoded")
      yield* Fiber.interrupt(held)
      expect(yield* withSlot(slowUser, Effect.succeed("decoded"))).toBe("decoded")
    }),
  )

  effectTest(
    "a decoding waits as long as its turn may last",
    Effect.gen(function* () {
      const { withSlot } = yield* heldByOneUser
      const late = yield* Effect.fork(withSlot(slowUser, Effect.void))
      yield* TestClock.adjust("4999 millis")
      expect(yield* Fiber.poll(late)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 millis")
      const exit = yield* Fiber.await(late)
      expect(Exit.isFailure(exit) && `${exit.cause}`).toContain("Overloaded")
    }),
  )
})

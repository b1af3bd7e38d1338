import { expect } from "bun:test"
import { Effect } from "effect"
import { nextEvents } from "../../src/event-loop.ts"
import { makeInbox } from "../../src/realtime/inbox.ts"
import { effectTest } from "../support/effect.ts"

effectTest(
  "what a message causes comes directly after it, also where the process pauses",
  Effect.gen(function* () {
    const inbox = yield* makeInbox<string>(() => 400_000)
    const handled: Array<string> = []
    for (const message of ["a", "b", "c"]) inbox.addLast(message)
    yield* Effect.forkScoped(
      inbox.run((message) => {
        handled.push(message)
        if (message.length < 3) inbox.add(`${message}${message.at(-1)}`)
        if (message === "a") inbox.addLast("last")
      }),
    )
    yield* Effect.promise(async () => {
      while (!handled.includes("last")) await nextEvents()
    })
    expect(handled).toEqual(["a", "aa", "aaa", "b", "bb", "bbb", "c", "cc", "ccc", "last"])
  }),
)

effectTest(
  "others get their turn between many messages, and between large ones",
  Effect.gen(function* () {
    for (const [count, cost] of [
      [1000, 0],
      [8, 300_000],
    ] as const) {
      const inbox = yield* makeInbox<number>(() => cost)
      let handled = 0
      for (let at = 0; at < count; at++) inbox.addLast(at)
      yield* Effect.forkScoped(inbox.run(() => void handled++))
      const seen: Array<number> = []
      yield* Effect.promise(async () => {
        while (handled < count) {
          await nextEvents()
          seen.push(handled)
        }
      })
      expect(seen.length).toBeGreaterThanOrEqual(4)
      expect(Math.max(...seen.map((at, n) => at - (seen[n - 1] ?? 0)))).toBeLessThanOrEqual(count / 2)
    }
  }),
)

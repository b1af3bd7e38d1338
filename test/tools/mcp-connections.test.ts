import { expect } from "bun:test"
import { Duration, Effect, Exit, Scope, TestClock } from "effect"
import { newId, UserId } from "../../src/schema.ts"
import { makeConnections } from "../../src/tools/mcp/connections.ts"
import { effectTest } from "../support/effect.ts"

const [ada, bob, cem] = [newId(UserId), newId(UserId), newId(UserId)]

/** Three connections, two of a user. */
const make = Effect.gen(function* () {
  const open: Array<string> = []
  const connections = yield* makeConnections<string>({ max: 3, maxPerUser: 2 })
  const opening = (key: string) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        open.push(key)
        return key
      }),
      () =>
        Effect.sync(() => {
          open.splice(open.indexOf(key), 1)
        }),
    )
  const get = (key: string, owner: UserId) => connections.get(key, owner, opening(key))
  /** Uses it for a moment, and lets a second pass. */
  const use = (key: string, owner: UserId) =>
    Effect.zipLeft(Effect.exit(Effect.scoped(get(key, owner))), TestClock.adjust("1 second"))
  /** Uses it until the scope closes. */
  const hold = (key: string, owner: UserId) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      yield* Scope.extend(get(key, owner), scope)
      return { end: Scope.close(scope, Exit.void) }
    })
  return { open, use, hold }
})

const refused = { _tag: "Failure", cause: { error: { kind: "capacity" } } }

effectTest(
  "one is shared, and closed when nobody has used it for ten minutes",
  Effect.gen(function* () {
    const { open, use, hold } = yield* make
    const { end } = yield* hold("a", ada)
    yield* use("a", ada)
    yield* TestClock.adjust("1 hour")
    expect(open).toEqual(["a"])
    yield* end
    yield* TestClock.adjust("9 minutes")
    expect(open).toEqual(["a"])
    yield* TestClock.adjust("2 minutes")
    expect(open).toEqual([])
  }).pipe(Effect.scoped),
)

effectTest(
  "a user's own idle ones make room",
  Effect.gen(function* () {
    const { open, use } = yield* make
    for (const key of ["bob's", "a", "b", "a", "c"]) yield* use(key, key === "bob's" ? bob : ada)
    expect(open).toEqual(["bob's", "a", "c"])
  }).pipe(Effect.scoped),
)

effectTest(
  "one user cannot have them all",
  Effect.gen(function* () {
    const { open, use, hold } = yield* make
    const { end } = yield* hold("a", ada)
    yield* hold("b", ada)
    expect(yield* use("c", ada)).toMatchObject(refused)
    expect(yield* use("a", ada)).toMatchObject({ _tag: "Success" })
    expect(yield* use("d", bob)).toMatchObject({ _tag: "Success" })
    yield* end
    yield* TestClock.adjust(Duration.seconds(1))
    expect(yield* use("c", ada)).toMatchObject({ _tag: "Success" })
    expect(open).toEqual(["b", "d", "c"])
  }).pipe(Effect.scoped),
)

effectTest(
  "two users never share one",
  Effect.gen(function* () {
    const { open, use } = yield* make
    yield* use("a", ada)
    yield* use("a", bob)
    yield* use("a", ada)
    expect(open).toEqual(["a", "a"])
  }).pipe(Effect.scoped),
)

effectTest(
  "the longest idle one of all makes room",
  Effect.gen(function* () {
    const { open, use, hold } = yield* make
    yield* hold("a", ada)
    yield* use("b", bob)
    yield* use("c", bob)
    yield* use("d", cem)
    expect(open).toEqual(["a", "c", "d"])
    yield* hold("c", bob)
    yield* hold("d", cem)
    expect(yield* use("e", cem)).toMatchObject(refused)
  }).pipe(Effect.scoped),
)

import { afterAll, beforeAll, expect, test } from "bun:test"
import { Context, Effect, Fiber, Layer, Option, type Scope, TestClock } from "effect"
import { History } from "../../src/conversation/history.ts"
import { type NewItem, newItem } from "../../src/conversation/item.ts"
import { KeyedTurns } from "../../src/conversation/keyed-turns.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import { RunningTurns } from "../../src/conversation/running-turns.ts"
import { appendingTurn, SessionItems } from "../../src/conversation/session-items.ts"
import { ItemId, newId, noUsage, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { textOf } from "../support/fake-turns.ts"
import { fastClock } from "../support/fast-clock.ts"
import { storedParts } from "../support/stored-parts.ts"
import { startTcpProxy } from "../support/tcp-proxy.ts"

/** On the real clock: another process notices the end of a turn by asking the database. */
const liveTest = <A, E>(name: string, effect: Effect.Effect<A, E, Scope.Scope>) =>
  test(name, () => Effect.runPromise(Effect.asVoid(Effect.scoped(effect))))

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

/** The parts of one process of the service, on the test's database. */
const startProcess = Effect.fnUntraced(function* (url = database.url) {
  const layer = storedParts(
    SessionItems.layer.pipe(
      Layer.provideMerge(RunningTurns.layer),
      Layer.provideMerge(Layer.mergeAll(Ledger.layer, KeyedTurns.layer, History.layer)),
    ),
    () => ({ url }),
  )
  const context = yield* Layer.build(layer)
  return {
    items: Context.get(context, SessionItems),
    ledger: Context.get(context, Ledger),
    running: Context.get(context, RunningTurns),
    history: Context.get(context, History),
  }
})
type Process = Effect.Effect.Success<ReturnType<typeof startProcess>>

const addUser = Effect.promise(async () => {
  const [{ id }] = await database.sql`
    insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
  return UserId.make(id)
})

const user = (text: string, clientId: string | null = null) =>
  newItem({ type: "message", role: "user", text }, { clientId })
const end = { usage: {}, place: "end" as const }
/** Between the two lists of a client, of which some items may not be stored. */
const between = (earlier: ReadonlyArray<NewItem>, later: ReadonlyArray<NewItem>) => ({
  usage: {},
  place: () => ({ earlier: earlier.map(({ id }) => id), later: later.map(({ id }) => id) }),
})

/** A new session of a new user, and what is done to it through one process. */
const newSession = Effect.fnUntraced(function* (process: Process) {
  const userId = yield* addUser
  const session = { id: newId(SessionId), isNew: true }
  const texts = Effect.map(process.items.newest(session.id, 1000), (items) => items.map(textOf).join(" "))
  return { userId, session, texts, append: process.items.append.bind(null, userId, session) }
})

/** A turn that runs in the session, and `complete`, which saves it with these items. */
const runTurn = Effect.fnUntraced(function* (
  { running, ledger }: Process,
  userId: UserId,
  session: { readonly id: SessionId; readonly isNew: boolean },
  isAside = false,
) {
  const turn = { id: newId(TurnId), userId, session, idempotency: Option.none(), isAside }
  yield* Effect.asVoid(running.register(turn.id))
  const ticket = yield* running.enter(turn)
  yield* ticket.issued
  const complete = (...items: ReadonlyArray<NewItem>) =>
    Effect.zipRight(
      ledger.save({
        ...turn,
        items,
        state: "completed",
        transcript: "",
        response: "",
        speech: Option.none(),
        speechFormat: "none",
        timings: {},
        usage: noUsage,
      }),
      ticket.leave,
    )
  return { complete, ready: ticket.ready }
})

const rowsOf = (userId: UserId) =>
  Effect.promise(async () => [
    ...(await database.sql`select state, usage, lease_until, is_aside from turns where user_id = ${userId}`),
  ])

liveTest(
  "the history for a prompt goes back to the user's newest message",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const { session, append } = yield* newSession(process)
    const forPrompt = (limit: number) =>
      Effect.map(process.history.forPrompt(session.id, limit), (items) => items.map(({ id }) => id))
    const round = (callId: string) => [
      newItem({ type: "tool_call", callId, name: "look", arguments: "{}" }),
      newItem({ type: "tool_result", callId, output: "seen" }),
    ]
    const silent = [newItem({ type: "message", role: "system", text: "Be brief." }), ...round("0")] as const
    yield* append(silent, end)
    expect(yield* forPrompt(2)).toEqual(silent.slice(1).map(({ id }) => id))
    const rounds = Array.from({ length: 10 }, (_, at) => round(`${at + 1}`)).flat()
    const question = user("Where is it?")
    yield* append([question, ...rounds], end)
    const asked = [question, ...rounds].map(({ id }) => id)
    for (const limit of [0, 1, 19, 20, 21]) expect(yield* forPrompt(limit)).toEqual(asked)
    expect(yield* forPrompt(22)).toEqual([...silent.slice(2).map(({ id }) => id), ...asked])
    const last = user("And now?")
    yield* append([last], end)
    expect(yield* forPrompt(1)).toEqual([last.id])
    expect(yield* forPrompt(2)).toEqual([...asked.slice(-1), last.id])
  }),
)

liveTest(
  "append adds items with their client's ids, the session and one completed turn",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const { userId, session, append } = yield* newSession(process)
    const call = newItem({ type: "tool_call", callId: "call_1", name: "weather", arguments: "{}" })
    const result = newItem({ type: "tool_result", callId: "call_1", output: "rain" })
    const system = newItem({ type: "message", role: "system", text: "Be brief." })
    const first = user("Hi", "item_!~")
    yield* append([first, call, result, system], { usage: { audioSeconds: 1.5 }, place: "end" })
    expect(yield* process.items.newest(session.id, 10)).toMatchObject([first, call, result, system])
    expect(yield* process.items.newest(session.id, 2)).toMatchObject([result, system])
    expect(yield* rowsOf(userId)).toEqual([
      { state: "completed", usage: { ...noUsage, audioSeconds: 1.5 }, lease_until: null, is_aside: false },
    ])
  }),
)

liveTest(
  "append after an item, at the start, and after the last one",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const other = yield* newSession(process)
    const { append, texts } = yield* newSession(process)
    const [one, two, three] = [user("1"), user("2"), user("3")]
    yield* append([one, two], end)
    const x = user("x")
    yield* other.append([x], end)
    yield* append([three], end)
    yield* append([user("1a"), user("1b")], between([one], [two, three]))
    expect(yield* texts).toBe("1 1a 1b 2 3")
    yield* append([user("0a"), user("0b")], between([user("unstored")], [user("unstored"), one]))
    yield* append([user("00")], between([], [one]))
    expect(yield* texts).toBe("00 0a 0b 1 1a 1b 2 3")
    yield* append([user("3a")], between([three], [user("unstored")]))
    yield* append([user("4")], end)
    yield* append([user("2a")], between([one, two, user("unstored")], [three]))
    expect(yield* texts).toBe("00 0a 0b 1 1a 1b 2 2a 3 3a 4")
    yield* other.append([user("w")], between([], [x]))
    yield* other.append([user("y")], end)
    expect(yield* other.texts).toBe("w x y")
  }),
)

liveTest(
  "append keeps any order that its caller gives, beside other sessions",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const sessions = [yield* newSession(process), yield* newSession(process)] as const
    const expected: [Array<NewItem>, Array<NewItem>] = [[], []]
    const at = (step: number, size: number) => (step * 7919 + 13) % size
    for (let step = 0; step < 80; step++) {
      const which = at(step, 5) < 2 ? 0 : 1
      const items = [user(`${step}a`), ...(step % 3 === 0 ? [user(`${step}b`)] : [])] as const
      const place = at(step, expected[which].length + 2)
      const earlier = expected[which].slice(0, place)
      yield* sessions[which].append(items, between(earlier, expected[which].slice(place)))
      expected[which].splice(place, 0, ...items)
      if (step % 9 === 8) {
        const [gone] = expected[which].splice(at(step, expected[which].length), 1)
        const { userId, session } = sessions[which]
        if (gone !== undefined) yield* process.items.remove(userId, session.id, gone.id)
      }
    }
    for (const which of [0, 1] as const) {
      expect(yield* sessions[which].texts).toBe(expected[which].map(textOf).join(" "))
    }
  }),
)

liveTest(
  "append waits for the turns that another process began before",
  Effect.gen(function* () {
    const [one, two] = [yield* startProcess(), yield* startProcess()]
    const { userId, session, append, texts } = yield* newSession(one)
    const first = yield* runTurn(two, userId, session)
    const appending = yield* Effect.fork(append([user("2")], end))
    yield* Effect.iterate(0, {
      while: (count) => count < 2,
      body: () => Effect.map(rowsOf(userId), ({ length }) => length),
    })
    const last = yield* runTurn(two, userId, session)
    const answering = yield* Effect.fork(Effect.zipRight(last.ready, last.complete(user("3"))))
    yield* first.complete(user("1"))
    yield* Effect.all([Fiber.join(appending), Fiber.join(answering)])
    expect(yield* texts).toBe("1 2 3")
  }),
)

liveTest(
  "an aside waits for no turn, and no turn waits for it",
  Effect.gen(function* () {
    const [one, two] = [yield* startProcess(), yield* startProcess()]
    const { userId, session, append, texts } = yield* newSession(one)
    const aside = yield* runTurn(two, userId, session, true)
    yield* aside.ready
    yield* append([user("1")], end)
    const turn = yield* runTurn(one, userId, session)
    yield* turn.ready
    const other = yield* runTurn(two, userId, session, true)
    yield* other.ready
    yield* Effect.all([other.complete(), turn.complete(user("2")), aside.complete()])
    expect(yield* texts).toBe("1 2")
    expect((yield* rowsOf(userId)).map((row) => [row.state, row.is_aside])).toEqual([
      ["completed", true],
      ["completed", false],
      ["completed", false],
      ["completed", true],
    ])
  }),
)

effectTest(
  "append keeps its place for as long as the turn ahead runs",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const { userId, session, append, texts } = yield* newSession(process)
    const first = yield* runTurn(process, userId, session)
    const appending = yield* Effect.fork(append([user("2")], end))
    yield* Effect.iterate(0, {
      while: (count) => count < 2,
      body: () => Effect.map(rowsOf(userId), ({ length }) => length),
    })
    // A turn would end as busy after 30 s.
    for (let n = 0; n < 4; n++) yield* TestClock.adjust("9 seconds")
    yield* first.complete(user("1"))
    yield* Fiber.join(appending)
    expect(yield* texts).toBe("1 2")
  }),
)

liveTest(
  "append among items of another session goes to the end; in a deleted session it leaves nothing",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const [mine, other] = [yield* newSession(process), yield* newSession(process)]
    const foreign = user("theirs")
    yield* other.append([foreign], end)
    yield* mine.append([user("1")], end)
    yield* mine.append([user("2")], between([foreign], [foreign]))
    expect(yield* mine.texts).toBe("1 2")
    yield* Effect.promise(() => database.sql`delete from sessions where id = ${mine.session.id}`)
    const session = { ...mine.session, isNew: false }
    const gone = yield* Effect.flip(process.items.append(mine.userId, session, [user("3")], end))
    expect(gone._tag).toBe("SessionNotFound")
    expect(yield* rowsOf(mine.userId)).toEqual([])
  }),
)

liveTest(
  "append saves its items once, whichever answers of the database are lost",
  Effect.gen(function* () {
    const proxy = yield* Effect.acquireRelease(
      Effect.promise(() => startTcpProxy(database.url)),
      ({ stop }) => Effect.promise(stop),
    )
    const process = yield* startProcess(proxy.url)
    for (const [statement, when] of [
      [/^COMMIT/, "after"],
      [/^COMMIT/, "before"],
      [/^insert into "?items/, "after"],
      [/^with ended as \(update turns set/, "before"],
    ] as const) {
      for (const times of [1, 2, 3, 4, 5]) {
        const { userId, append, texts } = yield* newSession(process)
        const items = [user("1"), user("2")] as const
        proxy.breakOn(statement, when, times)
        yield* Effect.retry(append(items, { usage: { audioSeconds: 2 }, place: "end" }), {
          while: ({ _tag }) => _tag === "DatabaseUnavailable",
          times: 9,
        })
        expect(yield* texts).toBe("1 2")
        expect(yield* rowsOf(userId)).toMatchObject([{ state: "completed", usage: { audioSeconds: 2 } }])
        expect(proxy.statements().filter((sent) => statement.test(sent)).length).toBeGreaterThan(1)
        proxy.forget()
      }
    }
  }).pipe(Effect.withClock(fastClock(20))),
)

liveTest(
  "giveUp counts what items cost once, saved or not",
  Effect.gen(function* () {
    const process = yield* startProcess()
    const usage = { audioSeconds: 2, inputTokens: 0, outputTokens: 0, charactersSpoken: 0 }
    const consumed = { usage, bill: { models: [], nanos: 7, currency: "USD" } }
    const sums = (userId: UserId) =>
      Effect.promise(async () => [
        ...(await database.sql`select turns::int as turns, audio_seconds as seconds, cost_nanos::int as nanos
          from usage_days where user_id = ${userId}`),
      ])
    const once = [{ turns: 0, seconds: 2, nanos: 7 }]
    for (const before of ["saved", "running", "unknown"] as const) {
      const { userId, session, append } = yield* newSession(process)
      const item = user("1")
      if (before === "saved") yield* append([item], { ...consumed, place: "end" })
      if (before === "running") {
        const turn = { id: appendingTurn(item), userId, session, idempotency: Option.none(), isAside: false }
        yield* process.ledger.open({ ...turn, hasReply: false })
      }
      yield* process.items.giveUp(item, { userId }, consumed)
      expect([before, yield* sums(userId)]).toEqual([before, once])
    }
  }),
)

liveTest(
  "remove takes an item out of its user's conversation, after the turns ahead",
  Effect.gen(function* () {
    const [one, two] = [yield* startProcess(), yield* startProcess()]
    const { userId, session, append, texts } = yield* newSession(one)
    const stranger = yield* addUser
    const [first, second, third] = [user("1"), user("2"), user("3")]
    yield* append([first, second], end)
    const turn = yield* runTurn(two, userId, session)
    const removing = yield* Effect.fork(one.items.remove(userId, session.id, third.id))
    yield* Effect.iterate(0, {
      while: (count) => count < 3,
      body: () => Effect.map(rowsOf(userId), ({ length }) => length),
    })
    yield* turn.complete(third)
    yield* Fiber.join(removing)
    expect(yield* texts).toBe("1 2")
    yield* one.items.remove(userId, session.id, first.id)
    expect(yield* texts).toBe("2")
    for (const [asker, id] of [
      [userId, first.id],
      [userId, newId(ItemId)],
      [stranger, second.id],
    ] as const) {
      expect((yield* Effect.flip(one.items.remove(asker, session.id, id)))._tag).toBe("ItemNotFound")
    }
    expect(yield* texts).toBe("2")
    // A removal has no row of its own.
    expect(yield* rowsOf(userId)).toHaveLength(2)
    expect(yield* rowsOf(stranger)).toEqual([])
  }),
)

liveTest(
  "append that is interrupted while it waits does not hold up the session",
  Effect.gen(function* () {
    const [one, two] = [yield* startProcess(), yield* startProcess()]
    const { userId, session, append, texts } = yield* newSession(one)
    const first = yield* runTurn(two, userId, session)
    const appending = yield* Effect.fork(append([user("2")], end))
    yield* Effect.iterate(0, {
      while: (count) => count < 2,
      body: () => Effect.map(rowsOf(userId), ({ length }) => length),
    })
    yield* Fiber.interrupt(appending)
    yield* first.complete(user("1"))
    const last = yield* runTurn(two, userId, session)
    yield* last.ready
    yield* last.complete(user("3"))
    expect(yield* texts).toBe("1 3")
  }),
)

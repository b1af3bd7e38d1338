import { afterAll, beforeAll, expect } from "bun:test"
import { Context, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { History } from "../../src/conversation/history.ts"
import { type NewItem, newItem } from "../../src/conversation/item.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { ItemPlace } from "../../src/conversation/ledger-items.ts"
import { Summaries } from "../../src/conversation/summaries.ts"
import { ToolCalls } from "../../src/conversation/tool-calls.ts"
import { ItemId, newId, noUsage, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { textOf } from "../support/fake-turns.ts"
import { storedParts } from "../support/stored-parts.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
let one: Process
const scope = Effect.runSync(Scope.make())
beforeAll(async () => {
  database = await makeDatabase()
  one = await Effect.runPromise(Scope.extend(startProcess, scope))
})
afterAll(async () => {
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await database.drop()
})

/** The parts of one process of the service, on the test's database. */
const startProcess = Effect.gen(function* () {
  const layer = storedParts(
    Layer.mergeAll(Ledger.layer, History.layer, Summaries.layer, ToolCalls.layer),
    () => database,
  )
  const context = yield* Layer.build(layer)
  return {
    ledger: Context.get(context, Ledger),
    history: Context.get(context, History),
    summaries: Context.get(context, Summaries),
    toolCalls: Context.get(context, ToolCalls),
  }
})

type Process = Effect.Effect.Success<typeof startProcess>

const usage = { inputTokens: 7, outputTokens: 2 }
const user = (text: string) => newItem({ type: "message", role: "user", text })
const assistant = (text: string) => newItem({ type: "message", role: "assistant", text }, { heardMs: 500 })

/** A session of a new user, with a turn for each letter: the user says `a`, the assistant `A`. */
const newSession = Effect.fnUntraced(function* (letters: string) {
  const { ledger, history, summaries, toolCalls } = one
  const userId = UserId.make(
    yield* Effect.promise(async () => {
      const [{ id }] = await database.sql`
        insert into users (email) values (gen_random_uuid() || '@example.com') returning id`
      return id
    }),
  )
  const session = { id: newId(SessionId), isNew: true }
  const known = new Map<string, ItemId>()
  const idOf = (text: string) => known.get(text) ?? newId(ItemId)
  const turn = () => ({ id: newId(TurnId), userId, session, isAside: false })
  const save = (id: TurnId, items: ReadonlyArray<NewItem>, place: ItemPlace = "end") => {
    for (const item of items) known.set(textOf(item), item.id)
    return ledger.saveAt(place, {
      id,
      userId,
      session,
      items,
      state: "interrupted",
      transcript: "",
      response: "",
      speech: Option.none(),
      speechFormat: "none",
      timings: {},
      usage: noUsage,
    })
  }
  const add = (items: ReadonlyArray<NewItem>, place?: ItemPlace) => {
    const opened = { ...turn(), idempotency: Option.none() }
    return Effect.zipRight(ledger.open(opened), save(opened.id, items, place))
  }
  /** Between two texts; null is the start. */
  const insert = (before: string | null, text: string, after: string) =>
    add([user(text)], () => ({ earlier: before === null ? [] : [idOf(before)], later: [idOf(after)] }))
  const say = (letter: string) => add([user(letter), assistant(letter.toUpperCase())])
  /** A turn that called a tool, and is replaced by one with the same key once `replace` runs. */
  const sayInTwoTries = Effect.fnUntraced(function* (letter: string) {
    const key = Option.some({ key: crypto.randomUUID(), contentHash: "0".repeat(64) })
    const first = { ...turn(), idempotency: key }
    yield* ledger.open(first)
    const messageId = newId(ItemId)
    const transcript = Option.some(letter)
    const call = { itemId: newId(ItemId), callId: "1", name: "look", arguments: "{}", by: "service" as const }
    const calls = [{ ...call, result: Option.none() }]
    const begun = { turnId: first.id, round: 0, transcript, messageId, text: "", brought: [], calls }
    yield* toolCalls.begin(begun)
    yield* save(first.id, [user(letter), assistant(letter.toUpperCase())])
    const second = { ...turn(), idempotency: key }
    const replace = Effect.zipRight(
      ledger.continueTurn(first.id, second),
      save(second.id, [user(letter), assistant("new")]),
    )
    return { replace }
  })
  for (const letter of letters) yield* say(letter)

  /** Begins a summary of all items up to this one. */
  const begin = (upTo: string, by = summaries) =>
    by.begin(session.id, 100, (found) => {
      const items = found.filter(({ payload }) => payload.type !== "summary")
      const at = items.findIndex((item) => textOf(item) === upTo)
      return at < 0 ? Option.none() : Option.some({ covers: at + 1 })
    })
  const summarize = Effect.fnUntraced(function* (upTo: string, text: string) {
    const { lease } = Option.getOrThrow(yield* begin(upTo))
    return yield* summaries.save(lease, text, usage)
  })
  const prompt = (limit = 100) =>
    Effect.map(history.forPrompt(session.id, limit), (items) => items.map(textOf).join(" "))
  return {
    ...{ userId, session, ledger, history, summaries },
    ...{ idOf, say, add, insert, sayInTwoTries, begin, summarize, prompt },
  }
})
type Session = Effect.Effect.Success<ReturnType<typeof newSession>>

const remove = ({ ledger, userId, session, idOf }: Session, text: string) =>
  ledger.removeItem(userId, session.id, idOf(text))
const truncate = ({ ledger, userId, idOf }: Session, text: string, heard: string) =>
  ledger.truncate(userId, idOf(text), { text: heard, ms: 100, interrupted: heard !== text })

effectTest(
  "a summary takes the place of the items up to one of them",
  Effect.gen(function* () {
    const session = yield* newSession("abc")
    const { summarize, prompt, say, history, userId } = session
    expect(yield* summarize("B", "first")).toBe(true)
    expect(yield* prompt()).toBe("first c C")
    yield* say("d")
    expect(yield* prompt()).toBe("first c C d D")
    expect(yield* summarize("C", "second\0\ud800")).toBe(true)
    expect(yield* prompt()).toBe("second\ufffd d D")
    // Clients see what was said.
    const items = yield* history.newest(session.session.id, 100)
    expect(items.map(textOf).join(" ")).toBe("a A b B c C d D")
    const page = { limit: 100, before: Option.none() }
    const messages = yield* history.messages(userId, session.session.id, page)
    expect(messages.map(({ content }) => content).join(" ")).toBe("a A b B c C d D")
    const stored = yield* Effect.promise(
      () =>
        database.sql`select payload from items where session_id = ${session.session.id} and type = 'summary'`,
    )
    expect([...stored]).toEqual([{ payload: { text: "second\ufffd", usage } }])
  }),
)

effectTest(
  "the history for a prompt has the summary besides the newest items",
  Effect.gen(function* () {
    const { summarize, prompt, add, say } = yield* newSession("abcd")
    yield* summarize("A", "sum")
    expect(yield* prompt(2)).toBe("sum d D")
    expect(yield* prompt(3)).toBe("sum C d D")
    // The user's newest message is older than the newest two items.
    yield* add([assistant("x"), assistant("y"), assistant("z")])
    expect(yield* prompt(2)).toBe("sum d D x y z")
    yield* say("e")
    yield* summarize("z", "sum of all but e")
    expect(yield* prompt()).toBe("sum of all but e e E")
  }),
)

effectTest(
  "a user's message that a summary stands for is not looked for",
  Effect.gen(function* () {
    const session = yield* newSession("ab")
    yield* session.summarize("A", "sum")
    yield* remove(session, "b")
    expect(yield* session.prompt(1)).toBe("sum B")
  }),
)

effectTest(
  "a session has one process that makes its summary",
  Effect.gen(function* () {
    const { begin, summaries, session, prompt, say } = yield* newSession("abc")
    const other = yield* startProcess
    const first = Option.getOrThrow(yield* begin("A"))
    expect(yield* begin("A", other.summaries)).toEqual(Option.none())
    yield* summaries.release(first.lease)
    const second = Option.getOrThrow(yield* begin("B", other.summaries))
    // Without its lease, a process changes nothing.
    expect(yield* summaries.save(first.lease, "late", usage)).toBe(false)
    yield* summaries.release(first.lease)
    expect(yield* begin("A")).toEqual(Option.none())
    expect(yield* other.summaries.save(second.lease, "sum", usage)).toBe(true)
    expect(yield* other.summaries.save(second.lease, "again", usage)).toBe(false)
    yield* say("d")
    expect(yield* prompt()).toBe("sum c C d D")

    // The process of a lease that ran out is dead, or too slow.
    const slow = Option.getOrThrow(yield* begin("C"))
    yield* Effect.promise(
      () => database.sql`update sessions set summary_lease_until = now() where id = ${session.id}`,
    )
    expect(yield* summaries.save(slow.lease, "slow", usage)).toBe(false)
    const next = Option.getOrThrow(yield* begin("C", other.summaries))
    expect(yield* summaries.save(slow.lease, "slow", usage)).toBe(false)
    expect(yield* other.summaries.save(next.lease, "next", usage)).toBe(true)
    expect(yield* prompt()).toBe("next d D")
  }),
)

effectTest(
  "of many processes at once, one begins",
  Effect.gen(function* () {
    const { begin } = yield* newSession("ab")
    const processes = yield* Effect.all(Array.from({ length: 4 }, () => startProcess))
    const begun = yield* Effect.forEach(
      [...processes, ...processes],
      ({ summaries }) => begin("A", summaries),
      { concurrency: "unbounded" },
    )
    expect(begun.filter(Option.isSome)).toHaveLength(1)
  }),
)

effectTest(
  "what is not due costs no lease, and a session that is gone has no summary",
  Effect.gen(function* () {
    const { begin, summaries, session } = yield* newSession("ab")
    expect(yield* begin("x")).toEqual(Option.none())
    const begun = Option.getOrThrow(yield* begin("A"))
    yield* Effect.promise(() => database.sql`delete from sessions where id = ${session.id}`)
    expect(yield* summaries.save(begun.lease, "sum", usage)).toBe(false)
    expect(yield* begin("A")).toEqual(Option.none())
  }),
)

/** Changes of a conversation of which `a A b B` is summarized, and the prompt after each. */
const changes: ReadonlyArray<{
  readonly name: string
  readonly change: (session: Session) => Effect.Effect<unknown, unknown>
  /** Undefined: the summary is gone. */
  readonly kept?: string
  readonly dropped?: string
}> = [
  { name: "an item is removed", change: (it) => remove(it, "a"), dropped: "A b B c C d D" },
  { name: "the last item is removed", change: (it) => remove(it, "B"), dropped: "a A b c C d D" },
  { name: "a later item is removed", change: (it) => remove(it, "c"), kept: "sum C d D" },
  { name: "a reply is cut", change: (it) => truncate(it, "A", "x"), dropped: "a x b B c C d D" },
  { name: "a later reply is cut", change: (it) => truncate(it, "C", "x"), kept: "sum c x d D" },
  { name: "a reply is cut as it was", change: (it) => truncate(it, "A", "A"), kept: "sum c C d D" },
  { name: "an item comes first", change: (it) => it.insert(null, "x", "a"), dropped: "x a A b B c C d D" },
  { name: "an item comes between", change: (it) => it.insert("A", "x", "b"), dropped: "a A x b B c C d D" },
  { name: "an item comes next", change: (it) => it.insert("B", "x", "c"), kept: "sum x c C d D" },
  { name: "an item comes later", change: (it) => it.insert("c", "x", "C"), kept: "sum c x C d D" },
  { name: "a turn is added", change: (it) => it.say("e"), kept: "sum c C d D e E" },
]

for (const { name, change, kept, dropped } of changes) {
  effectTest(
    `${name}: after the summary`,
    Effect.gen(function* () {
      const session = yield* newSession("abcd")
      yield* session.summarize("B", "sum")
      yield* change(session)
      expect(yield* session.prompt()).toBe(kept ?? dropped ?? "")
    }),
  )
  effectTest(
    `${name}: while the summary is made`,
    Effect.gen(function* () {
      const session = yield* newSession("abcd")
      const { lease } = Option.getOrThrow(yield* session.begin("B"))
      yield* change(session)
      expect(yield* session.summaries.save(lease, "sum", usage)).toBe(kept !== undefined)
      expect(yield* session.prompt()).toBe(kept ?? dropped ?? "")
      // It can be made anew.
      if (kept === undefined) expect(yield* session.summarize("b", "new")).toBe(true)
    }),
  )
}

effectTest(
  "a turn that is replaced takes its summary along",
  Effect.gen(function* () {
    const session = yield* newSession("a")
    const b = yield* session.sayInTwoTries("b")
    const c = yield* session.sayInTwoTries("c")
    yield* session.summarize("B", "sum")
    yield* c.replace
    expect(yield* session.prompt()).toBe("sum c new")
    yield* b.replace
    expect(yield* session.prompt()).toBe("a A c new b new")
  }),
)

effectTest(
  "another user's removal or cut changes nothing",
  Effect.gen(function* () {
    const session = yield* newSession("ab")
    const stranger = { ...session, userId: (yield* newSession("")).userId }
    yield* session.summarize("A", "sum")
    for (const change of [remove(stranger, "a"), truncate(stranger, "A", "x")]) {
      expect(yield* Effect.flip(change)).toMatchObject({ _tag: "ItemNotFound" })
    }
    expect(yield* session.prompt()).toBe("sum b B")
  }),
)

/** A transaction of another process that has just locked the session, and its end. */
const lockSession = ({ session }: Session) =>
  Effect.promise(async () => {
    const connection = await database.sql.reserve()
    await connection`begin`
    await connection`select 1 from sessions where id = ${session.id} for no key update`
    return Effect.promise(async () => {
      await connection`commit`
      connection.release()
    })
  })
const somethingWaits = Effect.promise(() =>
  until(
    async () =>
      (
        await database.sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`
      ).length > 0,
    "a statement that waits for a lock",
  ),
)

/** Without the wait, a process could read items that another transaction is about to change. */
const waiting: ReadonlyArray<readonly [string, (session: Session) => Effect.Effect<unknown, unknown>]> = [
  ["a removal", (it) => remove(it, "a")],
  ["a cut", (it) => truncate(it, "A", "x")],
  ["an insertion", (it) => it.insert("A", "x", "b")],
  ["the begin of a summary", (it) => it.begin("A")],
]
for (const [name, change] of waiting) {
  effectTest(
    `${name} waits while another process begins a summary or changes items`,
    Effect.gen(function* () {
      const session = yield* newSession("ab")
      const unlock = yield* lockSession(session)
      const changing = yield* Effect.fork(change(session))
      yield* somethingWaits
      expect(yield* session.prompt()).toBe("a A b B")
      yield* unlock
      yield* Fiber.join(changing)
    }),
  )
}

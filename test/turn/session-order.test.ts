import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { Effect, Fiber, Option, Stream } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { ItemId, newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import { fromConversation } from "../../src/turn/input.ts"
import { SessionTarget, type TurnRequest, usualTurn } from "../../src/turn/request.ts"
import { replyOf } from "../../src/turn/state.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { answerByName, answerTo, noTurnRuns } from "../support/sessions.ts"
import { startTurns, type TurnService, until } from "../support/turns.ts"
import { fail } from "../support/upstream.ts"

let database: TestDatabase
let one: TurnService
let two: TurnService
let key = ""
let userId: UserId
let sessionId: SessionId
beforeAll(async () => {
  database = await makeDatabase()
  one = await startTurns({ database })
  two = await startTurns({ database })
  key = await one.register()
  userId = UserId.make((await database.sql`select id from users`)[0].id)
})
afterAll(async () => {
  await two.stop()
  await one.stop()
  await database.drop()
})
beforeEach(() => {
  for (const service of [one, two]) {
    service.reset()
    answerByName(service)
  }
  sessionId = newId(SessionId)
})
afterEach(async () => {
  for (const service of [one, two]) await service.nothingLeft()
  await noTurnRuns(one)
})

const session = () => ({ id: sessionId, isNew: true })
const say = ({ items }: TurnService, text: string) =>
  Effect.runPromise(
    items.append(userId, session(), [newItem({ type: "message", role: "user", text })], {
      usage: {},
      place: "end",
    }),
  )

const request = (more: Partial<TurnRequest> = {}): TurnRequest => ({
  turnId: newId(TurnId),
  userId,
  target: SessionTarget.Joined({ session: session() }),
  idempotencyKey: Option.none(),
  input: fromConversation,
  uploadMs: 0,
  output: { format: "none", streamsText: true, streaming: true },
  ...usualTurn,
  ...more,
})
const respond = ({ turns }: TurnService, more: Partial<TurnRequest> = {}) =>
  Effect.runPromiseExit(Stream.runDrain(turns.take(request(more))))

const ask = ({ call }: TurnService, text: string) =>
  call("POST", `/sessions/${sessionId}/messages?audio=false`, {
    key,
    body: { text },
    headers: { accept: "application/json" },
  })
const running = (count: number) =>
  until(
    async () =>
      (await database.sql`select 1 from turns where session_id = ${sessionId} and state = 'running'`)
        .length === count,
    `${count} turns in the session`,
  )
const contents = async () =>
  (
    await database.sql`select payload ->> 'text' as text from items where session_id = ${sessionId} order by sequence`
  ).map(({ text }: { readonly text: string }) => text)
const asked = ({ upstream }: TurnService, call = 0) =>
  upstream
    .calls("llm")
    [call]?.request.messages.slice(1)
    .map(({ content }) => content)

test("HTTP turns, responses and items of one session keep their order across two services", async () => {
  await say(one, "one")
  one.upstream.script("llm", [{ text: answerTo("one"), delayMs: 1000 }])
  const response = respond(one)
  await running(1)
  const turn = ask(two, "two")
  await running(2)
  const said = say(one, "three")
  await running(3)
  const last = respond(two)
  await running(4)
  expect((await turn).status).toBe(200)
  expect((await response)._tag).toBe("Success")
  await said
  expect((await last)._tag).toBe("Success")
  expect(asked(two)).toEqual(["one", answerTo("one"), "two"])
  expect(asked(two, 1)).toEqual(["one", answerTo("one"), "two", answerTo("two"), "three"])
  expect(await contents()).toEqual([
    "one",
    answerTo("one"),
    "two",
    answerTo("two"),
    "three",
    answerTo("three"),
  ])
})

/** Begins to add an item. Resolves when that has its place in the session. */
const beginToSay = async ({ items }: TurnService, text: string) => {
  const item = newItem({ type: "message", role: "user", text })
  const entered = Promise.withResolvers<void>()
  const saved = Effect.runPromise(
    items.append(userId, session(), [item], { usage: {}, place: "end", onEntered: entered.resolve }),
  )
  await entered.promise
  return { items: [item], saved: Effect.promise(() => saved) }
}

test("a response answers an item that is still being saved", async () => {
  two.upstream.script("llm", [{ text: answerTo("one"), delayMs: 1000 }])
  await say(one, "one")
  const turn = respond(two)
  await running(1)
  const unsaved = await beginToSay(one, "two")
  const last = respond(one, { unsaved })
  await running(3)
  expect(one.upstream.calls("llm")).toEqual([])
  expect((await turn)._tag).toBe("Success")
  expect((await last)._tag).toBe("Success")
  expect(asked(one)).toEqual(["one", answerTo("one"), "two"])
  expect(await contents()).toEqual(["one", answerTo("one"), "two", answerTo("two")])
})

test("a turn between an item and its response comes between them for all", async () => {
  two.upstream.script("llm", [{ text: answerTo("one"), delayMs: 1000 }])
  await say(one, "one")
  const first = respond(two)
  await running(1)
  const unsaved = await beginToSay(one, "two")
  const between = respond(two)
  await running(3)
  const last = respond(one, { unsaved })
  await running(4)
  for (const each of [first, between, last]) expect((await each)._tag).toBe("Success")
  expect(asked(two, 1)).toEqual(["one", answerTo("one"), "two"])
  expect(asked(one)?.slice(0, 4)).toEqual(["one", answerTo("one"), "two", answerTo("two")])
  expect((await contents()).slice(0, 4)).toEqual(["one", answerTo("one"), "two", answerTo("two")])
})

/** Begins a speculative turn that answers `text`, lets `meanwhile` happen, and adopts it once the text is saved. */
const speculate = (text: string, meanwhile: () => Promise<unknown>) => {
  const item = newItem({ type: "message", role: "user", text })
  const wanted = request({ unsaved: { items: [item], saved: Effect.void } })
  const run = Effect.gen(function* () {
    const { turn, adopt } = yield* one.turns.speculate(wanted)
    yield* Effect.promise(() => until(() => one.upstream.calls("llm")[0], "a request"))
    yield* Effect.promise(meanwhile)
    const append = one.items.append(userId, session(), [item], { usage: {}, place: "end" })
    const saving = yield* Effect.fork(append)
    yield* Effect.promise(() => until(async () => (await row(item.id)) !== undefined, "the item's turn"))
    const isAdopted = yield* adopt({ items: [item], saved: Effect.orDie(Fiber.join(saving)) })
    if (isAdopted) yield* Stream.runDrain(turn.events)
    yield* Fiber.join(saving)
    return isAdopted
  })
  return { id: wanted.turnId, isAdopted: Effect.runPromise(Effect.scoped(run)) }
}
const row = async (id: string) =>
  (
    await database.sql`select state, usage, is_aside, is_speculative from turns where id = ${id} and session_id = ${sessionId}`
  )[0]

test("a speculative turn that is adopted is a turn of the conversation", async () => {
  await say(one, "one")
  await respond(one)
  one.upstream.reset()
  answerByName(one)
  const { id, isAdopted } = speculate("two", async () => {})
  expect(await isAdopted).toBe(true)
  expect(await contents()).toEqual(["one", answerTo("one"), "two", answerTo("two")])
  expect(await row(id)).toMatchObject({ state: "completed", is_aside: false, is_speculative: true })
})

test("a speculative turn is dropped after another turn, and only its cost is kept", async () => {
  await say(one, "one")
  const { id, isAdopted } = speculate("two", () => ask(two, "between"))
  expect(await isAdopted).toBe(false)
  expect(await contents()).toEqual(["one", "between", answerTo("one\nbetween"), "two"])
  const dropped = await row(id)
  expect(dropped).toMatchObject({ state: "failed", is_speculative: true })
  expect(dropped.usage.outputTokens).toBeGreaterThan(0)
})

test("no turn waits for a speculative turn", async () => {
  await say(one, "one")
  one.upstream.script("llm", [fail.hang()])
  const run = Effect.gen(function* () {
    yield* one.turns.speculate(request())
    yield* Effect.promise(() => until(() => one.upstream.calls("llm")[0], "a request"))
    return yield* Effect.promise(() => ask(two, "two"))
  })
  expect((await Effect.runPromise(Effect.scoped(run))).status).toBe(200)
  expect(await contents()).toEqual(["one", "two", answerTo("one\ntwo")])
})

test("a reply is saved after the item that it answers", async () => {
  const item = newItem({ type: "message", role: "user", text: "one" })
  const late = Promise.withResolvers<void>()
  const reply = respond(one, { unsaved: { items: [item], saved: Effect.promise(() => late.promise) } })
  await until(() => one.upstream.calls("llm")[0], "a request")
  expect(asked(one)).toEqual(["one"])
  await running(1)
  late.resolve()
  expect((await reply)._tag).toBe("Success")
})

test("a response that fails leaves what the user said", async () => {
  await say(one, "one")
  one.upstream.script("llm", [fail.badRequest()])
  expect((await respond(one))._tag).toBe("Failure")
  expect(await contents()).toEqual(["one"])
  expect((await ask(two, "two")).status).toBe(200)
  expect(asked(two)).toEqual(["one\ntwo"])
})

test("an aside answers while a turn runs, and leaves no trace in the conversation", async () => {
  await say(one, "one")
  two.upstream.script("llm", [fail.hang()])
  const stuck = new AbortController()
  const turn = Effect.runPromiseExit(Stream.runDrain(two.turns.take(request())), { signal: stuck.signal })
  await two.upstream.waitFor(() => two.upstream.calls("llm")[0])
  const aside = request({ turnId: newId(TurnId) })
  const reply = await Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const { events, state } = yield* one.turns.aside(aside)
        yield* Stream.runDrain(events)
        return replyOf(state())
      }),
    ),
  )
  expect(reply).toBe(answerTo("one"))
  const [row] =
    await database.sql`select state, response, usage, session_id from turns where id = ${aside.turnId}`
  expect(row).toMatchObject({ state: "completed", response: reply, session_id: sessionId })
  expect(row.usage.outputTokens).toBeGreaterThan(0)
  stuck.abort()
  await turn
  expect(await contents()).toEqual(["one"])
})

test("what was heard can shrink and grow until the session is deleted", async () => {
  await say(one, "one")
  const itemIds = { user: newId(ItemId), assistant: newId(ItemId) }
  await Effect.runPromise(
    Effect.gen(function* () {
      const turn = yield* Effect.scoped(
        Effect.gen(function* () {
          const begun = yield* one.turns.begin(
            request({
              itemIds: Option.some(itemIds),
              output: { format: "pcm", streamsText: true, streaming: true },
            }),
          )
          yield* Stream.runDrain(begun.events)
          return begun
        }),
      )
      const stored = Effect.promise(async () => {
        const [row] = await database.sql`
          select payload ->> 'text' as text, interrupted, heard_ms from items where id = ${itemIds.assistant}`
        return row
      })
      const whole = yield* stored
      expect(whole).toMatchObject({ text: answerTo("one"), interrupted: false })
      yield* turn.truncate({ playedMs: 0 })
      expect(yield* stored).toEqual({ text: "", interrupted: true, heard_ms: 0 })
      yield* turn.truncate({ playedMs: whole.heard_ms })
      expect(yield* stored).toEqual(whole)
      yield* Effect.promise(() => one.call("DELETE", `/sessions/${sessionId}`, { key }))
      yield* turn.truncate({ playedMs: 0 })
      expect(yield* stored).toBeUndefined()
    }),
  )
})

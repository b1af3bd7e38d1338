/**
 * A Realtime session on the test clock: the ports, the database and the socket are fakes, everything else is as in production.
 */
import { Clock, ConfigProvider, Context, Effect, Either, Layer, Option, TestClock } from "effect"
import { Agents } from "../../src/agent/agents.ts"
import { AgentInvalid } from "../../src/agent/errors.ts"
import { noPrices } from "../../src/config/prices.ts"
import { Settings } from "../../src/config.ts"
import type { Item, NewItem } from "../../src/conversation/item.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import type { HeardPart, ItemPlace } from "../../src/conversation/ledger-items.ts"
import { ItemNotFound, SessionNotFound } from "../../src/conversation/model.ts"
import { SessionItems } from "../../src/conversation/session-items.ts"
import { Sessions } from "../../src/conversation/sessions.ts"
import { DatabaseUnavailable } from "../../src/db/errors.ts"
import { nextEvents } from "../../src/event-loop.ts"
import { Admission, Overloaded } from "../../src/limits/admission.ts"
import { type Quota, RateLimited, RateLimits } from "../../src/limits/rate-limits.ts"
import { LanguageModel } from "../../src/providers/language-model.ts"
import { Synthesizer } from "../../src/providers/synthesizer.ts"
import { type FakeTranscript, Transcriber } from "../../src/providers/transcriber.ts"
import type { Wire } from "../../src/realtime/outbox.ts"
import type { ServerEvent } from "../../src/realtime/protocol/server-events.ts"
import { RealtimeSessions } from "../../src/realtime/session.ts"
import { ApiKeyId, type ItemId, newId, SessionId, TurnId, UserId } from "../../src/schema.ts"
import type { TurnRequest } from "../../src/turn/request.ts"
import { Turns } from "../../src/turn/turns.ts"
import type { Consumed } from "../../src/usage/bill.ts"
import { Spending } from "../../src/usage/spending.ts"
import { UsageDays } from "../../src/usage/usage-days.ts"
import { VoiceActivity } from "../../src/vad/voice-activity.ts"
import { agent, type FakeScript, makeFakeTurns } from "./fake-turns.ts"

export interface SessionScript extends FakeScript {
  readonly transcripts?: ReadonlyArray<FakeTranscript>
  readonly intent?: "conversation" | "transcription"
  readonly config?: unknown
  readonly env?: Readonly<Record<string, string>>
  /** How long each write of an item takes, in ms. */
  readonly writeMs?: number
  /** The number of writes that fail because the database is away. */
  readonly writesThatFail?: number
  /** What refuses the next responses, one each. */
  readonly refusals?: ReadonlyArray<"rate limit" | "overloaded">
  /** What is left of the user's limit of turns. None: there is no limit. */
  readonly quota?: Quota
}

/** An item that the session has stored. */
interface StoredItem {
  readonly item: NewItem
  readonly after: "start" | "end" | ItemId
  readonly audioSeconds: number
  /** It created the session, if that was not there yet. */
  readonly isNew: boolean
}

const rateLimited = new RateLimited({ policy: { name: "turns", limit: 5, windowSeconds: 60 }, retryAfter: 3 })

/** 24 kHz samples; loud ones count as speech. */
export const pcm = (ms: number, isLoud: boolean): Buffer => {
  const samples = new Int16Array(24 * ms).fill(0)
  if (isLoud) for (let at = 0; at < samples.length; at++) samples[at] = at % 48 < 24 ? 32_000 : -32_000
  return Buffer.from(samples.buffer)
}

export const makeSession = Effect.fnUntraced(function* (script: SessionScript = {}) {
  const stored: Array<StoredItem> = []
  const removed: Array<ItemId> = []
  const charged: Array<Consumed> = []
  const cut: Array<HeardPart & { readonly id: ItemId }> = []
  let writesThatFail = script.writesThatFail ?? 0
  /** The session was deleted: each statement finds that. */
  let isDeleted = false
  const refusals = [...(script.refusals ?? [])]

  const write = (change: () => void) =>
    Effect.suspend((): Effect.Effect<void, SessionNotFound | DatabaseUnavailable> => {
      if (isDeleted) return new SessionNotFound()
      writesThatFail -= 1
      return writesThatFail >= 0 ? new DatabaseUnavailable({ cause: "away" }) : Effect.sync(change)
    }).pipe(Effect.delay(script.writeMs ?? 0))

  /** The conversation as the database has it: what was stored, and the replies of the turns that are saved. */
  const history = (): ReadonlyArray<Item> => {
    const createdAt = new Date(0)
    const items = [...(script.history ?? [])]
    for (const { item, after } of stored) {
      const at =
        after === "start" ? 0 : after === "end" ? items.length : items.findIndex(({ id }) => id === after) + 1
      items.splice(at, 0, { ...item, turnId: newId(TurnId), createdAt })
    }
    return items.filter(({ id }) => !removed.includes(id))
  }

  /** What the database makes of a place. */
  const afterOf = (place: ItemPlace): StoredItem["after"] => {
    const { earlier, later } = place === "end" ? { earlier: [], later: [] } : place()
    const there = history().map(({ id }) => id)
    if (!later.some((id) => there.includes(id))) return "end"
    return earlier.findLast((id) => there.includes(id)) ?? "start"
  }

  const fake = yield* makeFakeTurns({
    ...script,
    get history() {
      return history()
    },
  })
  const transcriber = Transcriber.makeFake(script.transcripts)
  const unused = Effect.dieMessage("not used by these tests")

  /** Stores what a turn has saved at its end. */
  const storing = ({ turnId }: TurnRequest) =>
    Effect.addFinalizer(() =>
      Effect.sync(() => {
        const saved = fake.saved.find(({ id }) => id === turnId)
        for (const item of saved?.items ?? [])
          stored.push({ item, after: "end", audioSeconds: 0, isNew: false })
      }),
    )

  const services = Layer.mergeAll(
    Layer.succeed(Turns, {
      ...fake.turns,
      begin: (request) => Effect.zipLeft(fake.turns.begin(request), storing(request)),
      speculate: (request) => Effect.zipLeft(fake.turns.speculate(request), storing(request)),
    }),
    transcriber.layer,
    LanguageModel.layerFake(),
    Synthesizer.layerFake(),
    VoiceActivity.layerFake,
    Layer.succeed(Agents, {
      configured: agent,
      read: () => Either.left(new AgentInvalid({ field: "body", reason: "is not read here" })),
      warnings: () => Effect.succeed([]),
      choose: () => Effect.succeedNone,
      resolve: () => Effect.succeed({ ...agent, ...script.agent }),
    }),
    Layer.succeed(SessionItems, {
      append: (_user, { isNew }, items, { usage, place, onEntered }) =>
        Effect.suspend(() => {
          if (writesThatFail <= 0) onEntered?.()
          return write(() => {
            let after = afterOf(place)
            for (const item of items) {
              stored.push({ item, after, audioSeconds: usage.audioSeconds ?? 0, isNew })
              if (after !== "end") after = item.id
            }
          })
        }),
      giveUp: (_first, _payer, consumed) => Effect.sync(() => void charged.push(consumed)),
      remove: (_user, _session, id) => write(() => void removed.push(id)),
      truncate: (_user, id, heard) =>
        Effect.catchTag(
          write(() => void cut.push({ id, ...heard })),
          "SessionNotFound",
          () => new ItemNotFound(),
        ),
      newest: () => Effect.sync(history),
    }),
    Layer.succeed(Sessions, {
      join: () => unused,
      rejoin: () => Effect.succeed({ id: newId(SessionId), isNew: false }),
      create: () => unused,
      list: () => unused,
      get: () => unused,
      update: () => unused,
      remove: () => unused,
    }),
    Layer.succeed(Ledger, {
      ...fake.ledger,
      takeOver: () => Effect.succeed("1"),
      ahead: () => Effect.succeedNone,
      endedSessions: () => Effect.sync(() => (isDeleted ? ["deleted" as const] : [])),
    }),
    Layer.succeed(Admission, {
      admit: (_, read) => read,
      acquire: () =>
        Effect.suspend(() => {
          if (refusals[0] !== "overloaded") return Effect.void
          refusals.shift()
          return new Overloaded({ reason: "turns", retryAfter: 1 })
        }),
      size: unused,
    }),
    Layer.succeed(RateLimits, {
      take: (what) =>
        Effect.suspend(() => {
          if (refusals[0] !== "rate limit")
            return Effect.succeed(what === "turns" ? Option.fromNullable(script.quota) : Option.none())
          refusals.shift()
          return rateLimited
        }),
    }),
    Layer.succeed(Spending, {
      prices: script.prices ?? noPrices,
      check: script.mayPay ?? (() => Effect.void),
      month: () => unused,
    }),
    Layer.succeed(UsageDays, {
      list: () => unused,
      today: unused,
      add: (_, consumed) => Effect.sync(() => void charged.push(consumed)),
    }),
    Layer.provide(
      Settings.layer,
      Layer.setConfigProvider(
        ConfigProvider.fromMap(new Map(Object.entries({ NODE_ENV: "test", ...script.env }))),
      ),
    ),
  )
  const sessions = Context.get(
    yield* Layer.build(Layer.provide(RealtimeSessions.layer, services)),
    RealtimeSessions,
  )

  const events: Array<ServerEvent> = []
  const closed: Array<number> = []
  let isSlow = false
  const wire: Wire = {
    send: (event) => void events.push(event),
    drained: Effect.suspend(() => (isSlow ? Effect.never : Effect.void)),
    dropAudio: () => {},
    end: ({ code, message, closeCode }) => {
      session?.stop()
      events.push({
        type: "error",
        error: { type: "invalid_request_error", code, message, param: null, event_id: null },
      })
      closed.push(closeCode)
    },
  }
  const session = yield* sessions.open({
    user: { id: newId(UserId), email: "user@example.com", createdAt: new Date(0), keyId: newId(ApiKeyId) },
    // A session with a history is continued.
    sessionId: script.history === undefined ? Option.none() : Option.some("earlier"),
    agentId: Option.none(),
    intent: script.intent ?? "conversation",
    config: yield* Effect.transposeMapOption(Option.fromNullable(script.config), (config) =>
      sessions.configure(config, { userId: newId(UserId), agent: Option.none() }),
    ),
    wire,
  })

  /** Lets all fibers run that wait for no time, or for the end of one pause between many messages. */
  const settle = Effect.zipRight(
    Effect.repeatN(Effect.yieldNow(), 200),
    Effect.zipRight(Effect.promise(nextEvents), Effect.repeatN(Effect.yieldNow(), 200)),
  )
  const send = (...sent: ReadonlyArray<object>) =>
    Effect.zipRight(
      Effect.sync(() => {
        for (const each of sent) session.receive(JSON.stringify(each))
      }),
      settle,
    )
  /** Appends audio in pieces of 100 ms. */
  const append = (bytes: Buffer) =>
    Effect.gen(function* () {
      for (let at = 0; at < bytes.length; at += 4800) {
        session.receive(
          JSON.stringify({
            type: "input_audio_buffer.append",
            audio: bytes.subarray(at, at + 4800).toString("base64"),
          }),
        )
        // The listener hears each piece before the next one, as it does over a network.
        yield* settle
      }
    })

  return {
    ...fake,
    session,
    stored,
    removed,
    charged,
    cut,
    transcribed: transcriber.calls,
    closed,
    events,
    send,
    append,
    settle,
    /** Speech without an end. */
    speak: (ms: number) => append(pcm(ms, true)),
    /** Silence, after which speech of before has ended. */
    pause: (ms = 700) => append(pcm(ms, false)),
    pass: (ms: number) => Effect.zipRight(TestClock.adjust(ms), settle),
    now: Clock.currentTimeMillis,
    /** Deletes the session through another front door. */
    deleteSession: () => {
      isDeleted = true
    },
    slow: () => {
      isSlow = true
    },
    types: () => events.map(({ type }) => type),
    /** The events since the last call. */
    fresh: () => events.splice(0),
    of: <Type extends ServerEvent["type"]>(type: Type) =>
      events.flatMap((event) => (isOfType(event, type) ? [event] : [])),
  }
})

const isOfType = <Type extends ServerEvent["type"]>(
  event: ServerEvent,
  type: Type,
): event is Extract<ServerEvent, { readonly type: Type }> => event.type === type

/** Types of events, with runs of the same written once. */
export const shape = (events: ReadonlyArray<ServerEvent>): ReadonlyArray<string> =>
  events.map(({ type }) => type).filter((type, at, all) => type !== all[at - 1])

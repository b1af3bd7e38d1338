import { type Cause, Chunk, Effect, Mailbox, Option, Stream } from "effect"
import { noPrices, type PriceTable } from "../config/prices.ts"
import { noUsage, type Usage } from "../schema.ts"
import { addUsage, billOf, type ModelUse } from "../usage/bill.ts"
import type { TurnError } from "./errors.ts"
import type { NewTurnEvent, TurnEvent, TurnStage } from "./events.ts"
import { initialState, step, type TurnState } from "./state.ts"
import type { Take } from "./take.ts"

/** Events that may wait for a slow client. With more, `append` makes the turn wait. */
const maxWaitingEvents = 16

/** The event log of one turn: the one record of it. Everything else reads its state or its events. */
export interface TurnLog {
  readonly state: () => TurnState
  /** Adds what a request to a model used, and what that costs. */
  readonly used: (by: Omit<ModelUse, "usage">, usage: Partial<Usage>) => void
  /** The time of the log's clock, in ms since 1970. */
  readonly now: () => number
  /** Adds an event and offers it to the client. If too many events wait for the client, waits until it takes them. */
  readonly append: (event: NewTurnEvent) => Effect.Effect<void>
  /** Adds an event without waiting: a plain function, since it runs once per token. */
  readonly push: (event: NewTurnEvent) => void
  /** Runs a stage; adds its start and its end. */
  readonly timed: <A, E, R>(stage: TurnStage, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Like `timed`; also logs the stage at its end. */
  readonly stage: <A, E, R>(stage: TurnStage, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /**
   * The `seq` of the last event that reached the client: a reader that asks for the next events has passed on those
   * before. Events that it just took may still wait for a slow connection.
   */
  readonly delivered: () => number
  /** Takes the client's events. */
  readonly take: Take<TurnEvent, TurnError>
  /** The same events. They can be read once, in one of both ways. */
  readonly events: Stream.Stream<TurnEvent, TurnError>
  /** Ends the client's events after those that wait. */
  readonly end: Effect.Effect<void>
  /** Drops the waiting events: a slow client must not hear more of a turn than is saved. */
  readonly drop: Effect.Effect<void>
  /** Fails the client's events. */
  readonly fail: (cause: Cause.Cause<TurnError>) => Effect.Effect<void>
}

/** Whether the client gets the event. The others change the state only. */
const isOffered = ({ output }: TurnState, event: NewTurnEvent): boolean => {
  switch (event._tag) {
    case "TextDelta":
      return output.streaming && output.streamsText
    case "Audio":
    case "ToolCalled":
    case "ToolReturned":
      return output.streaming
    case "RoundStarted":
      return output.streaming && event.round > 0
    case "Started":
    case "Heard":
    case "Completed":
    case "Interrupted":
      return true
    default:
      return false
  }
}

interface NewLog extends Omit<Parameters<typeof initialState>[0], "beganAt" | "currency"> {
  /** Without them, what models cost is unknown. */
  readonly prices?: PriceTable
}

export const makeTurnLog = ({ prices = noPrices, ...begin }: NewLog): Effect.Effect<TurnLog> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const waiting = yield* Mailbox.make<TurnEvent, TurnError>()
    const room = Effect.unsafeMakeLatch(true)
    let state = initialState({ ...begin, beganAt: now(), currency: prices.currency })
    let offered = 0
    let taken = 0
    let delivered = 0

    const push = (event: NewTurnEvent) => {
      const isForClient = isOffered(state, event)
      if (isForClient) offered += 1
      const numbered: TurnEvent = { ...event, seq: offered, at: now() }
      state = step(state, numbered)
      if (isForClient) waiting.unsafeOffer(numbered)
    }

    const used: TurnLog["used"] = (by, used) => {
      const usage = addUsage(noUsage, used)
      push({ _tag: "Used", consumed: { usage, bill: billOf(prices, { ...by, usage }) } })
    }

    const append = (event: NewTurnEvent) =>
      Effect.suspend(() => {
        push(event)
        if (offered - taken <= maxWaitingEvents) return Effect.void
        room.unsafeClose()
        return room.await
      })

    const timed: TurnLog["timed"] = (stage, effect) =>
      Effect.suspend(() => {
        push({ _tag: "StageStarted", stage })
        return Effect.onExit(effect, ({ _tag }) =>
          Effect.sync(() => push({ _tag: "StageEnded", stage, ok: _tag === "Success" })),
        )
      })

    const stage: TurnLog["stage"] = (name, effect) =>
      Effect.suspend(() => {
        const startedAt = now()
        return Effect.onExit(timed(name, effect), ({ _tag }) =>
          Effect.annotateLogs(Effect.logInfo("turn.stage"), {
            stage: name,
            ms: now() - startedAt,
            ok: _tag === "Success",
          }),
        )
      })

    const takeAll = Effect.map(waiting.takeAll, ([events, isDone]) => {
      taken = Option.match(Chunk.last(events), { onNone: () => taken, onSome: ({ seq }) => seq })
      room.unsafeOpen()
      return [events, isDone] as const
    })
    const take = Effect.suspend(() => {
      delivered = taken
      return takeAll
    })

    return {
      state: () => state,
      used,
      now,
      append,
      push,
      timed,
      stage,
      delivered: () => delivered,
      take,
      events: Stream.fromPull(
        Effect.sync(() => {
          let isDone = false
          return Effect.suspend(() =>
            isDone
              ? Effect.fail(Option.none())
              : Effect.mapBoth(take, {
                  onFailure: Option.some,
                  onSuccess: ([events, done]) => {
                    isDone = done
                    return events
                  },
                }),
          )
        }),
      ),
      end: Effect.asVoid(waiting.end),
      drop: Effect.ignore(waiting.clear),
      fail: (cause) => Effect.asVoid(waiting.failCause(cause)),
    }
  })

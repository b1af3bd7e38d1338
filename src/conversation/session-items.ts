import { type Array as Arr, Context, Effect, Layer, Option, Schedule } from "effect"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import {
  type ApiKeyId,
  type ItemId,
  newId,
  noUsage,
  type SessionId,
  TurnId,
  type Usage,
  type UserId,
} from "../schema.ts"
import type { Bill, Consumed } from "../usage/bill.ts"
import type { Payer } from "../usage/usage-days.ts"
import { History } from "./history.ts"
import type { Item, NewItem } from "./item.ts"
import { Ledger } from "./ledger.ts"
import type { HeardPart, ItemPlace } from "./ledger-items.ts"
import type { ItemNotFound, SessionNotFound } from "./model.ts"
import { RunningTurns } from "./running-turns.ts"
import type { NewTurn, TurnCancelled, TurnSession } from "./stored-turn.ts"

interface AppendOptions {
  /** What the items cost, such as the transcription of speech. */
  readonly usage: Partial<Usage>
  /** Absent: what that costs is unknown. */
  readonly bill?: Bill
  /** The API key of the client. Absent: not known. */
  readonly keyId?: ApiKeyId | undefined
  readonly place: ItemPlace
  /** Called once no later turn of the session can come before the items. A plain function. */
  readonly onEntered?: () => void
}

/** A change is repeated at its place in the queue: what came after it may count on that. */
const retrySchedule = Schedule.spaced("500 millis").pipe(Schedule.upTo("5 seconds"))

/** The turn that appends items: the same items are the same turn, so that a repeated call finds what an earlier one saved. */
export const appendingTurn = ({ id }: Pick<NewItem, "id">): TurnId => TurnId.make(id)

/**
 * Changes of a conversation that no reply goes with. Each waits for the turns of its session that began before, in any process.
 */
export class SessionItems extends Context.Tag("voice-agent/SessionItems")<
  SessionItems,
  {
    /**
     * Adds items, and the session if it is new, in one transaction. May be repeated with the same items after an error:
     * they are saved once.
     */
    readonly append: (
      userId: UserId,
      session: TurnSession,
      items: Arr.NonEmptyReadonlyArray<NewItem>,
      options: AppendOptions,
    ) => Effect.Effect<void, SessionNotFound | TurnCancelled | DatabaseError>
    /**
     * Counts what items cost that are not saved, by the first item of their `append`. Counts nothing if an earlier call saved
     * them after all, and ends one that still runs.
     */
    readonly giveUp: (
      first: Pick<NewItem, "id">,
      payer: Payer,
      consumed: Consumed,
    ) => Effect.Effect<void, DatabaseError>
    /** Removes an item. The text of a reply stays in the row of its turn. `onEntered` as for `append`. */
    readonly remove: (
      userId: UserId,
      sessionId: SessionId,
      itemId: ItemId,
      onEntered?: () => void,
    ) => Effect.Effect<void, ItemNotFound | SessionNotFound | TurnCancelled | DatabaseError>
    /** Sets a saved reply to the part that its client heard. Does not wait. */
    readonly truncate: (
      userId: UserId,
      itemId: ItemId,
      heard: HeardPart,
    ) => Effect.Effect<void, ItemNotFound | DatabaseError>
    /** The newest `limit` items of every type, oldest first. Does not wait. */
    readonly newest: (
      sessionId: SessionId,
      limit: number,
    ) => Effect.Effect<ReadonlyArray<Item>, DatabaseError>
  }
>() {
  static readonly layer = Layer.effect(
    SessionItems,
    Effect.gen(function* () {
      const ledger = yield* Ledger
      const running = yield* RunningTurns
      const history = yield* History

      /** Runs `change` as a turn of the session: after the turns ahead, however long they take, and before later ones. */
      const inOrder = <A, E>(
        turn: Pick<NewTurn, "id" | "userId" | "session" | "keyId">,
        change: Effect.Effect<A, E | DatabaseError>,
        onEntered: () => void,
      ) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const ended = yield* running.register(turn.id)
            const ticket = yield* running.enter({
              ...turn,
              idempotency: Option.none(),
              isAside: false,
              hasReply: false,
            })
            const ready = Effect.retry(ticket.ready, { while: ({ _tag }) => _tag === "SessionBusy" })
            const isAway = (error: E | DatabaseError) => error instanceof DatabaseUnavailable
            yield* Effect.forkScoped(Effect.map(ticket.issued, (isIssued) => isIssued && onEntered()))
            return yield* restore(Effect.raceFirst(ready, ended)).pipe(
              Effect.catchTag("SessionBusy", Effect.die),
              Effect.zipRight(
                uninterruptibleWithTimeout(Effect.retry(change, { schedule: retrySchedule, while: isAway })),
              ),
              // Without this the session's later turns wait until the lease runs out.
              Effect.onError(() =>
                Effect.zipRight(
                  ticket.issued,
                  ledger.fail({ id: turn.id, timings: {}, usage: noUsage }),
                ).pipe(Effect.catchAllCause((cause) => Effect.logWarning("turn.finalize_failed", cause))),
              ),
              Effect.zipLeft(ticket.leave),
            )
          }),
        ).pipe(Effect.scoped)

      const append = Effect.fn("SessionItems.append")(
        (
          userId: UserId,
          session: TurnSession,
          items: Arr.NonEmptyReadonlyArray<NewItem>,
          { usage, bill, keyId, place, onEntered = () => {} }: AppendOptions,
        ) => {
          const turn = { id: appendingTurn(items[0]), userId, session, keyId }
          const saved = ledger.saveAt(place, {
            ...turn,
            items,
            state: "completed",
            transcript: "",
            response: "",
            speech: Option.none(),
            speechFormat: "none",
            timings: {},
            usage: { ...noUsage, ...usage },
            bill,
          })
          return inOrder(turn, saved, onEntered).pipe(
            // An earlier try may have left a turn whose lease ran out. It is gone after the failure.
            Effect.retry({ times: 1, while: ({ _tag }) => _tag === "TurnLost" }),
            Effect.catchTag("TurnLost", (cause) => new DatabaseUnavailable({ cause })),
            Effect.asVoid,
          )
        },
      )

      const remove = Effect.fn("SessionItems.remove")(
        (userId: UserId, sessionId: SessionId, itemId: ItemId, onEntered: () => void = () => {}) => {
          const turn = { id: newId(TurnId), userId, session: { id: sessionId, isNew: false } }
          const removed = ledger.removeItem(userId, sessionId, itemId)
          const gone = ledger.fail({ id: turn.id, timings: {}, usage: noUsage })
          return inOrder(turn, Effect.zipLeft(removed, gone), onEntered)
        },
      )

      const giveUp = Effect.fn("SessionItems.giveUp")(
        (first: Pick<NewItem, "id">, payer: Payer, consumed: Consumed) =>
          Effect.asVoid(ledger.fail({ id: appendingTurn(first), timings: {}, payer, ...consumed })),
      )

      return { append, giveUp, remove, truncate: ledger.truncate, newest: history.newest }
    }),
  )
}

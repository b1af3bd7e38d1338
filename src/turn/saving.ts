import { Chunk, Effect, Option } from "effect"
import { type NewItem, newItem } from "../conversation/item.ts"
import type { Ledger } from "../conversation/ledger.ts"
import type { HeardPart } from "../conversation/ledger-items.ts"
import type { SessionNotFound } from "../conversation/model.ts"
import { callItems, type RecordedCall, resultItem } from "../conversation/rounds.ts"
import {
  type FailedTurn,
  type TurnCancelled,
  type TurnEnd,
  TurnLost,
  type TurnSession,
} from "../conversation/stored-turn.ts"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import type { ItemId } from "../schema.ts"
import type { Payer } from "../usage/usage-days.ts"
import { type HeardMessage, type HeardUpTo, heardMessages, isHeard, wholeMessages } from "./heard-reply.ts"
import type { TurnRequest } from "./request.ts"
import { callsMade, type Round, replyOf, roundsOf, type TurnState, transcriptOf } from "./state.ts"
import { finalTimings, timingsOf } from "./timings.ts"

/** How a turn ended early. `failed`: its client got an error; what it heard before is saved as interrupted. */
export type EarlyEnding = "interrupted" | "cancelled" | "failed"

/** What webhooks are told of a failure. */
export type TurnFailure = Pick<FailedTurn, "code" | "isRefused">

/** What identifies a turn's rows. */
export interface TurnIdentity {
  readonly request: TurnRequest
  readonly session: TurnSession
  /** True: nothing of the turn is added to the conversation. */
  readonly isAside: boolean
  /** The ids of the user's message and of the first round's. */
  readonly items: { readonly user: ItemId; readonly assistant: ItemId }
  readonly payer: Payer
}

const userItem = ({ items }: TurnIdentity, text: string): NewItem => ({
  ...newItem({ type: "message", role: "user", text }),
  id: items.user,
})

/** The id of a round's message. */
export const messageIdOf = ({ items }: TurnIdentity, { messageId }: Round): ItemId =>
  Option.getOrElse(messageId, () => items.assistant)

/** A heard part of a message as the ledger stores it. */
export const heardPartOf = (
  { output }: TurnState,
  { text, ms }: Pick<HeardMessage, "text" | "ms">,
  interrupted: boolean,
): HeardPart => ({ text, ms: output.format === "none" ? null : Math.round(ms), interrupted })

const assistantItem = (turn: TurnIdentity, round: Round, { text, ms, interrupted }: HeardPart): NewItem => ({
  ...newItem({ type: "message", role: "assistant", text }, { interrupted, heardMs: ms }),
  id: messageIdOf(turn, round),
})

/** The messages of a turn that did not complete: there may be more of the last one, unless calls follow it. */
export const cutMessages = (state: TurnState, upTo: HeardUpTo): ReadonlyArray<HeardMessage> =>
  heardMessages(state, upTo).map((message) => ({
    ...message,
    isWhole: message.isWhole && (message.round !== state.round || message.round.calls.length > 0),
  }))

/**
 * The items that a turn adds: the user's message, or the results that it began with; then, of each round, the part of its
 * message that the client heard, its calls and their results. A round that is only calls has no message.
 */
const itemsOf = (
  turn: TurnIdentity,
  state: TurnState,
  heard: ReadonlyArray<HeardMessage>,
  calls: (round: Round) => ReadonlyArray<RecordedCall>,
): ReadonlyArray<NewItem> => {
  if (turn.isAside) return []
  return [
    ...Option.toArray(Option.map(state.heard, ({ transcript }) => userItem(turn, transcript))),
    ...state.brought.map(resultItem),
    ...roundsOf(state).flatMap((round) => [
      ...heard
        .filter((message) => message.round === round)
        .map((message) => assistantItem(turn, round, heardPartOf(state, message, !message.isWhole))),
      ...callItems(calls(round)),
    ]),
  ]
}

/** What a turn adds to its conversation at most. */
export const itemsAtMost = (turn: TurnIdentity, state: TurnState): ReadonlyArray<NewItem> =>
  itemsOf(turn, state, wholeMessages(state), ({ calls }) => calls)

const endedTurn = ({ request, session }: TurnIdentity, state: TurnState) => ({
  id: request.turnId,
  userId: request.userId,
  session,
  transcript: transcriptOf(state),
  response: replyOf(state),
  timings: timingsOf(state),
  ...state.consumed,
  speechFormat: state.output.format,
})

/**
 * Saves a turn that came to its end: its items, and the session if it is new, in one transaction. The speech is stored for a
 * retry with the same Idempotency-Key.
 */
export const saveCompleted = Effect.fn("saveCompleted")(
  (
    ledger: Ledger["Type"],
    turn: TurnIdentity,
    state: TurnState,
  ): Effect.Effect<void, SessionNotFound | TurnCancelled | DatabaseError> =>
    ledger
      .save({
        ...endedTurn(turn, state),
        state: "completed",
        items: itemsAtMost(turn, state),
        timings: finalTimings(state),
        speech: Option.as(turn.request.idempotencyKey, Buffer.concat(Chunk.toReadonlyArray(state.audio))),
      })
      .pipe(
        Effect.filterOrFail(
          (end) => end === "completed",
          () => new TurnLost(),
        ),
        Effect.catchTag("TurnLost", (cause) => new DatabaseUnavailable({ cause })),
        Effect.asVoid,
      ),
)

/**
 * Saves a turn that was cut short or failed, with the reply up to the last segment that the client heard completely, the calls
 * that it made, with the results that have arrived, and the results that the client has brought. If the client left and got
 * nothing, the turn's lease ran out, or its session was deleted, only the usage is saved. A reply that the user interrupted is
 * saved even if none of it was heard: see `Turn.truncate`. Returns how the turn ended: `completed` if the answer to an earlier
 * save was lost, but the save was carried out. May be repeated.
 */
export const saveCutShort = Effect.fn("saveCutShort")(
  (
    ledger: Ledger["Type"],
    turn: TurnIdentity,
    state: TurnState,
    upTo: HeardUpTo,
    ending: EarlyEnding,
    failure: TurnFailure = {},
  ): Effect.Effect<TurnEnd, TurnCancelled | DatabaseError> => {
    const { id, timings } = endedTurn(turn, state)
    const failed = ledger.fail({ id, timings, ...state.consumed, payer: turn.payer, ...failure })
    // A user who interrupts has still said something. A client that left may say it again.
    const hasWords = "playedMs" in upTo && Option.isSome(state.heard)
    const hasReply = isHeard(state, upTo)
    const calls = (round: Round) => callsMade(state, round)
    const hasCalls = roundsOf(state).some((round) => calls(round).length > 0)
    // The client may not know any more what came back, and must not run the tool again.
    const hasResults = state.brought.length > 0
    if (!hasReply && !hasWords && !hasCalls && !hasResults) return uninterruptibleWithTimeout(failed)
    const saved = ledger.save({
      ...endedTurn(turn, state),
      state: ending === "cancelled" ? ending : "interrupted",
      isFailure: ending === "failed",
      code: failure.code,
      items: itemsOf(turn, state, hasReply ? cutMessages(state, upTo) : [], calls),
      speech: Option.none(),
    })
    return uninterruptibleWithTimeout(
      Effect.catchTags(saved, { TurnLost: () => failed, SessionNotFound: () => failed }),
    )
  },
)

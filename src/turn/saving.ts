import { Chunk, Effect, Option } from "effect"
import { type NewItem, newItem } from "../conversation/item.ts"
import type { Ledger } from "../conversation/ledger.ts"
import type { SessionNotFound } from "../conversation/model.ts"
import { type TurnCancelled, type TurnEnd, TurnLost, type TurnSession } from "../conversation/stored-turn.ts"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import type { ItemId } from "../schema.ts"
import type { TurnRequest } from "./request.ts"
import {
  type CalledTool,
  callsMade,
  finalTimings,
  type HeardReply,
  type HeardUpTo,
  heardReply,
  isHeard,
  type TurnState,
  timingsOf,
  transcriptOf,
} from "./state.ts"

/** What identifies a turn's rows. */
export interface TurnIdentity {
  readonly request: TurnRequest
  readonly session: TurnSession
  readonly items: { readonly user: ItemId; readonly assistant: ItemId }
}

const userItem = ({ items }: TurnIdentity, state: TurnState): NewItem => ({
  ...newItem({ type: "message", role: "user", text: transcriptOf(state) }),
  id: items.user,
})

/** The part of the reply that the client heard. None of a reply that is only calls. */
const replyItems = (
  { items }: TurnIdentity,
  { output, reply }: TurnState,
  { text, ms }: HeardReply,
  interrupted: boolean,
): ReadonlyArray<NewItem> => {
  if (reply === "") return []
  const heardMs = output.format === "none" ? null : Math.round(ms)
  const item = newItem({ type: "message", role: "assistant", text }, { interrupted, heardMs })
  return [{ ...item, id: items.assistant }]
}

const callItem = ({ itemId, callId, name, arguments: args }: CalledTool): NewItem => ({
  ...newItem({ type: "tool_call", callId, name, arguments: args }),
  id: itemId,
})

const endedTurn = ({ request, session }: TurnIdentity, state: TurnState) => ({
  id: request.turnId,
  userId: request.userId,
  session,
  transcript: transcriptOf(state),
  response: state.reply,
  timings: timingsOf(state),
  usage: state.usage,
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
        items: [
          userItem(turn, state),
          ...replyItems(turn, state, { text: state.reply, ms: state.audioMs }, false),
          ...state.calls.map(callItem),
        ],
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
 * Saves a turn that was cut short or failed, with the reply up to the last segment that the client heard completely, and
 * the calls that it made. If the client left and got nothing, or the turn's lease ran out, only the usage is saved. Returns how the turn ended:
 * `completed` if the answer to an earlier save was lost, but the save was carried out. May be repeated.
 */
export const saveCutShort = Effect.fn("saveCutShort")(
  (
    ledger: Ledger["Type"],
    turn: TurnIdentity,
    state: TurnState,
    upTo: HeardUpTo,
    ending: "interrupted" | "cancelled",
  ): Effect.Effect<TurnEnd, SessionNotFound | TurnCancelled | DatabaseError> => {
    const { timings, usage } = endedTurn(turn, state)
    const failed = ledger.fail({ id: turn.request.turnId, timings, usage })
    const hasOutput = isHeard(state, upTo)
    // A user who interrupts before the first audio has still said something. A client that left may say it again.
    const isInterrupted = "playedMs" in upTo && Option.isSome(state.heard)
    const calls = callsMade(state).map(callItem)
    if (!hasOutput && !isInterrupted && calls.length === 0) return uninterruptibleWithTimeout(failed)
    const saved = ledger.save({
      ...endedTurn(turn, state),
      state: ending,
      items: [
        userItem(turn, state),
        ...(hasOutput ? replyItems(turn, state, heardReply(state, upTo), true) : []),
        ...calls,
      ],
      speech: Option.none(),
    })
    return uninterruptibleWithTimeout(Effect.catchTag(saved, "TurnLost", () => failed))
  },
)

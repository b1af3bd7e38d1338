import { Chunk, Effect, Option } from "effect"
import { type NewItem, newItem } from "../conversation/item.ts"
import type { Ledger } from "../conversation/ledger.ts"
import type { SessionNotFound } from "../conversation/model.ts"
import { type TurnCancelled, type TurnEnd, TurnLost, type TurnSession } from "../conversation/stored-turn.ts"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import type { ItemId } from "../schema.ts"
import { type HeardReply, type HeardUpTo, heardReply, isHeard } from "./heard-reply.ts"
import type { TurnRequest } from "./request.ts"
import { type CalledTool, callsMade, type TurnState, transcriptOf } from "./state.ts"
import { finalTimings, timingsOf } from "./timings.ts"

/** What identifies a turn's rows. */
export interface TurnIdentity {
  readonly request: TurnRequest
  readonly session: TurnSession
  /** True: nothing of the turn is added to the conversation. */
  readonly isAside: boolean
  readonly items: { readonly user: ItemId; readonly assistant: ItemId }
}

const userItem = ({ items }: TurnIdentity, text: string): NewItem => ({
  ...newItem({ type: "message", role: "user", text }),
  id: items.user,
})

const assistantItem = (
  { items }: TurnIdentity,
  { output }: TurnState,
  { text, ms }: HeardReply,
  interrupted: boolean,
): NewItem => {
  const heardMs = output.format === "none" ? null : Math.round(ms)
  const item = newItem({ type: "message", role: "assistant", text }, { interrupted, heardMs })
  return { ...item, id: items.assistant }
}

const callItem = ({ itemId, callId, name, arguments: args }: CalledTool): NewItem => ({
  ...newItem({ type: "tool_call", callId, name, arguments: args }),
  id: itemId,
})

/**
 * The items that a turn adds: the user's message, if it had one, the part of the reply that the client heard, and the calls.
 * A reply that is only calls has no message.
 */
const itemsOf = (
  turn: TurnIdentity,
  state: TurnState,
  heard: Option.Option<HeardReply>,
  calls: ReadonlyArray<CalledTool>,
  interrupted: boolean,
): ReadonlyArray<NewItem> => {
  if (turn.isAside) return []
  const reply = state.reply === "" ? Option.none() : heard
  return [
    ...Option.toArray(Option.map(state.heard, ({ transcript }) => userItem(turn, transcript))),
    ...Option.toArray(Option.map(reply, (part) => assistantItem(turn, state, part, interrupted))),
    ...calls.map(callItem),
  ]
}

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
        items: itemsOf(
          turn,
          state,
          Option.some({ text: state.reply, ms: state.audioMs }),
          state.calls,
          false,
        ),
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
 * the calls that it made. If the client left and got nothing, the turn's lease ran out, or its session was deleted, only the
 * usage is saved. A reply
 * that the user interrupted is saved even if none of it was heard: see `Turn.truncate`. Returns how the turn ended:
 * `completed` if the answer to an earlier save was lost, but the save was carried out. May be repeated.
 */
export const saveCutShort = Effect.fn("saveCutShort")(
  (
    ledger: Ledger["Type"],
    turn: TurnIdentity,
    state: TurnState,
    upTo: HeardUpTo,
    ending: "interrupted" | "cancelled",
  ): Effect.Effect<TurnEnd, TurnCancelled | DatabaseError> => {
    const { timings, usage } = endedTurn(turn, state)
    const failed = ledger.fail({ id: turn.request.turnId, timings, usage })
    // A user who interrupts has still said something. A client that left may say it again.
    const hasWords = "playedMs" in upTo && Option.isSome(state.heard)
    const hasReply = isHeard(state, upTo)
    const calls = callsMade(state)
    if (!hasReply && !hasWords && calls.length === 0) return uninterruptibleWithTimeout(failed)
    const reply = hasReply ? Option.some(heardReply(state, upTo)) : Option.none()
    const saved = ledger.save({
      ...endedTurn(turn, state),
      state: ending,
      items: itemsOf(turn, state, reply, calls, true),
      speech: Option.none(),
    })
    return uninterruptibleWithTimeout(
      Effect.catchTags(saved, { TurnLost: () => failed, SessionNotFound: () => failed }),
    )
  },
)

import { Effect, Option } from "effect"
import { newItem } from "../conversation/item.ts"
import type { Ledger } from "../conversation/ledger.ts"
import type { SessionNotFound } from "../conversation/model.ts"
import type { EndedTurn, TurnCancelled, TurnSession } from "../conversation/stored-turn.ts"
import { type DatabaseError, DatabaseUnavailable } from "../db/errors.ts"
import { undisturbed } from "../db/postgres.ts"
import type { Timings } from "../schema.ts"
import type { TurnInput } from "./model.ts"
import type { Tally } from "./tally.ts"

/** A turn, and what it came to. */
interface Ending {
  readonly input: TurnInput
  readonly session: TurnSession
  readonly tally: Tally
  readonly timings: Partial<Timings>
}

const endedTurn = (
  { input, session, tally, timings }: Ending,
  state: EndedTurn["state"],
  heard: string,
): Omit<EndedTurn, "speech"> => ({
  state,
  items: [
    newItem({ type: "message", role: "user", text: tally.transcript }),
    newItem({ type: "message", role: "assistant", text: heard }, { interrupted: state !== "completed" }),
  ],
  id: input.turnId,
  userId: input.userId,
  session,
  transcript: tally.transcript,
  response: tally.response,
  timings,
  usage: tally.usage,
  speechFormat: input.listening.format,
})

/**
 * A turn that came to its end: both messages in one transaction, and the session with them where it is new. What was
 * heard whole is saved even where the listener leaves meanwhile. The speech is kept where a retry may ask for it.
 */
export const persist = Effect.fn("persist")(
  (ledger: Ledger["Type"], ending: Ending, speech: Option.Option<Uint8Array>) => {
    const { tally } = ending
    const turn = { ...endedTurn(ending, "completed", tally.response), speech }
    const saved = Effect.tap(ledger.save(turn), () =>
      Effect.sync(() => {
        tally.isSaved = true
      }),
    ).pipe(Effect.catchTag("TurnLost", (cause) => new DatabaseUnavailable({ cause })))
    return tally.isHeard ? undisturbed(saved) : saved
  },
)

/**
 * The end of a turn that was cut short or failed. What was heard of it is saved, up to its last whole sentence; of one
 * that nobody heard, or that is lost, only the cost. May be repeated.
 */
export const settle = Effect.fn("settle")(
  (
    ledger: Ledger["Type"],
    ending: Ending,
    state: "interrupted" | "cancelled",
  ): Effect.Effect<void, SessionNotFound | TurnCancelled | DatabaseError> => {
    const { input, tally, timings } = ending
    if (tally.isSaved) return Effect.void
    const heard = tally.response.slice(0, tally.heardTo).trimEnd()
    const failed = ledger.fail({ id: input.turnId, timings, usage: tally.usage })
    const saved = ledger.save({ ...endedTurn(ending, state, heard), speech: Option.none() })
    return undisturbed(tally.isHeard ? Effect.catchTag(saved, "TurnLost", () => failed) : failed)
  },
)

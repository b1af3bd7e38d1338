import { Effect } from "effect"
import type { Conversation, SaidTurn } from "../sessions/conversation.ts"

/**
 * Both messages in one transaction, and the session with them where it is new. The last stage: what is saved was heard
 * whole, and what fails here is not saved at all.
 */
export const persist = Effect.fn("persist")((conversation: Conversation["Type"], turn: SaidTurn) =>
  conversation.save(turn),
)

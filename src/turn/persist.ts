import { Duration, Effect } from "effect"
import { DatabaseUnavailable } from "../db/errors.ts"
import type { Conversation, SaidTurn } from "../sessions/conversation.ts"

/** Two inserts take milliseconds; a database that needs longer than this is away. */
const timeout = Duration.seconds(10)

/** Both messages in one transaction, and the session with them where it is new. */
export const persist = Effect.fn("persist")((conversation: Conversation["Type"], turn: SaidTurn) =>
  conversation.save(turn).pipe(
    // A transaction that is given up is rolled back, and a database that hangs would be waited for with that as well.
    Effect.disconnect,
    Effect.timeoutFail({
      duration: timeout,
      onTimeout: () =>
        new DatabaseUnavailable({ cause: `not saved within ${Duration.toSeconds(timeout)} s` }),
    }),
  ),
)

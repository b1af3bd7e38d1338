import { Stream } from "effect"
import type { StoredTurn } from "../sessions/stored-turn.ts"
import { type Listening, TurnEvent } from "./model.ts"

/** A saved turn once more, as it would be heard now. */
export const replay = (turn: StoredTurn, { wantsText }: Listening): Stream.Stream<TurnEvent> => {
  const { sessionId, transcript, response, timings, usage } = turn
  return Stream.make(
    TurnEvent.Started({ sessionId, turnId: turn.id, isReplay: true }),
    TurnEvent.Timed({ timings }),
    TurnEvent.Transcript({ text: transcript }),
    ...(wantsText ? [TurnEvent.ReplyDelta({ text: response })] : []),
    ...(turn.speech.length > 0 ? [TurnEvent.Audio({ bytes: turn.speech })] : []),
    TurnEvent.Completed({ transcript, response, timings, usage }),
  )
}

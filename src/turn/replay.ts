import { Effect, Stream } from "effect"
import type { SpokenFormat } from "../audio/speech-joiner.ts"
import type { StoredTurn } from "../conversation/stored-turn.ts"
import type { Overloaded } from "../limits/admission.ts"
import { TurnEvent, type TurnInput } from "./model.ts"

/** A saved turn once more, as it is listened to now. What was not spoken then is not spoken now. */
export const replay = Effect.fn("replay")(function* (
  turn: StoredTurn,
  { listening: { format, wantsText } }: Pick<TurnInput, "listening">,
  reencode: (
    speech: Uint8Array,
    from: SpokenFormat,
    to: SpokenFormat,
  ) => Effect.Effect<Uint8Array, Overloaded>,
) {
  const { sessionId, transcript, response, timings, usage } = turn
  const isSpoken = turn.speechFormat !== "none" && format !== "none"
  const bytes = isSpoken ? yield* reencode(turn.speech, turn.speechFormat, format) : turn.speech
  return Stream.make(
    TurnEvent.Started({ sessionId, turnId: turn.id, isReplay: true }),
    TurnEvent.Timed({ timings }),
    TurnEvent.Transcript({ text: transcript }),
    ...(wantsText ? [TurnEvent.ReplyDelta({ text: response })] : []),
    ...(isSpoken ? [TurnEvent.Audio({ bytes })] : []),
    TurnEvent.Completed({ transcript, response, timings, usage }),
  )
})

import { Clock, type Duration, Effect, Option } from "effect"
import { InvalidAudio } from "../audio/errors.ts"
import { SessionBusy } from "../conversation/stored-turn.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import { Overloaded } from "../limits/admission.ts"
import { timedOut } from "../providers/errors.ts"
import type { Stopwatch } from "./stopwatch.ts"
import type { Tally } from "./tally.ts"

interface Turn {
  readonly watch: Stopwatch
  readonly tally: Tally
}

/** Fails when the time to the first sound is over, as what is at work then or waited for. */
export const deadline = Effect.fnUntraced(function* ({ watch, tally }: Turn, timeout: Duration.Duration) {
  const startedAt = yield* Clock.currentTimeMillis
  yield* Effect.sleep(timeout)
  if (tally.isSounding) return yield* Effect.never
  const atWork = Option.getOrElse(yield* watch.atWork, () => "transcode" as const)
  if (atWork === "llm" || atWork === "tts") return yield* timedOut(atWork, timeout)
  if (tally.transcript !== "") {
    return yield* tally.isFirst
      ? new DatabaseUnavailable({ cause: "the turn's time ran out before its history was read" })
      : new SessionBusy()
  }
  if (atWork === "stt") return yield* timedOut(atWork, timeout)
  // One that waited for its place for longer than it was decoded is not at fault.
  const now = yield* Clock.currentTimeMillis
  const { decodingSince } = tally
  return yield* now - decodingSince > decodingSince - startedAt
    ? new InvalidAudio({ reason: "not decoded within the turn's time", isTooSlow: true })
    : new Overloaded({ reason: "decoding", retryAfter: 1 })
})

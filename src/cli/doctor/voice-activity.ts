import { Effect, Either } from "effect"
import type { Settings } from "../../config.ts"
import { libraryOf } from "../../models/store.ts"
import { findSilero } from "../../vad/silero/engine.ts"
import { type Finding, ok, warning } from "./finding.ts"

/** As `/ready` calls it. */
const check = "vad"
const byLoudness = "Realtime connections take any loud sound for speech"

/** What finds the speech in live audio. */
export const checkVoiceActivity = Effect.fn("doctor.voice_activity")(function* ({
  dataDir,
}: Settings["Type"]) {
  const silero = yield* findSilero(libraryOf(dataDir))
  if (Either.isLeft(silero)) return warning(check, byLoudness, silero.left)
  return yield* Effect.match(silero.right.check, {
    onSuccess: (): Finding => ok(check, `${silero.right.name}, in a process of its own`),
    onFailure: ({ reason }) =>
      warning(check, reason, `Without it ${byLoudness}. Run: ./voice-agent models pull ${silero.right.name}`),
  })
})

import { Duration, Effect, Option } from "effect"
import { InvalidAudio } from "../audio/errors.ts"
import { SessionBusy } from "../conversation/stored-turn.ts"
import { DatabaseUnavailable } from "../db/errors.ts"
import { Overloaded } from "../limits/admission.ts"
import { timedOut } from "../providers/errors.ts"
import type { TurnError } from "./errors.ts"
import type { TurnStage } from "./events.ts"
import type { TurnLog } from "./log.ts"
import type { TurnState } from "./state.ts"

const isRunning = ({ stages }: TurnState, stage: TurnStage) =>
  stages[stage] !== undefined && Option.isNone(stages[stage].endedAt)

/** If the recording waited longer for a slot than it was decoded, the load is at fault and not the recording. */
const decodingOverdue = ({ stages }: TurnState, now: number) => {
  const { decodingSlot, transcode } = stages
  if (transcode === undefined) return new Overloaded({ reason: "decoding", retryAfter: 1 })
  const waited = transcode.startedAt - (decodingSlot?.startedAt ?? transcode.startedAt)
  return now - transcode.startedAt > waited
    ? new InvalidAudio({ reason: "not decoded within the turn's time", isTooSlow: true })
    : new Overloaded({ reason: "decoding", retryAfter: 1 })
}

/** The error of a turn without output at its deadline: that of the stage that runs. */
export const overdue = (state: TurnState, timeout: Duration.Duration, now: number): TurnError => {
  const { stages } = state
  if (isRunning(state, "conversionSlot")) return new Overloaded({ reason: "conversion", retryAfter: 1 })
  if (isRunning(state, "tts")) return timedOut("tts", timeout)
  // Also during the pause before a retry of the round.
  if (stages.llm !== undefined) return timedOut("llm", timeout)
  if (isRunning(state, "stt")) return timedOut("stt", timeout)
  if (stages.validate !== undefined && stages.stt === undefined) return decodingOverdue(state, now)
  // Also if the time ran out while the turn waited for another one with its Idempotency-Key.
  if (stages.turnOrder !== undefined && stages.history === undefined) return new SessionBusy()
  return new DatabaseUnavailable({ cause: "the turn's time ran out before its history was read" })
}

/** How long the turn waited for its tools so far, in ms. */
const toolsMs = (state: TurnState, now: number): number => {
  const { tools } = state.stages
  return state.toolsMs + (tools !== undefined && isRunning(state, "tools") ? now - tools.startedAt : 0)
}

/**
 * What is left of the turn's time, which starts at the end of the upload and stands still while tools run: in ms, negative once
 * it is over.
 */
export const timeLeft = (log: TurnLog, timeout: Duration.Duration): number =>
  log.state().beganAt + Duration.toMillis(timeout) + toolsMs(log.state(), log.now()) - log.now()

/** How often a deadline looks whether tools still run, in ms. */
const lookAgain = 250

/** Fails when the turn has no output at the end of its time; never ends otherwise. */
export const deadline = Effect.fnUntraced(function* (log: TurnLog, timeout: Duration.Duration) {
  yield* Effect.sleep(timeLeft(log, timeout))
  // The time of tools that was waited for after that.
  let waited = 0
  while (isRunning(log.state(), "tools") || log.state().toolsMs > waited) {
    const more = log.state().toolsMs - waited
    waited += more
    yield* Effect.sleep(Math.max(more, lookAgain))
  }
  const state = log.state()
  return yield* Option.isSome(state.firstOutput) ? Effect.never : overdue(state, timeout, log.now())
})

import { Effect, Option, Struct } from "effect"
import { makeSpeechJoiner } from "../audio/speech-joiner.ts"
import type { PriceTable } from "../config/prices.ts"
import type { StoredTurn } from "../conversation/stored-turn.ts"
import { Ffmpeg } from "../ffmpeg/ffmpeg.ts"
import { DecodingSlots } from "../limits/decoding-slots.ts"
import type { Timings } from "../schema.ts"
import type { Bill } from "../usage/bill.ts"
import { Spending } from "../usage/spending.ts"
import { makeTurnLog } from "./log.ts"
import type { TurnRequest } from "./request.ts"

/** The timings of the stages that the turn had. The saved ones have 0 for the others, as for a stage of less than 0.5 ms. */
const timingsHad = ({ timings, speechFormat }: StoredTurn): Partial<Timings> => {
  // A text is not transcribed, which takes a recording longer than that.
  const isText = timings.stt === 0
  const spoken = speechFormat === "none" ? Struct.omit(timings, "ttsTtfb", "firstAudio") : timings
  return isText ? Struct.omit(spoken, "validate", "transcode", "stt") : spoken
}

/** What the turn cost when it ran. */
const billOfStored = ({ costNanos, currency }: StoredTurn, prices: PriceTable): Bill => ({
  models: [],
  nanos: costNanos,
  currency: currency ?? prices.currency,
})

/**
 * Makes the log of a saved turn, in the output that its client requests now. A reply that was not spoken the first time is
 * not spoken now.
 */
export const makeReplay = Effect.gen(function* () {
  const ffmpeg = yield* Ffmpeg
  const slots = yield* DecodingSlots
  const { prices } = yield* Spending

  return Effect.fn("replay")(function* (stored: StoredTurn, { userId, output, uploadMs }: TurnRequest) {
    const { id: turnId, sessionId, transcript, response, calls, speech, speechFormat, usage } = stored
    yield* Effect.annotateLogs(Effect.logInfo("turn.replayed"), { turnId, sessionId })
    const log = yield* makeTurnLog({
      output,
      keepsAudio: !output.streaming,
      uploadMs,
      prices: { ...prices, currency: stored.currency ?? prices.currency },
    })
    log.push({ _tag: "Started", sessionId, turnId, replayOf: Option.some(timingsHad(stored)) })
    if (transcript !== "") log.push({ _tag: "Heard", text: transcript, source: { bytes: 0, type: "replay" } })
    log.push({ _tag: "TextDelta", text: response })
    if (speechFormat !== "none" && output.format !== "none" && speech.length > 0) {
      const bytes =
        speechFormat === output.format
          ? speech
          : yield* slots.withSlot(userId, ffmpeg.reencode(speech, speechFormat, output.format))
      const joiner = makeSpeechJoiner(output.format)
      log.push({ _tag: "Audio", bytes, ms: joiner.push(bytes).ms + joiner.endSegment().ms })
    }
    log.push({ _tag: "SpokenTo", text: response.length, ms: log.state().audioMs })
    const inOrder = calls.toSorted((a, b) => a.sequence - b.sequence)
    for (const { sequence: _, ...call } of inOrder) log.push({ ...call, _tag: "ToolCalled", by: "client" })
    log.push({ _tag: "Used", consumed: { usage, bill: billOfStored(stored, prices) } })
    log.push({ _tag: "Completed" })
    yield* log.end
    return log
  })
})

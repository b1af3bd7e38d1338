import { Effect } from "effect"
import type { Agent } from "../agent/agent.ts"
import { NoSpeechDetected } from "../audio/errors.ts"
import { rejectSilence } from "../audio/silence.ts"
import type { Served } from "../providers/served.ts"
import type { Transcriber } from "../providers/transcriber.ts"
import type { TurnId, UserId } from "../schema.ts"
import { hasWords } from "../text/remarks.ts"
import type { Input } from "./input.ts"
import type { TurnLog } from "./log.ts"

interface Hearing {
  readonly turnId: TurnId
  readonly userId: UserId
  readonly agent: Agent
  readonly log: TurnLog
}

/** The user's words as text. Rejects silence before a provider is paid for it, and a transcript without words after. */
export const hear = Effect.fn("hear")(function* (
  transcriber: Transcriber["Type"],
  input: Input,
  { turnId, userId, agent, log }: Hearing,
) {
  const utterance = yield* input.hear({ userId, agent, log })
  const { source } = utterance
  if (utterance._tag === "Text") return { text: utterance.text, source }
  const { pcm } = utterance
  const { language, model, keyTerms, silenceDbfs } = agent.hearing
  yield* rejectSilence(pcm, silenceDbfs)
  const onRequest = (served: Served) => log.used({ ...served, stage: "stt" }, { audioSeconds: pcm.seconds })
  const { text } = yield* log.stage(
    "stt",
    transcriber.transcribe(pcm, { turnId, model, language, keyTerms, onRequest }),
  )
  return hasWords(text) ? { text, source } : yield* new NoSpeechDetected()
})

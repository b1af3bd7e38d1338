/**
 * The client plans each fault at the provider. A mark in its recording or text tells the scripted upstream which stage
 * fails, and how. So the soak knows for every response whether its failure was planned.
 */
import type { PCGRandom } from "effect/Utils"
import { fail, type Stage, type Step } from "../../../test/support/upstream-steps.ts"

const stages: ReadonlyArray<Stage> = ["stt", "llm", "tts"]

const faults = ["rate limited", "server error", "hangs", "cut off", "HTML", "empty", "slow"] as const

export interface Fault {
  readonly stage: Stage
  readonly how: (typeof faults)[number]
}

/** The mark of a turn is its index here. 0: no fault. */
export const plans: ReadonlyArray<Fault | undefined> = [
  undefined,
  ...stages.flatMap((stage) => faults.map((how): Fault => ({ stage, how }))),
]

/** The duration of a mark's recording in s. Encoders add up to 0.1 s, so the durations are further apart. */
export const secondsOf = (mark: number): number => 1 + mark * 0.2

/** From the size of a 16 kHz mono 16-bit WAV. */
export const markOfWav = (bytes: number): number => Math.round((bytes / 32_000 - 1) / 0.2)

export const markOfText = (text: string): number => Number(/\bmark (\d+)\b/i.exec(text)?.[1] ?? 0)

/** A provider whose speech takes seconds: time to disconnect, or to interrupt it. It never fails. */
export const slowMark = plans.findIndex((plan) => plan?.stage === "tts" && plan.how === "slow")

/** The mark of a Realtime utterance, whose length depends on the detection of speech: the language of its session. */
const marksOfLanguages: Readonly<Record<string, number>> = { en: 0, de: slowMark }

export const markOfSpeech = (language: string | undefined, bytes: number): number =>
  marksOfLanguages[language ?? ""] ?? markOfWav(bytes)

/** The transcript of a turn with this mark. With a tool, the model calls it. */
export const questionOf = (mark: number, tool?: string): string =>
  `With mark ${mark} I ask what there is to see.${tool === undefined ? "" : ` Use ${tool}.`}`

/** The tool that a question asks for. */
export const toolOfText = (text: string): string | undefined => /\bUse (\w+)\./.exec(text)?.[1]

/** Two sentences, each with the mark, because each is a speech request of its own. */
export const replyOf = (mark: number): string =>
  `There is a museum by the river, and mark ${mark} is on its door. It opens at nine, says mark ${mark}, and it is worth the walk.`

const ways: { readonly [how in Fault["how"]]: (random: PCGRandom, stage: Stage) => Step } = {
  "rate limited": () => fail.rateLimited(),
  "server error": () => fail.status(500),
  hangs: (random) => fail.hang(random.integer(2) === 0 ? undefined : { bytes: random.integer(20_000) }),
  "cut off": (random) => fail.cutOff({ bytes: random.integer(20_000) }),
  HTML: () => fail.html(),
  empty: (_, stage) => fail.empty(stage === "tts" ? "audio/mpeg" : "application/json"),
  slow: (_, stage) => (stage === "stt" ? { delayMs: 1500 } : { chunkDelayMs: 60, realTimeFactor: 3 }),
}

/** The share of planned faults that occur: below 1, so that a retry saves some turns. */
const share = 0.75

/** What the upstream does with a request of this mark. */
export const stepOf = (stage: Stage, mark: number, random: PCGRandom): Step => {
  const plan = plans[mark]
  const text = stage === "stt" ? { text: questionOf(mark) } : stage === "llm" ? { text: replyOf(mark) } : {}
  if (plan?.stage !== stage || random.number() > share) return text
  return { ...text, ...ways[plan.how](random, stage) }
}

/** The error codes of a turn with this mark. None for a mark without a fault, or with a slow provider. */
export const plannedCodes = (mark: number): ReadonlyArray<string> => {
  const plan = plans[mark]
  if (plan === undefined || plan.how === "slow") return []
  return plan.how === "rate limited" ? ["RATE_LIMIT_EXCEEDED"] : [`${plan.stage.toUpperCase()}_FAILED`]
}

import { describe, expect, test } from "bun:test"
import { PCGRandom } from "effect/Utils"
import {
  markOfSpeech,
  markOfText,
  markOfWav,
  plannedCodes,
  plans,
  questionOf,
  replyOf,
  secondsOf,
  stepOf,
  toolOfText,
} from "../../../scripts/bench/soak/faults.ts"
import { recordingsOf } from "../../../scripts/bench/soak/inputs.ts"
import { decode } from "../../support/ffmpeg.ts"

const marks = [...plans.keys()]

describe("a mark", () => {
  test("is read from the text and from every sentence", () => {
    for (const mark of marks) {
      expect(markOfText(questionOf(mark))).toBe(mark)
      const sentences = replyOf(mark)
        .split(". ")
        .map((sentence) => markOfText(sentence))
      expect(sentences).toEqual([mark, mark])
    }
    expect(markOfText("What is a bookmark 3?")).toBe(0)
  })

  test("is read from a recording's length in every container", async () => {
    for (const mark of [0, 1, plans.length - 1]) {
      const made = Object.values(await recordingsOf(mark))
      expect(made).toHaveLength(3)
      for (const bytes of made) {
        const { samples } = await decode(bytes, { rate: 16_000, from: "file" })
        expect(markOfWav(44 + samples.length * 2)).toBe(mark)
      }
    }
  })

  test("tolerates encoder padding", () => {
    for (const mark of marks) expect(markOfWav((secondsOf(mark) + 0.09) * 32_000)).toBe(mark)
  })
})

const scenarios = (stage: "stt" | "llm" | "tts", mark: number) => {
  const random = new PCGRandom(1)
  return Array.from({ length: 40 }, () => stepOf(stage, mark, random))
}

const isWell = (step: object) => Object.keys(step).every((name) => name === "text")

test("a Realtime utterance has the mark of its language", () => {
  expect(markOfSpeech("en", 123_456)).toBe(0)
  expect(plans[markOfSpeech("de", 123_456)]).toEqual({ stage: "tts", how: "slow" })
  expect(markOfSpeech(undefined, secondsOf(3) * 32_000)).toBe(3)
})

test("a question names the tool", () => {
  expect(toolOfText(questionOf(0, "open_door"))).toBe("open_door")
  expect(markOfText(questionOf(3, "open_door"))).toBe(3)
  for (const mark of marks) expect(toolOfText(questionOf(mark))).toBeUndefined()
})

describe("a call", () => {
  test("of a turn without a fault succeeds in every stage", () => {
    for (const stage of ["stt", "llm", "tts"] as const) expect(scenarios(stage, 0).every(isWell)).toBe(true)
  })

  test("fails often, and only in its stage", () => {
    for (const [mark, plan] of plans.entries()) {
      if (plan === undefined) continue
      for (const stage of ["stt", "llm", "tts"] as const) {
        const well = scenarios(stage, mark).filter(isWell).length
        if (stage !== plan.stage) expect(well).toBe(40)
        else {
          expect(well).toBeGreaterThan(0)
          expect(well).toBeLessThan(20)
        }
      }
    }
  })
})

test("a turn may fail only with its stage's code", () => {
  const codesOf = (stage: string, how: string) =>
    plannedCodes(plans.findIndex((plan) => plan?.stage === stage && plan.how === how))
  expect(plannedCodes(0)).toEqual([])
  expect(codesOf("llm", "slow")).toEqual([])
  expect(codesOf("llm", "hangs")).toEqual(["LLM_FAILED"])
  expect(codesOf("tts", "cut off")).toEqual(["TTS_FAILED"])
  expect(codesOf("stt", "rate limited")).toEqual(["RATE_LIMIT_EXCEEDED"])
})

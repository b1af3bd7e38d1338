import { describe, expect, test } from "bun:test"
import { Option } from "effect"
import { isBackchannel } from "../../src/realtime/backchannels.ts"
import { type InterruptionSettings, interrupts } from "../../src/realtime/interruption.ts"

const english = Option.some("en")

test("backchannels", () => {
  const yes = [
    "mhm",
    "Mm-hmm.",
    "Uh-huh!",
    "Yeah, right.",
    "Okay.",
    "I see.",
    "mm-hmm, mm-hmm",
    "Got it. Great.",
  ]
  const no = ["", "...", "Stop.", "Yeah, but why?", "No.", "Wait", "I see it", "What?", "right now stop"]
  expect(yes.filter((text) => !isBackchannel(text, english))).toEqual([])
  expect(no.filter((text) => isBackchannel(text, english))).toEqual([])
})

test("of the language, or of any", () => {
  expect(isBackchannel("Ja, genau.", Option.some("de-AT"))).toBe(true)
  expect(isBackchannel("Ja, genau.", english)).toBe(false)
  expect(isBackchannel("ja, genau", Option.none())).toBe(true)
  expect(isBackchannel("D’accord", Option.some("fr"))).toBe(true)
  expect(isBackchannel("はい。", Option.some("ja"))).toBe(true)
  expect(isBackchannel("Ach so.", Option.some("de"))).toBe(true)
  expect(isBackchannel("mhm", Option.some("fi"))).toBe(true)
})

describe("speech during a reply", () => {
  const settings: InterruptionSettings = {
    minMs: 200,
    maxBackchannelMs: 500,
    minWords: 0,
  }
  const judge = (voicedMs: number, transcript?: string, more: Partial<InterruptionSettings> = {}) =>
    interrupts({ ...settings, ...more }, { voicedMs, transcript, language: english })

  test("by its length", () => {
    expect([100, 300, 499, 500].map((ms) => judge(ms))).toEqual([false, false, false, true])
    expect(judge(200, undefined, { maxBackchannelMs: 0 })).toBe(true)
  })

  test("by its words", () => {
    expect(judge(300, "Stop.")).toBe(true)
    expect(judge(300, "Mhm.")).toBe(false)
    expect(judge(300, "")).toBe(false)
    expect(judge(100, "Stop.")).toBe(false)
  })

  test("by their number", () => {
    expect(judge(900, undefined, { minWords: 2 })).toBe(false)
    expect(judge(900, "Stop.", { minWords: 2 })).toBe(false)
    expect(judge(900, "Stop it.", { minWords: 2 })).toBe(true)
  })
})

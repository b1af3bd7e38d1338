import { describe, expect, test } from "bun:test"
import {
  atOnce,
  defaultReply,
  floorMs,
  hosted,
  mp3BytesPerMs,
  sequentialFloorMs,
  sequentialStages,
  speechMs,
} from "../../scripts/bench/latency.ts"
import { answerLlm, answerTts, tokensOf } from "../support/upstream-answers.ts"

/** The latency of the scripted upstream, from the time at which each part is due. */
const question = { model: "gpt", messages: [{ role: "user", content: "Where?" }], stream: true } as const
const request = { model: "tts-1", input: defaultReply, voice: "alloy", response_format: "mp3" } as const
const speech = await answerTts(request, { realTimeFactor: hosted.ttsRealTimeFactor }, 0)
const tokens = answerLlm(question, { text: defaultReply, chunkDelayMs: 1000 / hosted.llmTokensPerSecond })

describe("the floor", () => {
  test("is transcript + first sentence + its first audio", () => {
    // 600 + 350 + 14 tokens after the first at 60 a second + 400.
    expect(floorMs(hosted, defaultReply)).toBeCloseTo(1583.33, 1)
  })

  test("ends with the last token of the first sentence", () => {
    const mark = tokens.parts.find(({ token }) => token === ".")
    const { sttMs, llmFirstTokenMs, ttsFirstByteMs } = hosted
    expect(floorMs(hosted, defaultReply)).toBeCloseTo(
      sttMs + llmFirstTokenMs + (mark?.dueMs ?? Number.NaN) + ttsFirstByteMs,
    )
  })

  test("is 0 for an upstream without latency", () => {
    expect(floorMs(atOnce, defaultReply)).toBe(0)
    expect(sequentialFloorMs(atOnce, defaultReply)).toBe(0)
  })

  test("covers the whole reply if it has no sentence end", () => {
    expect(floorMs({ ...atOnce, llmTokensPerSecond: 10 }, "one two three")).toBe(200)
  })

  test("finds sentence ends in other scripts", () => {
    expect(floorMs({ ...atOnce, llmTokensPerSecond: 10 }, "好。谢谢")).toBe(100)
    expect(floorMs({ ...atOnce, llmTokensPerSecond: 10 }, "Why? Because.")).toBe(100)
  })
})

describe("the sequential floor", () => {
  test("is transcript + whole reply + whole speech", () => {
    const { sttMs, llmMs, ttsMs } = sequentialStages(hosted, defaultReply)
    expect(sttMs).toBe(600)
    expect(llmMs).toBeCloseTo(350 + (tokens.parts.at(-1)?.dueMs ?? Number.NaN))
    // The encoder adds frames: less than two parts, each of 120 ms at 8 times the speed.
    const moreMs = 400 + (speech.parts.at(-1)?.dueMs ?? Number.NaN) - ttsMs
    expect(moreMs).toBeGreaterThanOrEqual(0)
    expect(moreMs).toBeLessThan(30)
    expect(sequentialFloorMs(hosted, defaultReply)).toBe(sttMs + llmMs + ttsMs)
  })

  test("is 4634 ms with the latencies of hosted models", () => {
    expect(sequentialFloorMs(hosted, defaultReply)).toBeCloseTo(600 + 1333.33 + 2701, 1)
  })

  test("depends on the length of the speech", () => {
    const twice = `${defaultReply} ${defaultReply}`
    const [once, more] = [sequentialStages(hosted, defaultReply), sequentialStages(hosted, twice)]
    expect(more.ttsMs - once.ttsMs).toBeCloseTo(speechMs(defaultReply) / hosted.ttsRealTimeFactor, -2)
    expect(more.llmMs - once.llmMs).toBeCloseTo(1000)
  })
})

test("the default reply has three sentences, 60 tokens, and 18.5 s of speech", () => {
  expect(tokensOf(defaultReply)).toHaveLength(60)
  expect(tokensOf(defaultReply).filter((token) => token === ".")).toHaveLength(3)
  expect(speechMs(defaultReply)).toBeCloseTo(18_528)
})

test("the upstream's MP3 has the bit rate of the gap computation", () => {
  const bytes = speech.parts.reduce((sum, part) => sum + part.bytes.length, 0)
  expect(Math.abs(bytes / mp3BytesPerMs - speechMs(defaultReply))).toBeLessThan(100)
})

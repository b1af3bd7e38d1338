import { describe, expect, test } from "bun:test"
import { defaultReply, hosted } from "../../scripts/bench/latency.ts"
import { readOptions } from "../../scripts/bench/options.ts"

describe("the options of the bench", () => {
  test("have defaults that write no files", () => {
    expect(readOptions([])).toEqual({
      clients: [1, 16, 32, 64],
      least: { turns: 20, ms: 6000 },
      warmMs: 90_000,
      latency: hosted,
      reply: defaultReply,
      ffmpeg: undefined,
      write: false,
      engines: false,
      realtime: false,
      start: false,
    })
  })

  test("set each latency separately", () => {
    const { latency } = readOptions([
      "--stt-ms",
      "0",
      "--llm-tokens-per-second=120",
      "--tts-first-byte-ms",
      "90.5",
    ])
    expect(latency).toEqual({ ...hosted, sttMs: 0, llmTokensPerSecond: 120, ttsFirstByteMs: 90.5 })
    const rest = readOptions(["--llm-first-token-ms", "1", "--tts-real-time-factor", "2"]).latency
    expect(rest).toEqual({ ...hosted, llmFirstTokenMs: 1, ttsRealTimeFactor: 2 })
  })

  test("set the load", () => {
    const options = readOptions([
      "--clients",
      "1,8",
      "--turns",
      "3",
      "--seconds",
      "0.5",
      "--write",
      "--reply",
      "Yes.",
      "--ffmpeg",
      "/opt/ffmpeg",
    ])
    expect(options).toMatchObject({
      clients: [1, 8],
      least: { turns: 3, ms: 500 },
      write: true,
      reply: "Yes.",
      ffmpeg: "/opt/ffmpeg",
    })
  })

  for (const [wrong, sentence] of [
    [["--stt-ms", "soon"], "--stt-ms must be a number from 0."],
    [["--stt-ms=-1"], "--stt-ms must be a number from 0."],
    [["--tts-real-time-factor", "0"], "--tts-real-time-factor must be a number from 0.1."],
    [["--clients", "1,,2"], "--clients must be a number from 1."],
    [["--clients", "0"], "--clients must be a number from 1."],
    [["--turns", "1.5"], "--turns must be a whole number."],
    [["--client", "1"], "--client"],
  ] as const) {
    test(`refuse ${wrong.join(" ")}`, () => expect(() => readOptions(wrong)).toThrow(sentence))
  }
})

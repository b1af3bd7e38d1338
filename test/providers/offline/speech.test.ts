import { describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { wordErrorRate } from "../../support/word-error-rate.ts"
import { peakOf, samples, withEngines } from "./engines.ts"

const engines = withEngines({ ffmpegPath: "ffmpeg" })

const heard = new Map<string, Promise<string>>()
const speakAndHear = async (text: string) =>
  engines().hear(await samples(await engines().speak(text), "pcm", 16_000))
/** Each text once: it costs 0.7 s. */
const hearSpoken = (text: string) => {
  const found = heard.get(text) ?? speakAndHear(text)
  heard.set(text, found)
  return found
}

describe("speaking", () => {
  const sentence = "Hello there. I would like to know what time it is in London today."

  test.each(["mp3", "pcm"] as const)("%s is 24 kHz audio of a plausible length", async (format) => {
    const pcm = await samples(await engines().speak(sentence, { format }), format)
    expect(pcm.length / 24_000).toBeWithin(3, 7)
    expect(peakOf(pcm)).toBeGreaterThan(3000)
  })

  test("every voice speaks, and languages by their script", async () => {
    for (const voice of [
      "ash",
      "coral",
      "echo",
      "fable",
      "marin",
      "nova",
      "onyx",
      "sage",
      "shimmer",
      "verse",
    ]) {
      expect((await engines().speak("Hello there.", { voice })).byteLength).toBeGreaterThan(20_000)
    }
    for (const text of [
      "こんにちは、元気ですか。",
      "Добрый день, как дела?",
      "नमस्ते, आप कैसे हैं?",
      "你好，今天天气很好。",
    ]) {
      expect((await engines().speak(text)).byteLength).toBeGreaterThan(40_000)
    }
  })

  test("all voices are about as loud", async () => {
    const loudness = async (text: string, voice: string) => {
      const pcm = await samples(await engines().speak(text, { voice }), "pcm")
      return 10 * Math.log10(pcm.reduce((sum, sample) => sum + sample ** 2, 0) / pcm.length / 32_768 ** 2)
    }
    const levels = [
      await loudness(sentence, "alloy"),
      await loudness(sentence, "onyx"),
      await loudness("Guten Tag. Ich möchte wissen, wie spät es jetzt in London ist.", "alloy"),
      await loudness("Guten Tag. Ich möchte wissen, wie spät es jetzt in London ist.", "onyx"),
    ]
    for (const level of levels) expect(level).toBeWithin(-23, -15)
  })

  test("a text in two languages is spoken in one piece", async () => {
    const pcm = await samples(
      await engines().speak("In Japanese you say it so. こんにちは、元気ですか。 That is all.", {
        format: "mp3",
      }),
      "mp3",
    )
    expect(pcm.length / 24_000).toBeWithin(4, 9)
  })

  test("what cannot be spoken still gives audio", async () => {
    for (const text of ["。", "\u0000", "  "])
      expect((await engines().speak(text)).byteLength).toBeGreaterThan(1000)
  })

  test("text is text: options and markup in it reach no program", async () => {
    const pcm = await engines().speak("--help; $(touch /tmp/never) -w /tmp/never.wav")
    expect(pcm.byteLength).toBeGreaterThan(48_000)
    expect(existsSync("/tmp/never") || existsSync("/tmp/never.wav")).toBe(false)
  })
})

describe("hearing", () => {
  test("understands its own speech, as far as such an engine does", async () => {
    const sentences = [
      "Hello, my name is Robert.",
      "What did I just say?",
      "What is my name?",
      "Thank you very much.",
      "I would like to learn to play the piano.",
      "We are going to the beach tomorrow.",
    ]
    const rates: number[] = []
    for (const said of sentences) rates.push(wordErrorRate(said, await hearSpoken(said)))
    // Measured: 0 on each of these, about 0.3 on sentences at large. The bound leaves room for other builds.
    expect(rates.reduce((sum, rate) => sum + rate, 0) / rates.length).toBeLessThan(0.25)
  }, 120_000)

  test("writes a sentence: a capital, I, and a mark by its opening word", async () => {
    expect(await hearSpoken("What did I just say?")).toMatch(/^[A-Z].*[.?]$/)
  })

  test("hears nothing in silence, in an empty recording and in a quiet room", async () => {
    const hiss = Int16Array.from({ length: 32_000 }, (_, index) => ((index * 7919) % 101) - 50)
    for (const audio of [new Int16Array(32_000), new Int16Array(0), hiss]) {
      expect(await engines().hear(audio)).toBe("")
    }
  })
})

import { describe, expect, test } from "bun:test"
import { hasWords } from "../../src/text/remarks.ts"

describe("no words are in", () => {
  test.each([
    "",
    " ",
    ".",
    "...",
    "…",
    "-",
    "?!",
    "。",
    "👍",
    "♪",
    "♪♪♪",
    "🎵 🎶",
    "[BLANK_AUDIO]",
    " [ Silence ] ",
    "[SILENCE].",
    "[INAUDIBLE]",
    "[Music]",
    "[Applause] [Music]",
    "[Speaker 1]: [inaudible]",
    "[00:01.000 --> 00:03.000] [BLANK_AUDIO]",
    "(silence)",
    "(upbeat music)",
    "(coughs) (door closes)...",
    "*coughs*",
    "**music**",
    "♪ (upbeat music) ♪",
    "♪ la la la ♪",
    "<|nospeech|>",
    "<|en|><|transcribe|>",
    "<unk>",
    "{noise}",
    "((laughs) and [music])",
    "[music [upbeat]]",
    "[音楽]",
    "【音楽】",
    "（笑）",
    "(拍手)",
    "［無音］",
    "(música)",
    "[Musik]",
    "(тишина)",
    "[موسيقى]",
  ])("%p", (transcript) => {
    expect(hasWords(transcript)).toBe(false)
  })
})

describe("words are in", () => {
  test.each([
    "Hello.",
    "no",
    "(laughs) Hello",
    "Hello [laughs]",
    "[Music] Turn it down, please.",
    "*coughs* sorry",
    "42",
    "(42)",
    "*7*",
    "４２",
    "٤٢",
    "४२",
    "½",
    "(555) 123-4567",
    "2 * 3 * 4",
    "3 < 5",
    "♪ listen",
    "(unfinished",
    "はい",
    "「はい」",
    "是。",
    "да",
    "สวัสดี",
    "नमस्ते",
    "مرحبا",
  ])("%p", (transcript) => {
    expect(hasWords(transcript)).toBe(true)
  })
})

test("deep and long brackets end", () => {
  expect(hasWords("[".repeat(2000) + "x".repeat(10) + "]".repeat(2000))).toBe(false)
  expect(hasWords("*".repeat(20_000))).toBe(false)
  expect(hasWords("(".repeat(20_000))).toBe(false)
})

import { expect, test } from "bun:test"
import { manifest } from "../../src/models/manifest.ts"
import { recommended } from "../../src/models/recommend.ts"
import { chooseChatModel, thinksFirst } from "../../src/providers/offline/chat-model.ts"

const names = (cores: number, gigabytes: number, language = "en") =>
  recommended(manifest, {
    language,
    host: { cores, memory: gigabytes * 2 ** 30 },
    roles: ["vad", "stt", "tts", "llm"],
  }).map(({ name }) => name)

test("by cores and memory", () => {
  expect(names(1, 0.5)).toEqual(["silero-vad", "moonshine-tiny-en"])
  expect(names(2, 4)).toEqual(["silero-vad", "moonshine-base-en", "supertonic-3", "qwen2.5-1.5b-instruct"])
  expect(names(8, 16)).toEqual(["silero-vad", "parakeet-tdt-0.6b-v3", "supertonic-3", "qwen3-4b-instruct"])
})

test("memory is a little less than it is sold as", () => {
  expect(names(4, 3.7)).toContain("parakeet-tdt-0.6b-v3")
  expect(names(4, 3.3)).not.toContain("parakeet-tdt-0.6b-v3")
})

test("no detector without a recognizer", () => {
  const english = manifest.filter(({ role, languages }) => role !== "stt" || languages.length === 1)
  const host = { cores: 8, memory: 16e9 }
  const of = (language: string) => recommended(english, { language, host, roles: ["vad", "stt"] })
  expect(of("en").map(({ name }) => name)).toEqual(["silero-vad", "moonshine-base-en"])
  expect(of("de")).toEqual([])
})

test("by language", () => {
  expect(names(8, 16, "de")[1]).toBe("parakeet-tdt-0.6b-v3")
  expect(names(2, 4, "de")[1]).toBe("whisper-base")
  expect(names(8, 16, "ja").slice(1, 3)).toEqual(["whisper-small", "supertonic-3"])
  // No voice knows Thai.
  expect(names(2, 4, "th")).toEqual(["silero-vad", "whisper-base", "qwen2.5-1.5b-instruct"])
})

test("a recommended chat model does not think first, and wins among smaller ones", () => {
  for (const model of manifest) {
    if (model.role !== "llm") continue
    const listed = [
      { name: model.ollama, size: model.size },
      { name: "llama3.2:1b", size: model.size / 2 },
    ]
    expect(thinksFirst(listed, model.ollama)).toBe(false)
    expect(chooseChatModel(listed, "gpt-3.5-turbo")).toBe(model.ollama)
  }
})

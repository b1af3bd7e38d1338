import { expect, test } from "bun:test"
import { ConfigProvider, Effect, Option } from "effect"
import { Settings } from "../../src/config.ts"
import { unpricedModels } from "../../src/usage/unpriced.ts"

const found = (env: Record<string, string>) => {
  const all = new Map(Object.entries({ OPENAI_API_KEY: "sk-test", LLM_MODEL: "brain", ...env }))
  const read = Effect.withConfigProvider(
    Effect.map(Effect.provide(Settings, Settings.layer), unpricedModels),
    ConfigProvider.fromMap(all),
  )
  return Effect.map(read, Option.getOrUndefined)
}
const table = (models: object) => ({ PRICES: JSON.stringify({ models }) })
const tokens = { perMillionInputTokens: 0, perMillionOutputTokens: 0 }
const most = {
  brain: tokens,
  "whisper-1": { perAudioMinute: 1 },
  "tts-1": { perMillionCharacters: 1 },
}
const own = { LLM_FALLBACK_BASE_URL: "http://localhost:1/v1", LLM_FALLBACK_MODEL: "small" }

test.each([
  [{}, undefined],
  [{ MONTHLY_LIMIT: "5" }, "whisper-1 (stt), brain (llm), tts-1 (tts)"],
  [table(most), undefined],
  [{ ...table(most), MONTHLY_LIMIT: "5" }, undefined],
  [table({ brain: tokens }), "whisper-1 (stt), tts-1 (tts)"],
  // A price of another stage is no price.
  [table({ ...most, "tts-1": { perAudioMinute: 1 } }), "tts-1 (tts: no perMillionCharacters)"],
  [
    table({ ...most, brain: { perAudioMinute: 1 } }),
    "brain (llm: no perMillionInputTokens and perMillionOutputTokens)",
  ],
  [table({ ...most, "whisper-1": tokens }), "whisper-1 (stt: no perAudioMinute)"],
  [{ ...table(most), LLM_MODEL: "Brain" }, "Brain (llm: PRICES has brain)"],
  [{ ...table(most), ...own }, "small (llm)"],
  [{ ...table(most), AGENT_LLM_MODELS: "large, brain", AGENT_TTS_MODELS: "hd" }, "large (llm), hd (tts)"],
  [{ MONTHLY_LIMIT: "5", OPENAI_API_KEY: "", OFFLINE_ENGINES: "on", AGENT_LLM_MODELS: "large" }, undefined],
])("models without a price: %j", async (env, models) => {
  expect((await Effect.runPromise(found(env)))?.models).toBe(models)
})

test("what to do is said", async () => {
  const without = await Effect.runPromise(found({ MONTHLY_LIMIT: "5" }))
  expect(without?.hint).toStartWith("Set PRICES. ")
  expect(without?.hint).toEndWith("does not count towards monthly limits.")
  const some = await Effect.runPromise(found(table({ brain: tokens })))
  expect(some?.hint).toStartWith("Add their prices to PRICES. ")
  expect(some?.hint).toEndWith("is unknown.")
})

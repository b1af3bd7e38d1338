import { afterAll, beforeAll, expect, test } from "bun:test"
import { wav16k } from "../../support/audio.ts"
import { startTurns, type TurnService } from "../../support/turns.ts"
import { startUpstream, type Upstream } from "../../support/upstream.ts"

let own: Upstream
let service: TurnService
beforeAll(async () => {
  own = await startUpstream()
  service = await startTurns({
    env: {
      LLM_BASE_URL: own.baseUrl,
      LLM_MODEL: "llama3",
      LLM_MAX_TOKENS: "77",
      LLM_TEMPERATURE: "0.2",
      SYSTEM_PROMPT: "Talk like a pirate.",
      STT_API_KEY: "sk-stt",
      STT_MODEL: "whisper-large",
      STT_LANGUAGE: "de",
      TTS_VOICE: "nova",
      TTS_MODEL: "tts-1-hd",
    },
  })
})
afterAll(async () => {
  await service.stop()
  await own.stop()
})

test("each stage asks its own server, with its own key, as it is set", async () => {
  const answer = await service.converse(await service.register(), new Blob([await wav16k()]))
  expect(answer.status).toBe(200)
  await answer.bytes()

  const [stt] = service.upstream.calls("stt")
  expect(stt?.headers.authorization).toBe("Bearer sk-stt")
  expect(stt?.request.fields).toEqual({
    model: "whisper-large",
    language: "de",
    response_format: "verbose_json",
  })

  expect(service.upstream.calls("llm")).toEqual([])
  const [llm] = own.calls("llm")
  expect(llm?.headers.authorization).not.toContain("sk-test")
  expect(llm?.request).toMatchObject({ model: "llama3", max_tokens: 77, temperature: 0.2 })
  expect(llm?.request.messages[0]).toEqual({ role: "system", content: "Talk like a pirate." })

  const [tts] = service.upstream.calls("tts")
  expect(tts?.headers.authorization).toBe("Bearer sk-test")
  expect(tts?.request).toMatchObject({ model: "tts-1-hd", voice: "nova" })
  expect([...service.upstream.refusals(), ...own.refusals()]).toEqual([])
})

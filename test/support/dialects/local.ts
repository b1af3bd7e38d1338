/** How servers on one's own machines differ from OpenAI. */
import { inOrder, only } from "./hosted.ts"
import type { Asked, Dialect, Said } from "./server.ts"

/** Refuses a conversation that begins with a system message, as chat templates without one do. */
const withoutSystem = (said: Said) => (asked: Asked) => {
  const [first]: ReadonlyArray<unknown> = Array.isArray(asked.fields.messages) ? asked.fields.messages : []
  return JSON.stringify(first)?.includes('"system"') ? said : undefined
}

const llm = "/v1/chat/completions"
const stt = "/v1/audio/transcriptions"
const tts = "/v1/audio/speech"
const models = "/v1/models"

/** By the heading in docs/guides/providers.md. */
export const local: Readonly<Record<string, ReadonlyArray<Dialect>>> = {
  vLLM: [
    {
      hasKeys: false,
      routes: { models, llm, stt },
      models: {
        object: "list",
        data: [{ id: "google/gemma-2-9b-it" }, { id: "openai/whisper-large-v3-turbo" }],
      },
      refuse: inOrder(
        only(
          "llm",
          withoutSystem({
            status: 400,
            body: {
              object: "error",
              message: "System role not supported",
              type: "BadRequestError",
              param: null,
              code: 400,
            },
          }),
        ),
        only("stt", ({ fields }) =>
          fields.response_format === "verbose_json"
            ? {
                status: 400,
                body: {
                  object: "error",
                  message: "Currently only support response_format `text` or `json`",
                  type: "BadRequestError",
                  param: null,
                  code: 400,
                },
              }
            : undefined,
        ),
      ),
    },
  ],
  Ollama: [
    {
      hasKeys: false,
      routes: { models, llm },
      models: { object: "list", data: [{ id: "qwen3:4b-instruct", object: "model", owned_by: "library" }] },
    },
  ],
  "LM Studio": [
    {
      hasKeys: false,
      routes: { models, llm },
      models: { data: [{ id: "gemma-2-9b-it" }], object: "list" },
      refuse: withoutSystem({
        status: 400,
        body: {
          error: "Error rendering prompt with jinja template: Only user and assistant roles are supported!",
        },
      }),
    },
  ],
  "llama.cpp": [
    {
      hasKeys: false,
      routes: { models, llm },
      models: { models: [{ name: "gemma-2-9b-it", model: "gemma-2-9b-it" }], object: "list" },
      refuse: withoutSystem({
        status: 500,
        body: {
          error: { code: 500, message: "Jinja Exception: System role not supported", type: "server_error" },
        },
      }),
    },
  ],
  LocalAI: [
    {
      hasKeys: false,
      routes: { models, stt, llm, tts },
      models: { object: "list", data: [{ id: "gpt-4" }, { id: "whisper-1" }, { id: "tts-1" }] },
    },
  ],
  "Kokoro-FastAPI": [
    {
      hasKeys: false,
      routes: { models, tts },
      models: { object: "list", data: [{ id: "tts-1" }, { id: "tts-1-hd" }, { id: "kokoro" }] },
      refuse: ({ fields }) =>
        fields.voice === "af_heart"
          ? undefined
          : {
              status: 400,
              body: { detail: { error: "validation_error", message: `Voice '${fields.voice}' not found.` } },
            },
    },
  ],
  "whisper.cpp": [{ hasKeys: false, routes: { stt } }],
}

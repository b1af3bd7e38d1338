/** How hosted providers differ from OpenAI: their routes, what they refuse, and in which words. */
import { type Asked, chatEvents, type Dialect, type Said } from "./server.ts"

/** Refuses the field if the request has it. */
const unless = (field: string, say: (value: unknown) => Said) => (asked: Asked) =>
  field in asked.fields ? say(asked.fields[field]) : undefined

/** The first refusal counts. */
export const inOrder =
  (...refusals: ReadonlyArray<(asked: Asked) => Said | undefined>) =>
  (asked: Asked): Said | undefined => {
    for (const refuse of refusals) {
      const said = refuse(asked)
      if (said !== undefined) return said
    }
    return undefined
  }

export const only =
  (stage: Asked["stage"], refuse: (asked: Asked) => Said | undefined) =>
  (asked: Asked): Said | undefined =>
    asked.stage === stage ? refuse(asked) : undefined

const openAiError = (message: string, param: string | null, code: string | null): Said => ({
  status: 400,
  body: { error: { message, type: "invalid_request_error", param, code } },
})

/** gpt-5 and the o-models. */
const reasoning = inOrder(
  unless("max_tokens", () =>
    openAiError(
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      "max_tokens",
      "unsupported_parameter",
    ),
  ),
  ({ fields }) =>
    fields.temperature === undefined || fields.temperature === 1
      ? undefined
      : openAiError(
          `Unsupported value: 'temperature' does not support ${fields.temperature} with this model. Only the default (1) value is supported.`,
          "temperature",
          "unsupported_value",
        ),
)

const v1 = {
  models: "/v1/models",
  stt: "/v1/audio/transcriptions",
  llm: "/v1/chat/completions",
  tts: "/v1/audio/speech",
} as const

const listOf = (...ids: ReadonlyArray<string>) => ({
  object: "list",
  data: ids.map((id) => ({ id, object: "model" })),
})

/** Every field that it does not know is an error, as pydantic words it. */
const extraForbidden = (field: string) =>
  unless(field, (input) => ({
    status: 422,
    body: {
      object: "error",
      message: {
        detail: [
          { type: "extra_forbidden", loc: ["body", field], msg: "Extra inputs are not permitted", input },
        ],
      },
      type: "invalid_request_error",
      param: null,
      code: null,
    },
  }))

const deployments = (name: string) => `/openai/deployments/${name}`

/** By the heading in docs/guides/providers.md. Several blocks below a heading run on the dialects in their order. */
export const hosted: Readonly<Record<string, ReadonlyArray<Dialect>>> = {
  OpenAI: [
    { routes: v1, models: listOf("whisper-1", "gpt-3.5-turbo", "tts-1") },
    {
      routes: v1,
      models: listOf("gpt-4o-mini-transcribe", "gpt-5-mini", "tts-1"),
      refuse: inOrder(
        only("llm", reasoning),
        only("stt", ({ fields }) =>
          fields.response_format === "json"
            ? undefined
            : openAiError(
                `response_format '${fields.response_format}' is not compatible with model 'gpt-4o-mini-transcribe'. Use 'json' or 'text' instead.`,
                "response_format",
                "unsupported_value",
              ),
        ),
      ),
    },
  ],
  "Azure OpenAI": [
    {
      keyHeader: "api-key",
      routes: { models: "/openai/v1/models", llm: "/openai/v1/chat/completions" },
      models: listOf("gpt-5-mini-2025-08-07"),
      refuse: reasoning,
    },
    {
      keyHeader: "api-key",
      query: { "api-version": "2024-10-21" },
      routes: {
        models: "/openai/models",
        stt: `${deployments("whisper")}/audio/transcriptions`,
        llm: `${deployments("gpt-4o-mini")}/chat/completions`,
      },
      models: listOf("gpt-4o-mini-2024-07-18"),
      refuse: unless("stream_options", () =>
        openAiError("Unknown parameter: 'stream_options'.", "stream_options", "unknown_parameter"),
      ),
    },
  ],
  Mistral: [
    {
      routes: { models: v1.models, stt: v1.stt, llm: v1.llm },
      models: listOf("mistral-small-latest", "voxtral-mini-latest"),
      refuse: inOrder(
        only("llm", inOrder(extraForbidden("stream_options"), extraForbidden("max_completion_tokens"))),
        only("stt", extraForbidden("response_format")),
      ),
    },
  ],
  Groq: [
    {
      routes: {
        models: "/openai/v1/models",
        stt: "/openai/v1/audio/transcriptions",
        llm: "/openai/v1/chat/completions",
        tts: "/openai/v1/audio/speech",
      },
      models: listOf("whisper-large-v3-turbo", "llama-3.1-8b-instant", "canopylabs/orpheus-v1-english"),
      refuse: only("tts", ({ fields }) =>
        fields.response_format === "wav"
          ? undefined
          : {
              status: 400,
              body: {
                error: { message: "response_format must be one of [wav]", type: "invalid_request_error" },
              },
            },
      ),
    },
  ],
  Gemini: [
    {
      routes: { models: "/v1beta/openai/models", llm: "/v1beta/openai/chat/completions" },
      models: listOf("models/gemini-2.5-flash"),
      refuse: unless("stream_options", () => {
        const message = 'Invalid JSON payload received. Unknown name "stream_options": Cannot find field.'
        const details = [
          {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            fieldViolations: [{ description: message }],
          },
        ]
        return { status: 400, body: [{ error: { code: 400, message, status: "INVALID_ARGUMENT", details } }] }
      }),
    },
  ],
  OpenRouter: [
    {
      routes: { models: "/api/v1/models", llm: "/api/v1/chat/completions" },
      models: { data: [{ id: "mistralai/mistral-small-3.2-24b-instruct" }] },
      chatEvents: [": OPENROUTER PROCESSING", ": OPENROUTER PROCESSING", ...chatEvents],
    },
  ],
  DeepSeek: [
    {
      routes: { models: "/models", llm: "/chat/completions" },
      models: listOf("deepseek-chat", "deepseek-reasoner"),
    },
  ],
}

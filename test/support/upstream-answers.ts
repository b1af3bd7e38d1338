/** Turns a request and a step into the answer's bytes, in OpenAI's wire format. */
import { bytesPerSecond, encodeSpeech, type Spoken, speechOf } from "./upstream-audio.ts"
import type { LlmRequest, SttRequest, TtsRequest } from "./upstream-requests.ts"
import type { ApiError, Step } from "./upstream-steps.ts"

/** An answer before it is sent: the parts keep their order, one write each. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Chunked if it is streamed, else with a Content-Length. */
  readonly streamed: boolean
  readonly parts: readonly Part[]
  /** What a TTS answer sounds like. */
  readonly spoken?: Spoken
}

export interface Part {
  readonly bytes: Uint8Array
  /** The content token that this part brings. */
  readonly token?: string
  /** When it is due, in ms after the first part. */
  readonly dueMs: number
}

export const DEFAULT_TRANSCRIPT = "Hello, can you hear me?"
export const DEFAULT_REPLY = "Yes, I can hear you. How can I help you today?"

export const answerStt = (request: SttRequest, step: Step): Answer => {
  const text = step.text ?? DEFAULT_TRANSCRIPT
  if (request.responseFormat === "text") return whole("text/plain; charset=utf-8", `${text}\n`)
  const usage = { type: "duration", seconds: 3 }
  if (request.responseFormat === "json") return json(200, { text, usage })
  const segment = {
    id: 0,
    seek: 0,
    start: 0,
    end: 3,
    text,
    tokens: [1, 2, 3],
    temperature: 0,
    avg_logprob: -0.25,
    compression_ratio: 1.1,
    no_speech_prob: step.noSpeechProb ?? 0.01,
  }
  const language = request.language ?? "english"
  return json(200, { task: "transcribe", language, duration: 3, text, segments: [segment], usage })
}

export const answerLlm = (request: LlmRequest, step: Step): Answer => {
  const calls = step.toolCalls ?? []
  const wanted = step.tokens ?? tokensOf(step.text ?? (calls.length > 0 ? "" : DEFAULT_REPLY))
  const tokens = wanted.slice(0, request.max_completion_tokens ?? request.max_tokens)
  const uncut = calls.length > 0 ? "tool_calls" : "stop"
  const finish = step.finishReason ?? (tokens.length < wanted.length ? "length" : uncut)
  const prompt = tokensOf(request.messages.map(({ content }) => content).join("\n")).length
  const usage = {
    prompt_tokens: prompt,
    completion_tokens: tokens.length,
    total_tokens: prompt + tokens.length,
  }
  const common = { id: "chatcmpl-scripted", created: Math.floor(Date.now() / 1000), model: request.model }
  if (request.stream !== true) {
    const content = step.nullContent ? null : tokens.join("")
    const called = calls.map(({ id, ...called }) => ({ id, type: "function", function: called }))
    const message = {
      role: "assistant",
      content,
      refusal: null,
      ...(calls.length > 0 ? { tool_calls: called } : {}),
    }
    const choices = step.noChoices ? [] : [{ index: 0, message, logprobs: null, finish_reason: finish }]
    return json(200, { ...common, object: "chat.completion", choices, usage })
  }

  const withUsage = request.stream_options?.include_usage === true
  const chunk = (choices: readonly unknown[], used: typeof usage | null = null) =>
    event({ ...common, object: "chat.completion.chunk", choices, ...(withUsage ? { usage: used } : {}) })
  const choice = (delta: unknown, finish_reason: string | null = null) =>
    step.noChoices ? [] : [{ index: 0, delta, logprobs: null, finish_reason }]
  const spoken = step.nullContent || step.noChoices ? [] : tokens
  const every = step.chunkDelayMs ?? 0
  const end = Math.max(0, spoken.length - 1) * every
  return {
    status: 200,
    headers: { "content-type": "text/event-stream; charset=utf-8" },
    streamed: true,
    parts: [
      { bytes: chunk(choice({ role: "assistant", content: step.nullContent ? null : "" })), dueMs: 0 },
      ...spoken.map((token, index) => ({
        bytes: chunk(choice({ content: token })),
        token,
        dueMs: index * every,
      })),
      ...calls.flatMap((call, index) =>
        callPieces(call, index).map((piece) => ({
          bytes: chunk(choice({ tool_calls: [piece] })),
          dueMs: end,
        })),
      ),
      { bytes: chunk(choice({}, finish)), dueMs: end },
      ...(withUsage ? [{ bytes: chunk([], usage), dueMs: end }] : []),
      { bytes: bytesOf("data: [DONE]\n\n"), dueMs: end },
    ],
  }
}

/** The name and the id come in the first piece, then the arguments, eight characters at a time. */
const callPieces = ({ id, name, arguments: args }: NonNullable<Step["toolCalls"]>[number], index: number) => [
  { index, id, type: "function", function: { name, arguments: "" } },
  ...(args.match(/.{1,8}/gsu) ?? []).map((piece) => ({ index, function: { arguments: piece } })),
]

/** `index`: the number of the TTS call, which selects its tone. */
export const answerTts = async (request: TtsRequest, step: Step, index: number): Promise<Answer> => {
  const format = request.response_format
  const spoken = speechOf(
    step.seconds === undefined ? { text: request.input } : { seconds: step.seconds },
    index,
  )
  const audio = step.audio ?? (await encodeSpeech(spoken, format))
  const size = step.chunkBytes ?? (step.realTimeFactor === undefined ? 32_768 : bytesPerSecond(format) * 0.12)
  const playing = ((size / bytesPerSecond(format)) * 1000) / (step.realTimeFactor ?? Number.POSITIVE_INFINITY)
  return {
    status: 200,
    headers: { "content-type": format === "mp3" ? "audio/mpeg" : `audio/${format}` },
    streamed: true,
    parts: slices(audio, size, step.chunkDelayMs ?? playing),
    ...(step.audio === undefined ? { spoken } : {}),
  }
}

export const answerRaw = ({
  status = 200,
  contentType = "application/json",
  body,
}: NonNullable<Step["raw"]>) => ({
  ...whole(contentType, body),
  status,
})

export const answerError = ({ status, message, type, code, param }: ApiError): Answer =>
  json(status, {
    error: { message, type: type ?? "invalid_request_error", param: param ?? null, code: code ?? null },
  })

/** The same body in chunks of `size` bytes, without regard to where events or characters end. */
export const rechunk = (answer: Answer, size: number, everyMs: number): Answer => ({
  ...answer,
  parts: slices(Buffer.concat(answer.parts.map(({ bytes }) => bytes)), size, everyMs),
})

export const errorEvent = (message: string) =>
  event({ error: { message, type: "server_error", param: null, code: null } })

/** Words with the space before them, marks, and single ideographs: near enough to a model's own cuts. */
export const tokensOf = (text: string): readonly string[] =>
  text.match(/\s*(?:\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|[\p{L}\p{M}\p{N}']+|\S)|\s+$/gu) ??
  []

const slices = (bytes: Uint8Array, size: number, everyMs: number): readonly Part[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => ({
    bytes: bytes.subarray(index * size, (index + 1) * size),
    dueMs: index * everyMs,
  }))

const bytesOf = (text: string) => new TextEncoder().encode(text)

const event = (data: unknown) => bytesOf(`data: ${JSON.stringify(data)}\n\n`)

const whole = (contentType: string, body: string): Answer => ({
  status: 200,
  headers: { "content-type": contentType },
  streamed: false,
  parts: body === "" ? [] : [{ bytes: bytesOf(body), dueMs: 0 }],
})

const json = (status: number, body: unknown): Answer => ({
  ...whole("application/json", JSON.stringify(body)),
  status,
})

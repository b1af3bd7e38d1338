import { Clock, Effect, Schema, Stream } from "effect"
import { reply } from "./talker.ts"
import { readJson, refuse, sse } from "./wire.ts"

const Part = Schema.Struct({ type: Schema.String, text: Schema.optional(Schema.String) })

const ChatRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  messages: Schema.Array(
    Schema.Struct({
      role: Schema.Literal("system", "developer", "user", "assistant", "tool", "function"),
      content: Schema.optional(Schema.NullOr(Schema.Union(Schema.String, Schema.Array(Part)))),
    }),
  ),
  stream: Schema.optional(Schema.NullOr(Schema.Boolean)),
  stream_options: Schema.optional(
    Schema.NullOr(Schema.Struct({ include_usage: Schema.optional(Schema.Boolean) })),
  ),
})

type Content = (typeof ChatRequest.Type)["messages"][number]["content"]

const textOf = (content: Content): string =>
  typeof content === "string" ? content : (content ?? []).map((part) => part.text ?? "").join(" ")

/** An estimate: English has about four characters to a token. */
const tokens = (characters: number) => Math.ceil(characters / 4)

const usageOf = (prompt: number, completion: number) => ({
  prompt_tokens: tokens(prompt),
  completion_tokens: tokens(completion),
  total_tokens: tokens(prompt) + tokens(completion),
})

/** `POST /v1/chat/completions`, whole or, with `stream`, word by word as server-sent events. */
export const complete = Effect.fn("Chat.complete")(function* (request: Request) {
  const asked = yield* readJson(request, ChatRequest)
  if (asked.messages.length === 0)
    return yield* refuse("Invalid 'messages': empty array.", "messages", "empty_array")
  const messages = asked.messages.map(({ role, content }) => ({ role, content: textOf(content) }))
  const millis = yield* Clock.currentTimeMillis
  const answer = reply(messages, new Date(millis))
  const usage = usageOf(
    messages.reduce((sum, message) => sum + message.content.length, 0),
    answer.length,
  )
  const head = {
    id: `chatcmpl-${crypto.randomUUID()}`,
    created: Math.floor(millis / 1000),
    model: asked.model,
  }
  if (asked.stream !== true) {
    const message = { role: "assistant", content: answer, refusal: null }
    return Response.json({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message, logprobs: null, finish_reason: "stop" }],
      usage,
    })
  }
  const withUsage = asked.stream_options?.include_usage === true
  const chunk = (choices: ReadonlyArray<object>, used: object | null = null) => ({
    ...head,
    object: "chat.completion.chunk",
    choices,
    ...(withUsage ? { usage: used } : {}),
  })
  const delta = (content: object, finish_reason: "stop" | null = null) =>
    chunk([{ index: 0, delta: content, logprobs: null, finish_reason }])
  const events = [
    delta({ role: "assistant", content: "" }),
    ...(answer.match(/\s*\S+/g) ?? []).map((word) => delta({ content: word })),
    delta({}, "stop"),
    ...(withUsage ? [chunk([], usage)] : []),
  ]
  const lines = Stream.fromIterable([...events.map((event) => JSON.stringify(event)), "[DONE]"]).pipe(
    Stream.rechunk(1),
    Stream.map((data) => `data: ${data}\n\n`),
    Stream.encodeText,
  )
  return sse(Stream.toReadableStreamRuntime(lines, yield* Effect.runtime<never>()))
})

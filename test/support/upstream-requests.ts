/** Reads what a client asks of the scripted upstream, as strictly as OpenAI does where a client can get it wrong. */
import { Busboy } from "@fastify/busboy"
import { Either, ParseResult, Schema } from "effect"
import type { Incoming } from "./http-socket.ts"

export interface SttRequest {
  readonly file: { readonly name: string; readonly type: string; readonly bytes: Uint8Array }
  readonly model: string
  readonly language: string | undefined
  readonly responseFormat: "json" | "text" | "verbose_json"
  /** All fields of the form, as sent. */
  readonly fields: Readonly<Record<string, string>>
}

const ToolCall = Schema.Struct({
  id: Schema.NonEmptyString.pipe(Schema.maxLength(40)),
  type: Schema.Literal("function"),
  function: Schema.Struct({ name: Schema.NonEmptyString, arguments: Schema.String }),
})

const ChatMessage = Schema.Struct({
  role: Schema.Literal("system", "developer", "user", "assistant", "tool"),
  content: Schema.String,
  tool_calls: Schema.optional(Schema.NonEmptyArray(ToolCall)),
  tool_call_id: Schema.optional(Schema.String),
})

const ToolDefinition = Schema.Struct({
  type: Schema.Literal("function"),
  function: Schema.Struct({
    name: Schema.String.pipe(Schema.pattern(/^[a-zA-Z0-9_-]{1,64}$/)),
    description: Schema.optional(Schema.String),
    parameters: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  }),
})

const LlmRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  messages: Schema.NonEmptyArray(ChatMessage),
  stream: Schema.optional(Schema.Boolean),
  stream_options: Schema.optional(Schema.Struct({ include_usage: Schema.optional(Schema.Boolean) })),
  max_tokens: Schema.optional(Schema.Positive),
  max_completion_tokens: Schema.optional(Schema.Positive),
  temperature: Schema.optional(Schema.Number.pipe(Schema.between(0, 2))),
  tools: Schema.optional(Schema.NonEmptyArray(ToolDefinition)),
  tool_choice: Schema.optional(
    Schema.Union(
      Schema.Literal("auto", "none", "required"),
      Schema.Struct({
        type: Schema.Literal("function"),
        function: Schema.Struct({ name: Schema.NonEmptyString }),
      }),
    ),
  ),
  parallel_tool_calls: Schema.optional(Schema.Boolean),
})
export type LlmRequest = typeof LlmRequest.Type

const TtsRequest = Schema.Struct({
  model: Schema.NonEmptyString,
  input: Schema.NonEmptyString.pipe(Schema.maxLength(4096)),
  voice: Schema.NonEmptyString,
  response_format: Schema.optionalWith(Schema.Literal("mp3", "wav", "pcm"), {
    default: () => "mp3" as const,
  }),
  speed: Schema.optional(Schema.Number.pipe(Schema.between(0.25, 4))),
})
export type TtsRequest = typeof TtsRequest.Type

/** The client's own mistake: answered with a 4xx and kept in `upstream.refusals()`. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const readJson =
  <A, I>(schema: Schema.Schema<A, I>) =>
  (request: Incoming): A => {
    if (!request.headers["content-type"]?.startsWith("application/json"))
      throw new Refused(400, "JSON expected")
    const decoded = decode(schema, new TextDecoder().decode(request.body))
    if (Either.isRight(decoded)) return decoded.right
    const [issue] = ParseResult.ArrayFormatter.formatErrorSync(decoded.left)
    throw new Refused(400, `${issue?.path.join(".") || "body"}: ${issue?.message}`)
  }

const decode = <A, I>(schema: Schema.Schema<A, I>, text: string) =>
  Schema.decodeUnknownEither(Schema.parseJson(schema))(text)

/** Each call is answered at once, and nothing else is. */
const checkCalls = ({ messages }: LlmRequest) => {
  let open: readonly string[] = []
  for (const { role, tool_calls, tool_call_id } of messages) {
    if (role === "tool") {
      if (tool_call_id === undefined || !open.includes(tool_call_id)) {
        throw new Refused(400, "messages with role 'tool' must be a response to a message with 'tool_calls'.")
      }
      open = open.filter((id) => id !== tool_call_id)
    } else if (open.length > 0) break
    else open = (tool_calls ?? []).map(({ id }) => id)
  }
  if (open.length > 0) {
    throw new Refused(400, `No 'tool' message answers these tool_call_ids: ${open.join(", ")}`)
  }
}

const decodeLlmRequest = readJson(LlmRequest)

export const readLlmRequest = (request: Incoming): LlmRequest => {
  const read = decodeLlmRequest(request)
  checkCalls(read)
  for (const field of ["tool_choice", "parallel_tool_calls"] as const) {
    if (read[field] !== undefined && read.tools === undefined) {
      throw new Refused(400, `'${field}' is only allowed when 'tools' are specified.`)
    }
  }
  return read
}
export const readTtsRequest = readJson(TtsRequest)

/** The real one goes by the file's name as well, never by its type. */
const KNOWN_EXTENSION = /\.(flac|m4a|mp3|mp4|mpeg|mpga|oga|ogg|wav|webm)$/i

export const readSttRequest = async (request: Incoming): Promise<SttRequest> => {
  const { file, fields } = await readForm(request)
  if (file === undefined) throw new Refused(400, "file is required")
  if (!KNOWN_EXTENSION.test(file.name)) throw new Refused(400, `Invalid file format: ${file.name}`)
  if (file.bytes.length === 0)
    throw new Refused(400, "Audio file is too short. Minimum audio length is 0.1 seconds.")
  if (file.bytes.length > 25 * 1024 ** 2)
    throw new Refused(413, "Maximum content size limit (26214400) exceeded")
  if (!fields.model) throw new Refused(400, "you must provide a model parameter")
  const responseFormat = fields.response_format ?? "json"
  if (responseFormat !== "json" && responseFormat !== "text" && responseFormat !== "verbose_json") {
    throw new Refused(400, `response_format ${responseFormat} is not supported here`)
  }
  return { file, model: fields.model, language: fields.language, responseFormat, fields }
}

/** `Response.formData()` forgets the type that a part declares. */
const readForm = (request: Incoming) =>
  new Promise<{ file: SttRequest["file"] | undefined; fields: Record<string, string> }>((resolve, reject) => {
    const refuse = () => reject(new Refused(400, "multipart/form-data expected"))
    const type = request.headers["content-type"]
    if (!type?.startsWith("multipart/form-data")) return refuse()
    let file: SttRequest["file"] | undefined
    const fields: Record<string, string> = {}
    const form = new Busboy({ headers: { "content-type": type } })
    form.on("field", (name, value) => {
      fields[name] = value
    })
    form.on("file", (part, content, name, _, type) => {
      const chunks: Uint8Array[] = []
      content.on("data", (chunk: Uint8Array) => chunks.push(chunk))
      content.on("error", refuse)
      content.on("end", () => {
        if (part === "file") file = { name, type, bytes: Buffer.concat(chunks) }
      })
    })
    form.on("error", refuse)
    form.on("finish", () => resolve({ file, fields }))
    form.end(Buffer.from(request.body))
  })

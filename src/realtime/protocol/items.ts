import { Either, Schema } from "effect"
import { betaShape } from "./beta.ts"
import { invalidRequest, type ProtocolError, unlisted } from "./errors.ts"
import { CallId, ClientItemId, maybe, maybeNull, text } from "./fields.ts"
import { isObject, type JsonObject } from "./json.ts"

const common = {
  id: maybe(ClientItemId),
  object: maybe(Schema.Literal("realtime.item")),
  status: maybe(Schema.Literal("completed", "incomplete", "in_progress")),
}
const InputText = Schema.Struct({ type: Schema.Literal("input_text"), text: Schema.String })
/** `audio` is base64 in the session's input format. With a transcript and no audio, the part counts as text. */
const InputAudio = Schema.Struct({
  type: Schema.Literal("input_audio"),
  audio: maybeNull(Schema.String),
  transcript: maybeNull(Schema.String),
})
const OutputText = Schema.Struct({ type: Schema.Literal("output_text"), text: Schema.String })
/** A client cannot add an assistant's audio; the transcript is what was said. */
const OutputAudio = Schema.Struct({
  type: Schema.Literal("output_audio"),
  audio: maybe(Schema.Null),
  transcript: maybeNull(Schema.String),
})

const parts = <A, I>(part: Schema.Schema<A, I>) => Schema.Array(part).pipe(Schema.maxItems(256))
const message = { ...common, type: Schema.Literal("message") }
const SystemMessage = Schema.Struct({
  ...message,
  role: Schema.Literal("system"),
  content: parts(InputText),
})
const UserMessage = Schema.Struct({
  ...message,
  role: Schema.Literal("user"),
  content: parts(Schema.Union(InputText, InputAudio)),
})
const AssistantMessage = Schema.Struct({
  ...message,
  role: Schema.Literal("assistant"),
  content: parts(Schema.Union(OutputText, OutputAudio)),
})
const FunctionCall = Schema.Struct({
  ...common,
  type: Schema.Literal("function_call"),
  call_id: maybe(CallId),
  name: text(64),
  arguments: Schema.String,
})
const FunctionCallOutput = Schema.Struct({
  ...common,
  type: Schema.Literal("function_call_output"),
  call_id: CallId,
  output: Schema.String,
})
const ItemReference = Schema.Struct({ type: Schema.Literal("item_reference"), id: ClientItemId })

/** An item that a client adds to the conversation. */
export const ClientItem = Schema.Union(
  SystemMessage,
  UserMessage,
  AssistantMessage,
  FunctionCall,
  FunctionCallOutput,
)
export type ClientItem = typeof ClientItem.Type

/** An item of the `input` of `response.create`, which may refer to an item of the conversation. */
export const InputItem = Schema.Union(ClientItem, ItemReference)
export type InputItem = typeof InputItem.Type

const mcpItems: ReadonlyArray<unknown> = [
  "mcp_list_tools",
  "mcp_call",
  "mcp_approval_request",
  "mcp_approval_response",
]

const partFault = (part: unknown, role: unknown, path: string): ProtocolError | undefined => {
  if (!isObject(part)) return undefined
  const { type } = part
  if (type === "input_image") {
    return invalidRequest(
      "unsupported_content_type",
      "Images are not supported: this agent hears and speaks only. Send text or audio.",
      `${path}.type`,
    )
  }
  if (type === "output_audio" && part.audio !== undefined && role === "assistant") {
    return part.audio === null
      ? undefined
      : invalidRequest(
          "unsupported_content_type",
          "An assistant's audio cannot be added. Send the 'transcript' without 'audio'.",
          `${path}.audio`,
        )
  }
  if (type === "text") {
    const name = role === "assistant" ? "output_text" : "input_text"
    return betaShape("text", `Use a content part of type '${name}'.`, `${path}.type`)
  }
  return type === "audio"
    ? betaShape("audio", "Use a content part of type 'output_audio'.", `${path}.type`)
    : undefined
}

const itemTypes: ReadonlyArray<string> = ["message", "function_call", "function_call_output"]
const inputTypes: ReadonlyArray<string> = [...itemTypes, "item_reference"]

/** What is wrong with an item, where that deserves more than the schema can say. */
const itemFault = (
  item: JsonObject,
  path: string,
  types: ReadonlyArray<string>,
): ProtocolError | undefined => {
  const { type, content, role } = item
  if (mcpItems.includes(type)) {
    return invalidRequest(
      "unsupported_item_type",
      "MCP items are not supported. Use function tools.",
      `${path}.type`,
    )
  }
  if (typeof type === "string" && !types.includes(type)) return unlisted(`${path}.type`, type, types)
  if (!Array.isArray(content)) return undefined
  for (const [at, part] of content.entries()) {
    const fault = partFault(part, role, `${path}.content[${at}]`)
    if (fault !== undefined) return fault
  }
  return undefined
}

const check = (types: ReadonlyArray<string>) => (item: unknown, path: string) => {
  const fault = isObject(item) ? itemFault(item, path, types) : undefined
  return fault === undefined ? Either.void : Either.left(fault)
}

/** Fails for an item of a kind that this server does not support, with a sentence that says so. */
export const checkItem: (item: unknown, path: string) => Either.Either<void, ProtocolError> = check(itemTypes)
/** The same for an item of a response's `input`. */
export const checkInputItem: typeof checkItem = check(inputTypes)

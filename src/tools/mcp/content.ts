import { Option, Schema } from "effect"
import { leftOut } from "../http/answer.ts"
import type { ToolAnswer } from "../runnable.ts"

/** A block of a result, with what a model may read of it. */
const Block = Schema.Union(
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({ type: Schema.Literal("image", "audio"), mimeType: Schema.String }),
  Schema.Struct({ type: Schema.Literal("resource_link"), name: Schema.String, uri: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("resource"),
    resource: Schema.Union(
      Schema.Struct({ text: Schema.String }),
      Schema.Struct({ uri: Schema.String, mimeType: Schema.optional(Schema.String) }),
    ),
  }),
)

const decodeBlock = Schema.decodeUnknownOption(Block)

/** What is no text is named, so that the model knows of it. */
const blockText = (block: typeof Block.Type): string => {
  switch (block.type) {
    case "text":
      return block.text
    case "image":
    case "audio":
      return `[${block.type} of type ${block.mimeType}, left out]`
    case "resource_link":
      return `[resource ${block.name}: ${block.uri}]`
    case "resource":
      return "text" in block.resource
        ? block.resource.text
        : `[resource ${block.resource.uri} of type ${block.resource.mimeType ?? "unknown"}, left out]`
  }
}

const textOf = (block: unknown): string =>
  Option.match(decodeBlock(block), {
    onNone: () => "[content of an unknown type, left out]",
    onSome: blockText,
  })

/** Of one result. A tool that answers pages or rows has a few. */
const maxBlocks = 1000

/**
 * What the model reads of a result of `tools/call`, as the server sent it. None if it is no such result. Its blocks are
 * bounded, their length is not. Structured content counts if there is no other: servers repeat it as text.
 */
export const resultText = (result: Readonly<Record<string, unknown>>): Option.Option<ToolAnswer> => {
  const { content, structuredContent } = result
  if (!Array.isArray(content)) return Option.none()
  const isError = result.isError === true
  const rest = content.length > maxBlocks ? [leftOut] : []
  const text = [...content.slice(0, maxBlocks).map(textOf), ...rest].join("\n").trim()
  if (text !== "") return Option.some({ output: text, isError })
  if (structuredContent !== undefined) {
    return Option.some({ output: JSON.stringify(structuredContent), isError })
  }
  return Option.some({
    output: isError ? "The tool failed without a reason." : "The tool succeeded with an empty answer.",
    isError,
  })
}

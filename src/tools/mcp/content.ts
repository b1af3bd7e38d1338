import { leftOut } from "../http/answer.ts"
import type { ToolAnswer } from "../runnable.ts"
import type { McpResult } from "./session.ts"

type Content = McpResult["content"][number]

/** What is no text is named, so that the model knows of it. */
const blockText = (block: Content): string => {
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
    default:
      return "[content of an unknown type, left out]"
  }
}

/** Of one result. A tool that answers pages or rows has a few. */
const maxBlocks = 1000

/** The text of a result. Its blocks are bounded, their length is not. Structured content counts if there is no other: servers repeat it as text. */
export const resultText = ({ content, structured, isError }: McpResult): ToolAnswer => {
  const rest = content.length > maxBlocks ? [leftOut] : []
  const text = [...content.slice(0, maxBlocks).map(blockText), ...rest].join("\n").trim()
  if (text !== "") return { output: text, isError }
  if (structured !== undefined) return { output: JSON.stringify(structured), isError }
  return {
    output: isError ? "The tool failed without a reason." : "The tool succeeded with an empty answer.",
    isError,
  }
}

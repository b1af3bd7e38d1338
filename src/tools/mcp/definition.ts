import { Option, Schema } from "effect"
import { defaultResultBytes, ToolHeaders } from "../http/definition.ts"
import { urlArguments, urlTemplateFault } from "../http/url-template.ts"
import { longestOutput } from "../runnable.ts"

const Url = Schema.String.pipe(
  Schema.maxLength(4096),
  Schema.filter((url) => {
    if (urlArguments(url).length > 0) return "may have no {argument}"
    return Option.getOrUndefined(urlTemplateFault(url))
  }),
)

/** Seconds. Tools of MCP servers often call others. */
const defaultTimeout = 30
const maxTimeout = 120

/** An MCP server: one at a URL (streamable HTTP), or a program that the operator names. Agents embed it. */
export const McpServer = Schema.Struct({
  type: Schema.Literal("mcp"),
  name: Schema.String.pipe(
    Schema.pattern(/^[a-zA-Z0-9_-]{1,24}$/, { message: () => "must have 1 to 24 letters, digits, _ or -" }),
  ).annotations({ description: "Its tools are called `name__tool`." }),
  url: Schema.optionalWith(Url, { exact: true }).annotations({
    description: "A query parameter may be a secret: `token={{secret:NAME}}`.",
  }),
  headers: Schema.optionalWith(ToolHeaders, { exact: true, default: () => ({}) }),
  program: Schema.optionalWith(Schema.NonEmptyString, { exact: true }).annotations({
    description: "A name in the operator's `MCP_STDIO_SERVERS`.",
  }),
  tools: Schema.optionalWith(Schema.Array(Schema.String), { exact: true }).annotations({
    description: "The tools that the model may call, by the server's names. All if absent.",
  }),
  idempotentTools: Schema.optionalWith(Schema.Array(Schema.String), {
    exact: true,
    default: () => [],
  }).annotations({
    description: "Those of its tools that may be called again after their outcome was lost.",
  }),
  timeoutSeconds: Schema.optionalWith(Schema.Number.pipe(Schema.between(0.1, maxTimeout)), {
    exact: true,
    default: () => defaultTimeout,
  }),
  maxResultBytes: Schema.optionalWith(Schema.Int.pipe(Schema.between(1, longestOutput)), {
    exact: true,
    default: () => defaultResultBytes,
  }),
}).pipe(
  Schema.filter(({ url, program }) =>
    (url === undefined) === (program === undefined)
      ? { path: ["url"], message: "is needed, or program in its place; not both" }
      : undefined,
  ),
)
export type McpServer = typeof McpServer.Type

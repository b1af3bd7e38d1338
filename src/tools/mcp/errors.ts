import { Schema } from "effect"
import { explainOutbound, mayHaveArrived, type OutboundError, outboundReason } from "../../outbound/errors.ts"
import type { ToolAnswer } from "../runnable.ts"
import { missingSecret } from "../secrets.ts"

/**
 * `secret`: one is not stored; nothing was sent. `unavailable`: no connection; nothing was sent. `capacity`: too many
 * connections are in use; nothing was sent. `program`: it cannot be started. `outbound`: a request failed, see `outbound`.
 * `status`: the server's answer has this HTTP status. `closed`: the connection ended during the call. `timeout`: no answer in
 * time. `refused`: the server answered with an error. `unexpected`: the server broke the protocol.
 */
const kinds = [
  "secret",
  "capacity",
  "unavailable",
  "program",
  "outbound",
  "status",
  "closed",
  "timeout",
  "refused",
  "unexpected",
] as const

/** A server did not do what it was asked. */
export class McpFailed extends Schema.TaggedError<McpFailed>()("McpFailed", {
  kind: Schema.Literal(...kinds),
  /**
   * The name of the `secret`; the server's words of `refused`; of `status`, the number. For the model only, since they may have
   * anything in them.
   */
  words: Schema.optional(Schema.String),
}) {
  /** Of `outbound`. */
  outbound?: OutboundError
}

export const outboundFailed = (outbound: OutboundError): McpFailed =>
  Object.assign(new McpFailed({ kind: "outbound" }), { outbound })

/** For the model: names no address. */
export const explainMcp = ({ kind, words = "", outbound }: McpFailed): string => {
  switch (kind) {
    case "secret":
      return missingSecret(words)
    case "capacity":
      return "Too many MCP servers are in use at the same time. The call can be made again later."
    case "unavailable":
    case "program":
      return "Its MCP server cannot be used right now."
    case "outbound":
      return outbound === undefined ? "Its MCP server cannot be reached." : explainOutbound(outbound)
    case "status":
      return `Its MCP server answered with status ${words}.`
    case "closed":
      return "The connection to its MCP server ended before the answer did."
    case "timeout":
      return "Its MCP server did not answer in time."
    case "refused":
      return `Its MCP server refused the call: ${words}`
    case "unexpected":
      return "Its MCP server sent something that is not valid MCP."
  }
}

/** For the log: without the server's words. */
export const mcpReason = ({ kind, words = "", outbound }: McpFailed): string => {
  if (kind === "status") return `status ${words}`
  return outbound === undefined ? kind : outboundReason(outbound)
}

/** The call may have been carried out. */
const isOutcomeUnknown = ({ kind, outbound }: McpFailed): boolean =>
  kind === "closed" ||
  kind === "timeout" ||
  kind === "unexpected" ||
  (outbound !== undefined && mayHaveArrived(outbound))

/** A call, or a server that cannot be used at all, for the model. */
export const mcpAnswer = (failure: McpFailed): ToolAnswer => ({
  output: `The tool failed. ${explainMcp(failure)}${isOutcomeUnknown(failure) ? " Whether the call was carried out is unknown." : ""}`,
  isError: true,
})

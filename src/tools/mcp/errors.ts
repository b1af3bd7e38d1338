import { Schema } from "effect"
import {
  explainOutbound,
  explainToOwner,
  mayHaveArrived,
  type OutboundError,
  outboundReason,
} from "../../outbound/errors.ts"
import type { ToolAnswer } from "../runnable.ts"
import { missingSecret, secretToSet } from "../secrets.ts"

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
   * The name of the `secret`; of a `program` that the operator does not have, its name; of `status`, the number; the server's
   * words of `refused`, for the model only, since they may have anything in them.
   */
  words: Schema.optional(Schema.String),
}) {
  /** Of `outbound`. */
  outbound?: OutboundError
  /** Of `unavailable`: why the last try to connect failed. Absent if none has ended yet. */
  reason?: McpFailed
}

export const outboundFailed = (outbound: OutboundError): McpFailed =>
  Object.assign(new McpFailed({ kind: "outbound" }), { outbound })

/** `reason`: of the last try to connect. */
export const unavailable = (reason: McpFailed | undefined): McpFailed =>
  Object.assign(new McpFailed({ kind: "unavailable" }), reason === undefined ? {} : { reason })

/** For the model: names no address. */
const explainMcp = ({ kind, words = "", outbound }: McpFailed): string => {
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

const statusAdvice = (status: string) => {
  if (status === "401" || status === "403") return "Check the headers and the secrets of the tool."
  return status.startsWith("5") ? "Ask the operator of that server." : "Check the URL of the tool."
}

/** For the owner of an agent: why a server cannot be used, and what to do. Names nothing of the operator's network. */
export const explainMcpToOwner = (failure: McpFailed): string => {
  const { kind, words = "", outbound, reason } = failure
  switch (kind) {
    case "secret":
      return secretToSet(words)
    case "unavailable":
      return reason === undefined
        ? "Its MCP server has not answered yet. If it stays so, check its URL or its program."
        : explainMcpToOwner(reason)
    case "program":
      return words === ""
        ? "The program of its MCP server cannot be started. Ask the operator to check MCP_STDIO_SERVERS."
        : `The operator has no MCP server called ${words}. Ask for the names in MCP_STDIO_SERVERS.`
    case "outbound":
      return outbound === undefined
        ? explainMcp(failure)
        : `Its MCP server cannot be used. ${explainToOwner(outbound)}`
    case "status":
      return `${explainMcp(failure)} ${statusAdvice(words)}`
    case "closed":
      return "The connection to its MCP server, or its program, ended before it had answered."
    case "refused":
      // Without the server's words, which may repeat a secret.
      return "Its MCP server refused to open a session, or to list its tools."
    case "unexpected":
      return `${explainMcp(failure)} Check that the URL is that of an MCP server with streamable HTTP.`
    case "capacity":
    case "timeout":
      return explainMcp(failure)
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

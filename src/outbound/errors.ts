import { Schema } from "effect"

/** The URL is refused, whatever its host resolves to. `reason` completes "The URL …". */
export class UrlRefused extends Schema.TaggedError<UrlRefused>()("UrlRefused", { reason: Schema.String }) {}

/** The host resolves to no address that this service calls. It is not named: it would tell of the operator's network. */
export class AddressRefused extends Schema.TaggedError<AddressRefused>()("AddressRefused", {}) {
  /** For the operator's log only. */
  addresses: ReadonlyArray<string> = []
}

/** No address of the host is known. */
export class HostNotFound extends Schema.TaggedError<HostNotFound>()("HostNotFound", {}) {}

/**
 * `connect`: the server cannot be reached. `handshake`: it does not speak TLS, or ends the handshake. `tls`: its
 * certificate is not valid. Nothing was sent in these cases. `cut`: the connection ended before the answer did.
 */
export class ConnectionFailed extends Schema.TaggedError<ConnectionFailed>()("ConnectionFailed", {
  phase: Schema.Literal("connect", "handshake", "tls", "cut"),
}) {}

/** A redirect is not followed. `reason` completes "The server redirects …". */
export class RedirectRefused extends Schema.TaggedError<RedirectRefused>()("RedirectRefused", {
  reason: Schema.String,
}) {}

/** The answer cannot be read. `reason` completes "The answer …". */
export class AnswerUnreadable extends Schema.TaggedError<AnswerUnreadable>()("AnswerUnreadable", {
  reason: Schema.String,
}) {}

/** `connect`: no connection in time; nothing was sent. `answer`: no answer in time. */
export class OutboundTimeout extends Schema.TaggedError<OutboundTimeout>()("OutboundTimeout", {
  phase: Schema.Literal("connect", "answer"),
  seconds: Schema.Number,
}) {}

export type OutboundError =
  | UrlRefused
  | AddressRefused
  | HostNotFound
  | ConnectionFailed
  | RedirectRefused
  | AnswerUnreadable
  | OutboundTimeout

export const isOutboundError = (cause: unknown): cause is OutboundError =>
  [
    UrlRefused,
    AddressRefused,
    HostNotFound,
    ConnectionFailed,
    RedirectRefused,
    AnswerUnreadable,
    OutboundTimeout,
  ].some((error) => cause instanceof error)

/** The request may have arrived, so its effect is unknown. False if it was certainly not sent. */
export const mayHaveArrived = (error: OutboundError): boolean =>
  error._tag === "AnswerUnreadable" ||
  (error._tag === "ConnectionFailed" && error.phase === "cut") ||
  (error._tag === "OutboundTimeout" && error.phase === "answer")

const connectionFailed = {
  connect: "The server cannot be reached.",
  handshake: "The server does not speak TLS at this port, or ended the handshake.",
  tls: "The certificate of the server is not valid: it has expired, names another host, or no trusted authority has signed it.",
  cut: "The connection to the server ended before its answer did.",
} as const

/** For the model and for the owner of a tool. Names no host, no address and nothing that was sent. */
export const explainOutbound = (error: OutboundError): string => {
  switch (error._tag) {
    case "UrlRefused":
      return `The URL ${error.reason}.`
    case "AddressRefused":
      return "The address of the server is not public, so it is not called."
    case "HostNotFound":
      return "The name of the server is unknown."
    case "ConnectionFailed":
      return connectionFailed[error.phase]
    case "RedirectRefused":
      return `The server redirects ${error.reason}.`
    case "AnswerUnreadable":
      return `The answer ${error.reason}.`
    case "OutboundTimeout":
      return error.phase === "connect"
        ? `The server cannot be reached within ${error.seconds} s.`
        : `The server did not answer within ${error.seconds} s.`
  }
}

/** For the owner of a webhook or an MCP server, with what the operator can set. */
export const explainToOwner = (error: OutboundError): string =>
  error._tag === "AddressRefused"
    ? `${explainOutbound(error)} The operator can allow it with OUTBOUND_ALLOWED_NETWORKS, unless OUTBOUND_BLOCKED_NETWORKS has it.`
    : explainOutbound(error)

/** For the operator's log, with what to set. */
export const outboundReason = (error: OutboundError): string => {
  if (error._tag === "AddressRefused") {
    return `AddressRefused ${error.addresses.join(", ")} (see OUTBOUND_ALLOWED_NETWORKS)`
  }
  return "phase" in error ? `${error._tag} ${error.phase}` : error._tag
}

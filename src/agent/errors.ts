import { Schema } from "effect"

/** The agent or its version does not exist, or it belongs to another user; a caller cannot tell which. */
export class AgentNotFound extends Schema.TaggedError<AgentNotFound>()("AgentNotFound", {}) {}

/** The agent of the session was deleted. */
export class AgentDeleted extends Schema.TaggedError<AgentDeleted>()("AgentDeleted", {}) {}

/** The agent has another version than the one that the change is meant for. */
export class AgentChanged extends Schema.TaggedError<AgentChanged>()("AgentChanged", {
  version: Schema.Number,
}) {}

/** The agent of the configuration: the operator changes it. */
export class AgentReadOnly extends Schema.TaggedError<AgentReadOnly>()("AgentReadOnly", {}) {}

/** Another agent of the user has this name. */
export class AgentNameTaken extends Schema.TaggedError<AgentNameTaken>()("AgentNameTaken", {}) {}

export class TooManyAgents extends Schema.TaggedError<TooManyAgents>()("TooManyAgents", {
  max: Schema.Number,
}) {}

/** A field of a definition that this service does not take. */
export class AgentInvalid extends Schema.TaggedError<AgentInvalid>()("AgentInvalid", {
  /** By dotted path. */
  field: Schema.String,
  /** A sentence without its beginning. */
  reason: Schema.String,
}) {}

/** An earlier version of the service took this definition, and this one does not. */
export class AgentOutdated extends Schema.TaggedError<AgentOutdated>()("AgentOutdated", {
  agentId: Schema.String,
  version: Schema.Number,
  /** As of AgentInvalid. */
  field: Schema.String,
  reason: Schema.String,
}) {}

/** A text of an agent needs a value that the metadata of the session does not have. */
export class MetadataMissing extends Schema.TaggedError<MetadataMissing>()("MetadataMissing", {
  name: Schema.String,
  /** The text that has the placeholder. */
  field: Schema.Literal("instructions", "greeting"),
  /** In the metadata. */
  found: Schema.Literal("nothing", "an empty text", "a list", "an object"),
}) {
  /** A sentence for the client. */
  get explanation(): string {
    const subject =
      this.field === "greeting" ? "the greeting of the agent needs" : "the instructions of the agent need"
    const found = this.found === "nothing" ? "" : `, not ${this.found}`
    return `${subject} this value in the metadata of the session: a text, a number, true or false${found}`
  }
}

/** The agent has no greeting to say. */
export class NoGreeting extends Schema.TaggedError<NoGreeting>()("NoGreeting", {}) {}

/** What the agent of a turn can fail with. */
export type AgentUnavailable = AgentNotFound | AgentDeleted | AgentOutdated | MetadataMissing | NoGreeting

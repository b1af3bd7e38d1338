import { Schema } from "effect"

/** What was asked for could not be done: one sentence for a person. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  message: Schema.String,
}) {}

/** All is said already; only the exit code is left to tell. 1: it failed, 2: the command line was not understood. */
export class Ended extends Schema.TaggedError<Ended>()("Ended", { code: Schema.Literal(1, 2) }) {}

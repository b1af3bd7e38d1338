import { Either, Option, ParseResult, Schema } from "effect"
import { AgentDefinition, agentFields } from "./definition.ts"
import { AgentInvalid } from "./errors.ts"
import { type Operator, refusalOf } from "./operator.ts"

const decode = Schema.decodeUnknownEither(AgentDefinition, { onExcessProperty: "error" })
const encode = Schema.encodeSync(AgentDefinition)

/** A definition as it is stored and shown: JSON, with its defaults. */
export type StoredDefinition = typeof AgentDefinition.Encoded

const unexpected = (path: ReadonlyArray<PropertyKey>) =>
  path.length > 1
    ? "is not a field here"
    : `is not a field of an agent; the fields are ${Object.keys(agentFields).join(", ")}`

const faultOf = (error: ParseResult.ParseError): AgentInvalid => {
  const [issue] = ParseResult.ArrayFormatter.formatErrorSync(error)
  const path = issue?.path ?? []
  const reasons = {
    Unexpected: unexpected(path),
    Missing: "is missing",
  } as const
  const tag = issue?._tag
  return new AgentInvalid({
    field: path.length === 0 ? "body" : path.map(String).join("."),
    reason:
      tag === "Unexpected" || tag === "Missing"
        ? reasons[tag]
        : (issue?.message ?? "is not valid").slice(0, 300),
  })
}

/** The definition that a client sent, if it is one and the operator allows it. */
export const readDefinition = (
  input: unknown,
  operator: Operator,
): Either.Either<StoredDefinition, AgentInvalid> =>
  Either.mapLeft(decode(input), faultOf).pipe(
    Either.flatMap((definition) =>
      Option.match(refusalOf(definition, operator), {
        onNone: () => Either.right(encode(definition)),
        onSome: Either.left,
      }),
    ),
  )

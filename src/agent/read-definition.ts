import { Either, Option, ParseResult, Schema } from "effect"
import { faultsOf, jsonSchemaOf, kindsOfAst, literalsOf } from "../decode-issues.ts"
import { AgentDefinition } from "./definition.ts"
import { AgentInvalid } from "./errors.ts"
import { type Operator, refusalOf } from "./operator.ts"
import { placeholderFault } from "./placeholders.ts"

const decode = ParseResult.decodeUnknownEither(AgentDefinition)
const encode = Schema.encodeSync(AgentDefinition)

/** A definition as it is stored and shown: JSON, with its defaults. */
export type StoredDefinition = typeof AgentDefinition.Encoded

type Fault = ReturnType<typeof faultsOf>[number]

const notAField = ({ path, fields }: Fault) =>
  `is not a field ${path.length > 1 ? "here" : "of an agent"}; the fields are ${fields.join(", ")}`

const listed = (values: ReadonlyArray<unknown>) => [...new Set(values)].map(String).join(" or ")

/** The bounds of a value, for those without a sentence of their own. */
const boundsOf = ({ minimum, maximum, maxLength, maxItems, pattern }: Readonly<Record<string, unknown>>) => {
  if (maximum !== undefined) return `must be a number from ${minimum ?? 0} to ${maximum}`
  if (maxLength !== undefined) return `must have at most ${maxLength} characters`
  if (maxItems !== undefined) return `must have at most ${maxItems} items`
  return pattern === undefined ? "is not valid" : `must match ${pattern}`
}

/** `faults`: the field does not fit one of these, which are alternatives. */
const explain = (first: Fault, faults: ReadonlyArray<Fault>): AgentInvalid => {
  const { leaf } = first
  const invalid = (reason: string, more: Fault["path"] = []) => {
    const path = [...first.path, ...more].map(String).join(".")
    return new AgentInvalid({ field: path === "" ? "body" : path, reason })
  }
  if (leaf._tag === "Missing") return invalid("is missing")
  if (leaf._tag === "Unexpected") return invalid(notAField(first))
  if (leaf._tag === "Refinement") {
    const [issue] = ParseResult.ArrayFormatter.formatIssueSync(leaf)
    // Effect's own sentences show types of the code, and all of the value.
    const own = issue === undefined || issue.message.startsWith("Expected ") ? undefined : issue
    return own === undefined ? invalid(boundsOf(jsonSchemaOf(leaf.ast))) : invalid(own.message, own.path)
  }
  const asts = faults.flatMap((each) => (each.leaf._tag === "Type" ? [each.leaf.ast] : []))
  const literals = asts.flatMap(literalsOf)
  return invalid(`must be ${listed(literals.length > 0 ? literals : asts.flatMap(kindsOfAst))}`)
}

const faultOf = (issue: ParseResult.ParseIssue): AgentInvalid => {
  const faults = faultsOf(issue, [])
  const [first] = faults
  return first === undefined
    ? new AgentInvalid({ field: "body", reason: "is not the definition of an agent" })
    : explain(first, faults)
}

const decoded = (
  input: unknown,
  onExcessProperty: "error" | "ignore" = "error",
): Either.Either<AgentDefinition, AgentInvalid> =>
  // Effect makes a string of the discriminator `type` of a tool, which throws for {"toString": null}.
  Either.try(() => decode(input, { onExcessProperty })).pipe(
    Either.mapLeft(
      () => new AgentInvalid({ field: "tools", reason: "must have a string as the type of each" }),
    ),
    Either.flatMap(Either.mapLeft(faultOf)),
  )

/** A definition that was stored. It may have fields that a later version of the service has added. */
export const readStored = (input: unknown): Either.Either<AgentDefinition, AgentInvalid> =>
  decoded(input, "ignore")

/** A definition, with its defaults, if it is one. */
export const parseDefinition = (input: unknown): Either.Either<StoredDefinition, AgentInvalid> =>
  Either.map(decoded(input), (definition) => encode(definition))

/** The first text with braces that begin no placeholder. */
const textFault = (definition: AgentDefinition, stored: Readonly<Record<string, unknown>>) =>
  Option.firstSomeOf(
    (["instructions", "greeting"] as const).map((field) =>
      Option.fromNullable(definition[field]).pipe(
        Option.filter((text) => text !== stored[field]),
        Option.flatMap(placeholderFault),
        Option.map((reason) => new AgentInvalid({ field, reason })),
      ),
    ),
  )

/**
 * The definition that a client sent, if it is one and the operator allows it.
 *
 * @param stored The definition before the change. Its texts may have braces that an earlier version of the service took.
 */
export const readDefinition = (
  input: unknown,
  operator: Operator,
  stored: Readonly<Record<string, unknown>> = {},
): Either.Either<StoredDefinition, AgentInvalid> =>
  Either.flatMap(decoded(input), (definition) =>
    Option.match(
      Option.orElse(textFault(definition, stored), () => refusalOf(definition, operator)),
      {
        onNone: () => Either.right(encode(definition)),
        onSome: Either.left,
      },
    ),
  )

import { SchemaAST as AST, Either, Option, ParseResult, type Schema } from "effect"
import { faultsOf, jsonSchemaOf, kindOf, kindsOfAst, literalsOf, type Path } from "../../decode-issues.ts"
import { invalidRequest, type ProtocolError, unlisted } from "./errors.ts"

/** `["session", "tools", 0]` as `session.tools[0]`. */
const dotted = (path: Path): string =>
  path
    .map((part, at) =>
      typeof part === "number" ? `[${part}]` : at === 0 ? String(part) : `.${String(part)}`,
    )
    .join("")

/** A value in a message, not longer than a line. */
const shown = (value: unknown): string => {
  const text = typeof value === "string" ? value : JSON.stringify(value)
  return text.length > 100 ? `${text.slice(0, 100)}...` : text
}

const wrongType = (param: string, expected: ReadonlyArray<string>, actual: unknown) =>
  invalidRequest(
    "invalid_type",
    `Invalid type for '${param}': expected ${[...new Set(expected)].join(" or ")}, got ${kindOf(actual)}`,
    param,
  )

/** The value has the right type, but is out of range, too long or of another form. */
const wrongValue = (param: string, ast: AST.AST, actual: unknown): ProtocolError => {
  const rule = jsonSchemaOf(ast)
  if (typeof actual === "number") {
    if (rule.type === "integer" && !Number.isInteger(actual)) return wrongType(param, ["integer"], actual)
    const kind = rule.type === "integer" ? "integer" : "decimal"
    const low = Number(rule.minimum ?? Number.NEGATIVE_INFINITY)
    const isLow = actual < low
    const bound = isLow ? low : Number(rule.maximum)
    return invalidRequest(
      `${kind}_${isLow ? "below_min" : "above_max"}_value`,
      `Invalid '${param}': ${kind} ${isLow ? "below minimum" : "above maximum"} value. Expected a value ${isLow ? ">=" : "<="} ${bound}, but got ${actual} instead.`,
      param,
    )
  }
  if (typeof actual === "string" && actual.length > Number(rule.maxLength)) {
    return invalidRequest(
      "string_above_max_length",
      `Invalid '${param}': string too long. Expected a string with maximum length ${rule.maxLength}, but got a string with length ${actual.length} instead.`,
      param,
    )
  }
  if (Array.isArray(actual) && actual.length > Number(rule.maxItems)) {
    return invalidRequest(
      "array_above_max_length",
      `Invalid '${param}': array too long. Expected an array with maximum length ${rule.maxItems}, but got an array with length ${actual.length} instead.`,
      param,
    )
  }
  const expected = Option.getOrElse(AST.getDescriptionAnnotation(ast), () => "another value")
  return invalidRequest(
    "invalid_value",
    `Invalid value for '${param}': ${shown(actual)}. Expected ${expected}.`,
    param,
  )
}

const toProtocolError = (issue: ParseResult.ParseIssue, prefix: Path): ProtocolError => {
  const leaves = faultsOf(issue, prefix)
  const [first] = leaves
  if (first === undefined) return invalidRequest("invalid_value", "Invalid value.")
  const param = dotted(first.path)
  const { leaf } = first
  switch (leaf._tag) {
    case "Missing":
      return invalidRequest("missing_required_parameter", `Missing required parameter: '${param}'.`, param)
    case "Unexpected":
      return invalidRequest("unknown_parameter", `Unknown parameter: '${param}'.`, param)
    case "Refinement":
      return wrongValue(param, leaf.ast, leaf.actual)
    default: {
      const asts = leaves.flatMap((each) => (each.leaf._tag === "Type" ? [each.leaf.ast] : []))
      const literals = asts.flatMap(literalsOf).filter((each) => each !== null)
      const isListed = literals.some((each) => typeof each === typeof leaf.actual)
      return isListed
        ? unlisted(param, shown(leaf.actual), [...new Set(literals)])
        : wrongType(param, asts.flatMap(kindsOfAst), leaf.actual)
    }
  }
}

/**
 * A decoder whose errors name the field at fault by its dotted path, below `prefix`. A field that the schema does not
 * have is refused.
 */
export const makeDecoder = <A, I>(schema: Schema.Schema<A, I>) => {
  const decode = ParseResult.decodeUnknownEither(schema, { onExcessProperty: "error" })
  return (value: unknown, ...prefix: Path): Either.Either<A, ProtocolError> =>
    // Effect makes a string of a discriminator such as `type`, which throws for {"toString": null}.
    Either.try(() => decode(value)).pipe(
      Either.mapLeft(() => wrongType(dotted([...prefix, "type"]), ["string"], {})),
      Either.flatMap(Either.mapLeft((error) => toProtocolError(error, prefix))),
    )
}

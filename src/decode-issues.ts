/** What is wrong with a value that a Schema refuses. */
import { SchemaAST as AST, Option, type ParseResult } from "effect"

export type Path = ReadonlyArray<PropertyKey>
type Leaf = Exclude<ParseResult.ParseIssue, ParseResult.Pointer | ParseResult.Composite>
interface Found {
  readonly path: Path
  readonly leaf: Leaf
  /** The names of all fields of the object that has the field. */
  readonly fields: ReadonlyArray<string>
}

const isMissing = (issue: ParseResult.ParseIssue): boolean =>
  issue._tag === "Missing" ||
  (issue._tag === "Pointer" && isMissing(issue.issue)) ||
  (issue._tag === "Composite" && [issue.issues].flat().every(isMissing))

/**
 * The issues of a union without the missing discriminators of other members: Effect lists those beside the issues of the
 * members that it tried, as issues of a union of those others.
 */
const issuesOf = ({ ast, issues }: ParseResult.Composite): ReadonlyArray<ParseResult.ParseIssue> => {
  const all = [issues].flat()
  if (!AST.isUnion(ast)) return all
  const isOfMember = (issue: ParseResult.ParseIssue) =>
    "ast" in issue && ast.types.some((each) => each === issue.ast)
  return all.some(isOfMember) ? all.filter((each) => isOfMember(each) || !isMissing(each)) : all
}

const fieldsOfAst = (ast: AST.AST): ReadonlyArray<string> =>
  AST.isTypeLiteral(ast) ? ast.propertySignatures.map(({ name }) => String(name)) : []

const leavesOf = (
  issue: ParseResult.ParseIssue,
  path: Path,
  fields: ReadonlyArray<string> = [],
): ReadonlyArray<Found> => {
  switch (issue._tag) {
    case "Pointer":
      return leavesOf(issue.issue, [...path, ...[issue.path].flat()], fields)
    case "Composite":
      return issuesOf(issue).flatMap((each) => leavesOf(each, path, fieldsOfAst(issue.ast)))
    case "Refinement":
      return issue.kind === "From" ? leavesOf(issue.issue, path, fields) : [{ path, leaf: issue, fields }]
    case "Transformation":
      return leavesOf(issue.issue, path, fields)
    default:
      return [{ path, leaf: issue, fields }]
  }
}

/** The values that a literal or a union of literals allows. */
export const literalsOf = (ast: AST.AST): ReadonlyArray<AST.LiteralValue> =>
  AST.isLiteral(ast) ? [ast.literal] : AST.isUnion(ast) ? ast.types.flatMap(literalsOf) : []

export const kindOf = (value: unknown): string => {
  if (value === null) return "null"
  if (Array.isArray(value)) return "array"
  return typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value
}

export const kindsOfAst = (ast: AST.AST): ReadonlyArray<string> => {
  switch (ast._tag) {
    case "StringKeyword":
      return ["string"]
    case "NumberKeyword":
      return ["number"]
    case "BooleanKeyword":
      return ["boolean"]
    case "Literal":
      return [kindOf(ast.literal)]
    case "TupleType":
      return ["array"]
    case "TypeLiteral":
      return ["object"]
    case "Refinement":
    case "Transformation":
      return jsonSchemaOf(ast).type === "integer" ? ["integer"] : kindsOfAst(ast.from)
    case "Union":
      return ast.types.flatMap(kindsOfAst)
    default:
      return ["object"]
  }
}

export const jsonSchemaOf = (ast: AST.AST): Readonly<Record<string, unknown>> =>
  Option.getOrElse(
    Option.map(
      AST.getJSONSchemaAnnotation(ast),
      (found): Readonly<Record<string, unknown>> => ({ ...found }),
    ),
    () => ({}),
  )

/**
 * The leaves of the union member that the client meant: those at the deepest path, since the other members already fail
 * at their discriminator, which is a literal.
 */
const meant = (leaves: ReadonlyArray<Found>): ReadonlyArray<Found> => {
  const deepest = Math.max(...leaves.map(({ path }) => path.length))
  const deep = leaves.filter(({ path }) => path.length === deepest)
  const others = deep.filter(({ leaf }) => leaf._tag !== "Type" || literalsOf(leaf.ast).length === 0)
  const isMoreThanType = others.some(({ leaf }) => leaf._tag !== "Type")
  return isMoreThanType ? others.filter(({ leaf }) => leaf._tag !== "Type") : deep
}

/** What is wrong with the field that the sender meant. The first one has its path, below `prefix`. */
export const faultsOf = (issue: ParseResult.ParseIssue, prefix: Path): ReadonlyArray<Found> =>
  meant(leavesOf(issue, prefix))

/** The first field that the schema does not have, and those that it has beside it. None: the value is wrong otherwise. */
export const unknownFieldOf = (
  issue: ParseResult.ParseIssue,
): Option.Option<{ readonly path: Path; readonly known: ReadonlyArray<string> }> => {
  const find = (
    at: ParseResult.ParseIssue,
    path: Path,
    known: ReadonlyArray<string>,
  ): ReturnType<typeof unknownFieldOf> => {
    switch (at._tag) {
      case "Pointer":
        return find(at.issue, [...path, ...[at.path].flat()], known)
      case "Composite": {
        const fields = AST.isTypeLiteral(at.ast)
          ? at.ast.propertySignatures.map(({ name }) => String(name))
          : []
        return Option.firstSomeOf([at.issues].flat().map((each) => find(each, path, fields)))
      }
      case "Refinement":
      case "Transformation":
        return find(at.issue, path, known)
      case "Unexpected":
        return Option.some({ path, known })
      default:
        return Option.none()
    }
  }
  return find(issue, [], [])
}

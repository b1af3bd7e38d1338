import { type Schema, Validator } from "@cfworker/json-schema"
import { Either, Option, Predicate } from "effect"
import { parseJson } from "../providers/json.ts"
import type { Tool } from "../providers/tools.ts"
import { answers } from "./answers.ts"
import type { ToolAnswer } from "./runnable.ts"

/** Errors of one call that the model is told: it corrects a few, and a wrong list may have thousands. */
const maxProblems = 5

/** Of one error: a message may quote the value. */
const maxProblemLength = 300

const problemsOf = (tool: Tool, value: unknown): ReadonlyArray<string> => {
  const schema: Schema = { type: "object", ...tool.parameters }
  const { errors } = new Validator(schema, "2020-12", true).validate(value)
  return errors
    .map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`.slice(0, maxProblemLength))
    .slice(-maxProblems)
}

/**
 * The arguments that the model wrote, if they are a JSON object that fits the tool's schema; otherwise what the model is told.
 * A schema that cannot be read, such as one with a reference to nothing, checks nothing.
 */
export const readArguments = (
  tool: Tool,
  written: string,
): Either.Either<Readonly<Record<string, unknown>>, ToolAnswer> =>
  Option.match(Option.filter(parseJson(written), Predicate.isRecord), {
    onNone: () => Either.left(answers.notAnObject),
    onSome: (value) => {
      const problems = Either.getOrElse(
        Either.try(() => problemsOf(tool, value)),
        () => [],
      )
      return problems.length === 0 ? Either.right(value) : Either.left(answers.wrongArguments(problems))
    },
  })

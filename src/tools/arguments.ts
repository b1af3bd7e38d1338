import { Either, Option, Predicate } from "effect"
import { parseJson } from "../providers/json.ts"
import type { Tool } from "../providers/tools.ts"
import { answers } from "./answers.ts"
import type { ToolAnswer } from "./runnable.ts"
import { checkSchema } from "./schema/check.ts"

/** Of one error that the model is told. It may quote the schema. */
const maxProblemLength = 300

/**
 * The arguments that the model wrote, if they are a JSON object that fits the tool's schema; otherwise what the model is told.
 * Takes at most about 20 ms of a core, also with a schema that is made to take long. A schema that applies itself to the same
 * value without end checks nothing.
 */
export const readArguments = (
  tool: Tool,
  written: string,
): Either.Either<Readonly<Record<string, unknown>>, ToolAnswer> =>
  Option.match(Option.filter(parseJson(written), Predicate.isRecord), {
    onNone: () => Either.left(answers.notAnObject),
    onSome: (value) => {
      const { problems, isSpent, isEndless } = checkSchema({ type: "object", ...tool.parameters }, value)
      if (isEndless) return Either.right(value)
      if (isSpent) return Either.left(answers.uncheckable)
      return problems.length === 0
        ? Either.right(value)
        : Either.left(answers.wrongArguments(problems.map((problem) => problem.slice(0, maxProblemLength))))
    },
  })

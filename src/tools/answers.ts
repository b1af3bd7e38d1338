import { Duration } from "effect"
import { beginning } from "../text/bounds.ts"
import { toStorable } from "../text/well-formed.ts"
import { longestOutput, type ToolAnswer } from "./runnable.ts"

/** In the place of a result that is not there. The call may have been carried out, so the model must not repeat it blindly. */
export const unknownOutcome = "No result of this call has arrived. Whether it was carried out is unknown."

const failure = (output: string): ToolAnswer => ({ output, isError: true })

/** The texts for the model of calls that the service could not make, or not finish. */
export const answers = {
  unknown: failure(unknownOutcome),
  timedOut: (timeout: Duration.Duration): ToolAnswer =>
    failure(
      `The tool gave no result within ${Duration.toSeconds(timeout)} seconds. Whether the call was carried out is unknown.`,
    ),
  failed: failure("The tool failed. Whether the call was carried out is unknown."),
  /** A tool that does not exist, or not any more. */
  gone: (name: string): ToolAnswer => failure(`There is no tool ${name}. No call was made.`),
  /** `most`: calls of one answer of the model. */
  tooMany: (most: number): ToolAnswer =>
    failure(
      `An answer may have ${most} calls at most. This call was not made. Call again in your next answer if it is needed.`,
    ),
  /** `output`: the client's own words. */
  clientFailed: (output: string): ToolAnswer =>
    failure(output.trim() === "" ? "The tool failed." : `The tool failed: ${output}`),
  notAnObject: failure(
    "The arguments are not a JSON object. No call was made. Call again with a JSON object.",
  ),
  uncheckable: failure(
    "The arguments are too long to check against the tool's schema. No call was made. Call again with shorter arguments.",
  ),
  /** `problems`: what is wrong with the arguments, a sentence each. */
  wrongArguments: (problems: ReadonlyArray<string>): ToolAnswer =>
    failure(`The arguments do not fit the tool's schema. No call was made.\n${problems.join("\n")}`),
}

/** The answer with an output that fits into a prompt, in characters that PostgreSQL and JSON take. */
export const bounded = ({ output, isError }: ToolAnswer): ToolAnswer => {
  const text = toStorable(beginning(output, longestOutput))
  return { output: output.length > longestOutput ? `${text}\n[The rest is cut off.]` : text, isError }
}

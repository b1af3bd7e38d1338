import { Predicate, Schema } from "effect"
import type { GivenResult } from "../conversation/call-results.ts"
import { answers, bounded } from "../tools/answers.ts"
import { maxRoundCalls } from "../turn/calls.ts"

const ToolResult = Schema.Struct({
  callId: Schema.String.annotations({
    message: () => "must be the callId of a tool call",
    description: "The `callId` of the call.",
  }),
  output: Schema.Unknown.pipe(Schema.filter((value) => value !== undefined || "is missing")).annotations({
    description:
      "The result for the model: a text, or any JSON. Of more than 100,000 characters the model gets the beginning.",
  }),
  isError: Schema.optional(
    Schema.Boolean.annotations({
      message: () => "must be true or false",
      description: "True: the tool failed. `output` says how.",
    }),
  ),
}).annotations({ message: () => ({ message: "must be an object", override: false }) })

/** The body of a request that brings the results of tools that the client runs. */
export const ToolResults = Schema.Struct({
  results: Schema.Array(ToolResult)
    .annotations({ message: () => ({ message: "must be a list of results", override: false }) })
    .pipe(
      Schema.filter((results) =>
        results.length >= 1 && results.length <= maxRoundCalls
          ? undefined
          : `must have 1 to ${maxRoundCalls} results`,
      ),
      Schema.filter((results) => {
        const at = results.findIndex(
          ({ callId }, index) => results.findIndex((each) => each.callId === callId) !== index,
        )
        return at < 0 ? undefined : { path: [at, "callId"], message: "has another result in this list" }
      }),
    ),
}).annotations({ message: () => ({ message: "must be an object", override: false }) })

const textOf = (output: unknown): string =>
  Predicate.isString(output) ? output : (JSON.stringify(output) ?? "null")

/** The results as the model reads them, in texts that fit into a prompt. */
export const givenResults = ({ results }: typeof ToolResults.Type): ReadonlyArray<GivenResult> =>
  results.map(({ callId, output, isError = false }) => {
    const answer = isError ? answers.clientFailed(textOf(output)) : { output: textOf(output), isError }
    return { callId, ...bounded(answer) }
  })

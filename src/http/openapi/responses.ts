import { Schema } from "effect"
import type { AppError } from "../errors.ts"
import { components } from "../payloads.ts"
import { defect, type Problem, toProblem } from "../problems.ts"
import { type Examples, rateLimited } from "./failures.ts"
import { type AnswerHeader, headerNamed } from "./headers.ts"
import { type JsonSchema, toJsonSchema } from "./json-schema.ts"
import type { Answer, Content, Operation } from "./operation.ts"

/** Errors of every request with an API key. */
const keyErrors = ["Unauthorized", "InvalidApiKey", "DatabaseUnavailable"] as const
/** Errors of every JSON or form body. */
const bodyErrors = [
  "ValidationFailed",
  "UnsupportedMediaType",
  "UnsupportedContentEncoding",
  "PayloadTooLarge",
  "RequestTimeout",
] as const

/** What a request of the operation has. */
interface RequestParts {
  readonly body: boolean
  readonly query: boolean
}

/** All errors of an operation. */
const problemsOf = (
  { described }: Operation,
  parts: RequestParts,
  examples: Examples,
): ReadonlyArray<Problem> => {
  const { failures = [], isPublic = false, countedAs } = described
  const given = failures.flatMap(
    (each): ReadonlyArray<AppError> => (typeof each === "string" ? examples[each] : [each]),
  )
  const implied = [
    ...(isPublic ? [] : keyErrors),
    ...(parts.body ? bodyErrors : []),
    ...(parts.query ? (["ValidationFailed"] as const) : []),
  ]
  const isGiven = (tag: string) => given.some(({ _tag }) => _tag === tag)
  const all = [
    ...(countedAs === undefined ? [] : [rateLimited[countedAs]]),
    ...[...new Set(implied)]
      .filter((tag) => !isGiven(tag))
      .flatMap((tag): ReadonlyArray<AppError> => examples[tag]),
    ...given,
  ]
  // An operation without a key, a body and a limit cannot fail.
  return all.length === 0 ? [] : [...all.map(toProblem), defect(undefined, "production")]
}

/** An example. */
const requestId = "6f1c0a52-0d0c-4f7b-9a55-3b1f6f1d2c11"

const problemContent = (problems: ReadonlyArray<Problem>) => {
  const codes = [...new Set(problems.map(({ code }) => code))]
  const example = ({ code, message, retryAfter }: Problem) => ({
    error: code,
    message,
    requestId,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
  const named = problems.map((problem, index) => {
    const isFirst = problems.findIndex(({ code }) => code === problem.code) === index
    return [isFirst ? problem.code : `${problem.code}_${index + 1}`, { value: example(problem) }] as const
  })
  return {
    "application/json": {
      schema: {
        allOf: [toJsonSchema(components.Error)],
        type: "object",
        required: ["error"],
        properties: { error: { type: "string", enum: codes } },
      },
      examples: Object.fromEntries(named),
    },
  }
}

const refer = (headers: ReadonlyArray<string>) =>
  Object.fromEntries(headers.map((name) => [name, { $ref: `#/components/headers/${name}` }]))

const contentOf = ({ schema, example }: Content): JsonSchema => ({
  schema: Schema.isSchema(schema) ? toJsonSchema(schema) : schema,
  ...(example === undefined ? {} : { example }),
})

/** A body, by media type. */
export const bodyOf = (content: Readonly<Record<string, Content>>): JsonSchema =>
  Object.fromEntries(Object.entries(content).map(([type, each]) => [type, contentOf(each)]))

/** On every response of an operation with a rate limit, unless the operator disables rate limits. */
const rateHeaders: ReadonlyArray<AnswerHeader> = ["RateLimit-Policy", "RateLimit"]

/** The responses of an operation by status, successes first. */
export const responsesOf = (operation: Operation, parts: RequestParts, examples: Examples): JsonSchema => {
  const { answers, countedAs } = operation.described
  const always = ["X-Request-Id", ...(countedAs === undefined ? [] : rateHeaders)]
  const good = answers.map(({ status, description, headers = [], content }: Answer) => [
    `${status}`,
    {
      description,
      headers: refer([...always, ...headers]),
      ...(content === undefined ? {} : { content: bodyOf(content) }),
    },
  ])
  const byStatus = Map.groupBy(problemsOf(operation, parts, examples), ({ status }) => status)
  const bad = [...byStatus].map(([status, problems]) => {
    const own = problems.flatMap(({ headers = {}, retryAfter }) => [
      ...Object.keys(headers).map(headerNamed),
      ...(retryAfter === undefined ? [] : ["Retry-After"]),
    ])
    const codes = [...new Set(problems.map(({ code }) => `\`${code}\``))]
    return [
      `${status}`,
      {
        description: codes.join(", "),
        headers: refer([...new Set([...always, ...own])]),
        content: problemContent(problems),
      },
    ]
  })
  return Object.fromEntries([...good, ...bad])
}

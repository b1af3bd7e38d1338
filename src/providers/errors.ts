import { Duration, Option, Schema } from "effect"
import { Stage } from "../schema.ts"

/** The provider's Retry-After. None: the provider gave none. */
const retryAfter = Schema.OptionFromSelf(Schema.DurationFromSelf)

/** The provider's own names for an error, for the log. They quote no speech. */
export const ProviderDetails = Schema.Struct({
  code: Schema.optionalWith(Schema.String, { exact: true }),
  type: Schema.optionalWith(Schema.String, { exact: true }),
  /** The field of the request that the provider refused. */
  param: Schema.optionalWith(Schema.String, { exact: true }),
})
export type ProviderDetails = typeof ProviderDetails.Type

const details = Schema.optionalWith(ProviderDetails, { exact: true })

/** The provider's 429. */
export class ProviderRateLimited extends Schema.TaggedError<ProviderRateLimited>()("ProviderRateLimited", {
  stage: Stage,
  retryAfter,
  details,
}) {}

/** The provider's 401 or 403: the key of this server is wrong, not the key of the client. */
export class ProviderRefusedKey extends Schema.TaggedError<ProviderRefusedKey>()("ProviderRefusedKey", {
  stage: Stage,
  details,
}) {}

/** The provider's 400. */
export class ProviderRefusedRequest extends Schema.TaggedError<ProviderRefusedRequest>()(
  "ProviderRefusedRequest",
  {
    stage: Stage,
    /** The provider's own sentence. It may quote the conversation: send it to the client, never log it. */
    message: Schema.String,
    details,
  },
) {}

/**
 * Why an answer is unusable, where another request would fail in the same way.
 *
 * - `declined`: the model or a content filter refused to answer, without a word.
 * - `thinking`, `thinking-time`: the model used up its answer, or LLM_THINKING_TIMEOUT_SECONDS, with thinking.
 * - `tools`: the model called a tool where none was offered, and said nothing.
 * - `unknown-tool`: it called another tool than the one that it had to call. It may be chance, so it gets one more try.
 * - `cut-call`: its tool call was cut off at the limit of tokens.
 * - `no-tools`: the model or its server supports no tools.
 * - `empty`: nothing in it. It may be chance, so it gets one more try.
 * - `endless`: the answer was larger than what is read.
 * - `no-model`, `no-credit`, `refused-field`: the provider's 404, 402 or spent quota, and 422.
 * - `no-recognizer`, `no-voice`: no offline engine on this machine hears, or speaks the text.
 */
export const UnusableKind = Schema.Literal(
  "declined",
  "thinking",
  "thinking-time",
  "tools",
  "unknown-tool",
  "cut-call",
  "no-tools",
  "empty",
  "endless",
  "no-model",
  "no-credit",
  "refused-field",
  "no-recognizer",
  "no-voice",
)
export type UnusableKind = typeof UnusableKind.Type

/** No usable answer: a network error, a time-out, a 5xx, another 4xx, or an answer of the wrong kind. */
export class ProviderUnusable extends Schema.TaggedError<ProviderUnusable>()("ProviderUnusable", {
  stage: Stage,
  /** For the log. */
  reason: Schema.String,
  retryable: Schema.Boolean,
  retryAfter,
  kind: Schema.optionalWith(UnusableKind, { exact: true }),
  /** The server answered with an error, or could not be reached, so that no model has run. Absent: unknown. */
  isUnserved: Schema.optionalWith(Schema.Boolean, { exact: true }),
  details,
}) {}

export type ProviderError =
  | ProviderRateLimited
  | ProviderRefusedKey
  | ProviderRefusedRequest
  | ProviderUnusable

/** The error of a server that refused the request, or could not be reached. */
export const asUnserved = (error: ProviderUnusable) => new ProviderUnusable({ ...error, isUnserved: true })

/** True: the server did not accept the request. False: its model may have run, whatever became of the answer. */
export const isUnserved = (error: ProviderError): boolean =>
  error._tag === "ProviderUnusable" ? error.isUnserved === true : true

/** Whether another try may get a better answer. Default: true. */
export interface MayRetry {
  readonly isRetryable?: boolean
}

/** The answer is not what the request asked for: HTML for audio, cut-off JSON, a stream without its end mark. */
export const wrongAnswer = (stage: Stage, reason: string, { isRetryable = true }: MayRetry = {}) =>
  new ProviderUnusable({ stage, reason, retryable: isRetryable, retryAfter: Option.none() })

export const emptyAnswer = (stage: Stage) =>
  new ProviderUnusable({
    stage,
    kind: "empty",
    reason: "no text in it",
    retryable: true,
    retryAfter: Option.none(),
  })

/** The name is the model's own text, so the log does not have it. */
export const unknownTool = () =>
  new ProviderUnusable({
    stage: "llm",
    kind: "unknown-tool",
    reason: "the model called another tool than the one that it had to call",
    retryable: true,
    retryAfter: Option.none(),
  })

/** The answer is final: another request would get the same. */
export const finalAnswer = (stage: Stage, kind: UnusableKind, reason: string) =>
  new ProviderUnusable({ stage, kind, reason, retryable: false, retryAfter: Option.none() })

export const timedOut = (stage: Stage, after: Duration.Duration, options: MayRetry = {}) =>
  wrongAnswer(stage, `no answer within ${Duration.toSeconds(after)} s`, options)

/** The server gave signs of life until the end, but no text. */
export const stillThinking = (stage: Stage, after: Duration.Duration) =>
  finalAnswer(stage, "thinking-time", `still thinking after ${Duration.toSeconds(after)} s`)

/** The cause of an error, for the log. */
export const reasonOf = (error: ProviderError): string =>
  error._tag === "ProviderUnusable" ? error.reason : error._tag

/** The fields of the provider's own names, for the log. */
export const detailFields = ({
  code,
  type,
  param,
}: ProviderDetails = {}): Readonly<Record<string, string>> => ({
  ...(code === undefined ? {} : { providerCode: code }),
  ...(type === undefined ? {} : { providerType: type }),
  ...(param === undefined ? {} : { providerParam: param }),
})

import { Duration, Effect, Either, Option, Schedule } from "effect"
import {
  explainOutbound,
  mayHaveArrived,
  type OutboundError,
  OutboundTimeout,
  outboundReason,
} from "../../outbound/errors.ts"
import type { Outbound, OutboundAnswer } from "../../outbound/outbound.ts"
import type { OutboundRequest } from "../../outbound/redirect.ts"
import { parseRetryAfter } from "../../outbound/retry-after.ts"
import type { RunnableTool, ToolAnswer, ToolInvocation } from "../runnable.ts"
import { missingSecret, type ReadSecret, readSecrets, removeSecrets } from "../secrets.ts"
import { bodyText, boundText } from "./answer.ts"
import type { HttpTool } from "./definition.ts"
import { toRequest } from "./request.ts"

/**
 * Bytes of an answer that are read, ten times what a tool may pass on: JSON and HTML become shorter as text. An
 * answer may be endless.
 */
const maxReadBytes = 1024 * 1024

/** A later answer would come after the time of most calls. */
const maxRetryAfter = Duration.seconds(5)

const failed = (output: string): ToolAnswer => ({ output, isError: true })

/** A try that may be repeated: its error, or an answer that asks for another one. */
interface Passing {
  readonly last: Either.Either<OutboundAnswer, OutboundError>
  readonly pause: Duration.Duration
}

/** 502 to 504 come from what stands before a server; 429 from one that has too much to do. */
const isPassing = (status: number) => status === 429 || (status >= 502 && status <= 504)

const passingOf = (last: Either.Either<OutboundAnswer, OutboundError>): Option.Option<Passing> =>
  Either.match(last, {
    onLeft: ({ _tag }) =>
      Option.liftPredicate({ last, pause: Duration.zero }, () => _tag === "ConnectionFailed"),
    onRight: ({ status, headers }) => {
      const pause = Option.getOrElse(parseRetryAfter(headers, false), () => Duration.zero)
      return Option.liftPredicate(
        { last, pause },
        () => isPassing(status) && Duration.lessThanOrEqualTo(pause, maxRetryAfter),
      )
    },
  })

/** Two more tries, after 0.2 s and 0.4 s (± 20 %), or after `Retry-After` if that is longer. */
const retryPolicy = Schedule.identity<Passing>().pipe(
  Schedule.intersect(Schedule.exponential("200 millis").pipe(Schedule.jittered)),
  Schedule.modifyDelay(([{ pause }], delay) => Duration.max(pause, delay)),
  Schedule.intersect(Schedule.recurs(2)),
)

/** The last answer of all tries. Only a tool that is marked idempotent has more than one. */
const send = (
  outbound: typeof Outbound.Service,
  { isIdempotent, timeoutSeconds }: HttpTool,
  request: OutboundRequest,
): Effect.Effect<OutboundAnswer, OutboundError> => {
  const timeout = Duration.seconds(timeoutSeconds)
  const once = outbound.request(request, { timeout, maxBytes: maxReadBytes })
  const repeated = Effect.either(once).pipe(
    Effect.flatMap((last) =>
      Option.match(passingOf(last), { onNone: () => Effect.succeed(last), onSome: Effect.fail }),
    ),
    Effect.retry(retryPolicy),
    Effect.catchAll(({ last }) => Effect.succeed(last)),
    Effect.flatten,
  )
  return Effect.timeoutFail(isIdempotent ? repeated : once, {
    duration: timeout,
    onTimeout: () => new OutboundTimeout({ phase: "answer", seconds: timeoutSeconds }),
  })
}

const failure = (error: OutboundError, tool: HttpTool): ToolAnswer =>
  failed(
    `The tool failed. ${explainOutbound(error)}${tool.method !== "GET" && mayHaveArrived(error) ? " Whether the call was carried out is unknown." : ""}`,
  )

/** The text for the model that an answer becomes. `clean` removes the secrets of the tool. */
const success = (
  { status, headers, bytes, isCut }: OutboundAnswer,
  { maxResultBytes }: HttpTool,
  clean: (text: string) => string,
): ToolAnswer => {
  const isError = status < 200 || status > 299
  const contentType = headers.get("content-type") ?? ""
  const outcome = isError
    ? `The tool failed with status ${status}`
    : `The call succeeded with status ${status}`
  if (bytes.length === 0) return { output: `${outcome} and an empty answer.`, isError }
  return Option.match(bodyText({ bytes, contentType }), {
    onNone: () => ({ output: `${outcome}. Its answer is no text, so it cannot be read.`, isError }),
    onSome: (text) => {
      const output = boundText(clean(text), maxResultBytes, isCut)
      return { output: isError ? `${outcome}: ${output}` : output, isError }
    },
  })
}

/** A tool that calls an HTTP server. Its failures are answers that name no secret and no address. */
export const makeHttpTool = (
  definition: HttpTool,
  { outbound, readSecret }: { readonly outbound: typeof Outbound.Service; readonly readSecret: ReadSecret },
): RunnableTool => {
  const run = Effect.fn("HttpTool.run")(function* (invocation: ToolInvocation) {
    const found = yield* readSecrets(definition, readSecret)
    if (Either.isLeft(found)) {
      yield* Effect.annotateLogs(Effect.logWarning("tool.http_failed"), {
        tool: definition.name,
        reason: "secret",
      })
      return failed(missingSecret(found.left))
    }
    const secrets = found.right
    const { arguments: values, idempotencyKey } = invocation
    const request = toRequest(definition, { values, idempotencyKey }, secrets)
    if (Either.isLeft(request)) return failed(request.left)
    return yield* send(outbound, definition, request.right).pipe(
      Effect.map((answer) => success(answer, definition, (text) => removeSecrets(text, secrets.values()))),
      Effect.catchAll((error) =>
        Effect.logWarning("tool.http_failed").pipe(
          Effect.annotateLogs({ tool: definition.name, reason: outboundReason(error) }),
          Effect.as(failure(error, definition)),
        ),
      ),
    )
  })
  return {
    tool: {
      name: definition.name,
      description: Option.fromNullable(definition.description),
      parameters: definition.parameters,
    },
    kind: "http",
    isIdempotent: definition.isIdempotent,
    timeout: Duration.seconds(definition.timeoutSeconds),
    run,
  }
}

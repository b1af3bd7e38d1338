import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Cause, Effect, Exit, Layer, Option, Redacted, Tracer } from "effect"
import { Settings } from "./config.ts"
import { stackOf } from "./telemetry.ts"

/** Reduces an error to its name and stack, as in the log: its message and fields may contain transcripts. */
const redact = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> => {
  if (Cause.isInterruptedOnly(cause)) return cause
  const error = Cause.squash(cause)
  const [name = "Error"] = stackOf(error).split(/[:\n]/)
  return Cause.fail(Object.assign(new Error(name), { name, stack: stackOf(error) }))
}

/** Redacts the errors of the tracer's spans. */
const redactErrors = (tracer: Tracer.Tracer) =>
  Tracer.make({
    context: tracer.context,
    span: (...begin) => {
      const span = tracer.span(...begin)
      const end = span.end.bind(span)
      return Object.assign(span, {
        end: (endTime: bigint, exit: Exit.Exit<unknown, unknown>) =>
          end(endTime, Exit.isFailure(exit) ? Exit.failCause(redact(exit.cause)) : exit),
      })
    },
  })

/**
 * Sends traces and metrics to the OpenTelemetry collector of OTEL_EXPORTER_OTLP_ENDPOINT, by OTLP over HTTP. The rest is
 * sent when the scope closes, for up to a second. After a failure, the next attempt is a minute later. The log is not
 * sent: collectors read it from the console.
 */
export const layer = Layer.unwrapScoped(
  Effect.map(Settings, ({ otlp: { endpoint, headers, serviceName } }) =>
    Option.match(endpoint, {
      onNone: () => Layer.empty,
      onSome: (baseUrl) => {
        const to = (path: string) => ({
          url: `${baseUrl}/v1/${path}`,
          headers: Redacted.value(headers),
          resource: { serviceName },
          shutdownTimeout: "1 second" as const,
        })
        const traces = Layer.unwrapScoped(
          Effect.map(OtlpTracer.make(to("traces")), (tracer) => Layer.setTracer(redactErrors(tracer))),
        )
        return Layer.merge(traces, OtlpMetrics.layer(to("metrics"))).pipe(
          Layer.provide(OtlpSerialization.layerJson),
          Layer.provide(FetchHttpClient.layer),
        )
      },
    }),
  ),
)

import * as OtlpMetrics from "@effect/opentelemetry/OtlpMetrics"
import * as OtlpSerialization from "@effect/opentelemetry/OtlpSerialization"
import * as OtlpTracer from "@effect/opentelemetry/OtlpTracer"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import { Cause, Effect, Exit, Layer, Option, Redacted, Tracer } from "effect"
import { Settings } from "./config.ts"
import { stackOf } from "./telemetry.ts"

/** An error as the log has it: its name and where it happened. Its message and fields may hold what people said. */
const discreet = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> => {
  if (Cause.isInterruptedOnly(cause)) return cause
  const error = Cause.squash(cause)
  const [name = "Error"] = stackOf(error).split(/[:\n]/)
  const shown = new Error(name)
  return Cause.fail(Object.assign(shown, { name, stack: stackOf(error) }))
}

/** As the library's, but for how its spans say that they failed. */
const withoutSecrets = (tracer: Tracer.Tracer) =>
  Tracer.make({
    context: tracer.context,
    span: (...begin) => {
      const span = tracer.span(...begin)
      const end = span.end.bind(span)
      return Object.assign(span, {
        end: (endTime: bigint, exit: Exit.Exit<unknown, unknown>) =>
          end(endTime, Exit.isFailure(exit) ? Exit.failCause(discreet(exit.cause)) : exit),
      })
    },
  })

/**
 * Traces and metrics to an OpenTelemetry collector, by OTLP over HTTP, where OTEL_EXPORTER_OTLP_ENDPOINT names one; what
 * is not sent yet is sent when the scope closes, for up to a second. One that is away is tried again after a minute. The
 * log is not sent: it is on the console, where a collector reads it.
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
          Effect.map(OtlpTracer.make(to("traces")), (tracer) => Layer.setTracer(withoutSecrets(tracer))),
        )
        return Layer.merge(traces, OtlpMetrics.layer(to("metrics"))).pipe(
          Layer.provide(OtlpSerialization.layerJson),
          Layer.provide(FetchHttpClient.layer),
        )
      },
    }),
  ),
)

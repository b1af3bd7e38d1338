import * as Metrics from "@effect/opentelemetry/Metrics"
import * as Resource from "@effect/opentelemetry/Resource"
import { PrometheusExporter, PrometheusSerializer } from "@opentelemetry/exporter-prometheus"
import { Effect, Layer, Schema } from "effect"
import { Settings } from "./config.ts"

/** The port of the metrics could not be opened. */
export class MetricsNotServed extends Schema.TaggedError<MetricsNotServed>()("MetricsNotServed", {
  message: Schema.String,
}) {}

interface Address {
  readonly host: string
  readonly port: number
}

/** The exporter's own server would wait for idle connections when it stops, and not say why it cannot start. */
const serve = ({ host, port }: Address, exporter: PrometheusExporter) => {
  const serializer = new PrometheusSerializer(undefined, false, undefined, false, true)
  return Effect.acquireRelease(
    Effect.try({
      try: () =>
        Bun.serve({
          hostname: host,
          port,
          development: false,
          reusePort: false,
          fetch: async (request) => {
            if (new URL(request.url).pathname !== "/metrics") return new Response(null, { status: 404 })
            if (request.method !== "GET")
              return new Response(null, { status: 405, headers: { allow: "GET" } })
            const { resourceMetrics } = await exporter.collect()
            return new Response(serializer.serialize(resourceMetrics), {
              headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
            })
          },
        }),
      catch: (error) =>
        new MetricsNotServed({
          message: `Port ${port} of ${host} could not be opened for metrics (${error instanceof Error ? error.message : error}): stop what uses the port, or set METRICS_PORT or METRICS_HOST to another.`,
        }),
    }),
    (server) => Effect.promise(() => server.stop(true)),
  )
}

/** Serves all metrics at `/metrics` of METRICS_HOST and METRICS_PORT, in the text format of Prometheus. */
export const serveMetrics = (address: Address) =>
  Layer.unwrapScoped(
    Effect.gen(function* () {
      const { serviceName } = (yield* Settings).otlp
      const exporter = new PrometheusExporter({ preventServerStart: true })
      const server = yield* serve(address, exporter)
      yield* Effect.annotateLogs(Effect.logInfo("metrics.listening"), { url: `${server.url}metrics` })
      return Layer.provide(
        Metrics.layer(() => exporter),
        Resource.layer({ serviceName }),
      )
    }),
  )

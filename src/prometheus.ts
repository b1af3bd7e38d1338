import { Effect, Layer, Option } from "effect"
import { Settings } from "./config.ts"

/** Serves the metrics to Prometheus if METRICS_PORT is set. Otherwise the exporter's modules are not loaded. */
export const layer = Layer.unwrapEffect(
  Effect.flatMap(Settings, ({ metrics: { host, port } }) =>
    Option.match(port, {
      onNone: () => Effect.succeed(Layer.empty),
      onSome: (port) =>
        Effect.map(
          Effect.promise(() => import("./metrics-server.ts")),
          ({ serveMetrics }) => serveMetrics({ host, port }),
        ),
    }),
  ),
)

import { Effect, Metric, MetricBoundaries } from "effect"

/** Histogram bounds in ms: from an unnoticeable delay to the longest wait for the first audio. */
const boundaries = MetricBoundaries.fromIterable([
  10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
])

const requests = Metric.counter("voice_agent.requests", {
  description: "Requests answered",
  incremental: true,
})
const turns = Metric.counter("voice_agent.turns", {
  description: "Turns by outcome",
  incremental: true,
})
const times = Metric.histogram("voice_agent.turn.time", boundaries, "Timings of whole turns").pipe(
  Metric.tagged("unit", "ms"),
)
const retries = Metric.counter("voice_agent.retries", {
  description: "Retried requests to providers",
  incremental: true,
})

export const countRequest = (method: string, status: number) => {
  const ofMethod = Metric.tagged(requests, "http.request.method", method)
  return Metric.increment(Metric.tagged(ofMethod, "http.response.status_code", `${status}`))
}

/** `completed`, `interrupted`, `defect`, or the name of the error. */
export const countTurn = (outcome: string) => Metric.increment(Metric.tagged(turns, "outcome", outcome))

export const countRetry = (stage: string) => Metric.increment(Metric.tagged(retries, "stage", stage))

/** The timings of a whole turn in ms, one series each. */
export const recordTimings = (timings: Readonly<Record<string, number>>) =>
  Effect.forEach(
    Object.entries(timings),
    ([part, ms]) => Metric.update(Metric.tagged(times, "part", part), ms),
    { discard: true },
  )

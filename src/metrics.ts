import { Effect, Metric, MetricBoundaries } from "effect"

/** In ms, from an unnoticeable time to the longest time to first audio. */
const boundaries = MetricBoundaries.fromIterable([
  10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
])

const requests = Metric.counter("voice_agent.requests", {
  description: "HTTP requests by method and status",
  incremental: true,
})
const turns = Metric.counter("voice_agent.turns", {
  description: "Turns by outcome",
  incremental: true,
})
const times = Metric.histogram(
  "voice_agent.turn.time",
  boundaries,
  "How long the parts of a completed turn took",
).pipe(Metric.tagged("unit", "ms"))
const retries = Metric.counter("voice_agent.retries", {
  description: "Retries of provider requests by stage",
  incremental: true,
})

const toolCalls = Metric.counter("voice_agent.tool_calls", {
  description: "Calls of tools by kind and outcome",
  incremental: true,
})

const speculations = Metric.counter("voice_agent.speculations", {
  description: "Answers that began before the end of speech, by outcome",
  incremental: true,
})
const droppedUsage = Metric.counter("voice_agent.speculations.dropped", {
  description: "What answers consumed that began too early and were dropped unheard",
  incremental: true,
})

const summaries = Metric.counter("voice_agent.summaries", {
  description: "Summaries of long conversations by outcome",
  incremental: true,
})

const connections = Metric.counter("voice_agent.realtime.connections", {
  description: "Realtime connections that ended, by reason",
  incremental: true,
})
const openConnections = Metric.gauge("voice_agent.realtime.open", {
  description: "Realtime connections that are open",
})
const connectionBytes = Metric.counter("voice_agent.realtime.bytes", {
  description: "Bytes of Realtime events by direction",
  incremental: true,
}).pipe(Metric.tagged("unit", "By"))

const responses = Metric.counter("voice_agent.realtime.responses", {
  description: "Responses of Realtime connections by status",
  incremental: true,
})
const responseTimes = Metric.histogram(
  "voice_agent.realtime.time",
  boundaries,
  "How long the parts of a Realtime response took",
).pipe(Metric.tagged("unit", "ms"))

const providerRequests = Metric.counter("voice_agent.provider.requests", {
  description: "Requests to providers by stage, server and outcome",
  incremental: true,
})
const providerTimes = Metric.histogram(
  "voice_agent.provider.time",
  boundaries,
  "How long requests to providers took",
).pipe(Metric.tagged("unit", "ms"))
const stageStatus = Metric.gauge("voice_agent.stage.status", {
  description: "1 for the status that a stage has now, 0 for the others",
})

const runningTurns = Metric.gauge("voice_agent.turns.running", { description: "Turns that have a slot" })
const waitingTurns = Metric.gauge("voice_agent.turns.waiting", {
  description: "Turns that wait for a slot",
})
const openUploads = Metric.gauge("voice_agent.uploads.open", { description: "Uploads that arrive" })
const uploadSpace = Metric.gauge("voice_agent.uploads.size", {
  description: "The space of recordings on disk",
}).pipe(Metric.tagged("unit", "By"))
const residentMemory = Metric.gauge("voice_agent.process.memory", {
  description: "The memory that the system gave to the process",
}).pipe(Metric.tagged("unit", "By"))
const cpuTime = Metric.counter("voice_agent.process.cpu", {
  description: "CPU time of the process, in seconds",
  incremental: true,
})

const costs = Metric.counter("voice_agent.cost", {
  description: "What models cost, by currency",
  incremental: true,
})
const webhookAttempts = Metric.counter("voice_agent.webhook_attempts", {
  description: "Attempts to deliver an event to a webhook, by outcome",
  incremental: true,
})

export const countRequest = (method: string, status: number) => {
  const withMethod = Metric.tagged(requests, "http.request.method", method)
  return Metric.increment(Metric.tagged(withMethod, "http.response.status_code", `${status}`))
}

/** `outcome`: `completed`, `interrupted`, `defect`, or the name of the error. */
export const countTurn = (outcome: string) => Metric.increment(Metric.tagged(turns, "outcome", outcome))

/** Adds a cost, in units of the currency. */
export const countCost = (currency: string, cost: number) =>
  Metric.incrementBy(Metric.tagged(costs, "currency", currency), cost)

/** `outcome`: `delivered`; `gone`: the endpoint wants no more; `failed`. */
export const countWebhookAttempt = (outcome: "delivered" | "gone" | "failed") =>
  Metric.increment(Metric.tagged(webhookAttempts, "outcome", outcome))

/** Counts a turn that began on speculation. `dropped`: nobody heard it, and it cost these tokens and characters. */
export const countSpeculation = (
  outcome: "used" | "dropped",
  { inputTokens, outputTokens, charactersSpoken } = { inputTokens: 0, outputTokens: 0, charactersSpoken: 0 },
) =>
  Effect.all(
    [
      Metric.increment(Metric.tagged(speculations, "outcome", outcome)),
      Metric.incrementBy(Metric.tagged(droppedUsage, "unit", "input tokens"), inputTokens),
      Metric.incrementBy(Metric.tagged(droppedUsage, "unit", "output tokens"), outputTokens),
      Metric.incrementBy(Metric.tagged(droppedUsage, "unit", "characters spoken"), charactersSpoken),
    ],
    { discard: true },
  )

/** Counts and times a request to a provider. `outcome`: `ok`, `cancelled`, or what was wrong with the answer. */
export const recordProviderRequest = ({
  stage,
  server,
  outcome,
  ms,
}: {
  readonly stage: string
  readonly server: "first" | "fallback"
  readonly outcome: string
  readonly ms: number
}) => {
  const requests = Metric.tagged(Metric.tagged(providerRequests, "stage", stage), "server", server)
  const times = Metric.tagged(Metric.tagged(providerTimes, "stage", stage), "server", server)
  return Effect.zipRight(
    Metric.increment(Metric.tagged(requests, "outcome", outcome)),
    Metric.update(times, ms),
  )
}

/** What the process is doing now. */
export interface Load {
  readonly turns: number
  readonly waiting: number
  readonly uploads: number
  readonly uploadBytes: number
  readonly residentBytes: number
  /** Since the last record. */
  readonly cpuSeconds: number
  /** By stage, such as `llm`: `ok`, `degraded` or `failing`. */
  readonly stages: Readonly<Record<string, string>>
}

const statuses = ["ok", "degraded", "failing"]

/** Records the load of the process. */
export const recordLoad = (load: Load) =>
  Effect.all(
    [
      Metric.set(runningTurns, load.turns),
      Metric.set(waitingTurns, load.waiting),
      Metric.set(openUploads, load.uploads),
      Metric.set(uploadSpace, load.uploadBytes),
      Metric.set(residentMemory, load.residentBytes),
      Metric.incrementBy(cpuTime, load.cpuSeconds),
      ...Object.entries(load.stages).flatMap(([stage, now]) =>
        statuses.map((status) =>
          Metric.set(
            Metric.tagged(Metric.tagged(stageStatus, "stage", stage), "status", status),
            status === now ? 1 : 0,
          ),
        ),
      ),
    ],
    { discard: true },
  )

/** Counts a request for a summary. `outdated`: the conversation has changed meanwhile. */
export const countSummary = (outcome: "saved" | "outdated" | "failed") =>
  Metric.increment(Metric.tagged(summaries, "outcome", outcome))

export const countRetry = (stage: string) => Metric.increment(Metric.tagged(retries, "stage", stage))

/**
 * Counts a call of a tool. `unknown` is a tool that the agent does not have. A call that is left to the client counts as
 * `asked`, and its result once more.
 */
export const countToolCall = (
  kind: "builtin" | "http" | "mcp" | "client" | "unknown",
  outcome: "ok" | "failed" | "timed_out" | "refused" | "unknown" | "asked",
) => Metric.increment(Metric.tagged(Metric.tagged(toolCalls, "kind", kind), "outcome", outcome))

/** Counts a Realtime connection that ended, with the bytes that it received (in) and sent (out). */
export const countConnection = ({
  reason,
  bytesIn,
  bytesOut,
}: {
  readonly reason: string
  readonly bytesIn: number
  readonly bytesOut: number
}) =>
  Effect.all(
    [
      Metric.increment(Metric.tagged(connections, "reason", reason)),
      Metric.incrementBy(Metric.tagged(connectionBytes, "direction", "in"), bytesIn),
      Metric.incrementBy(Metric.tagged(connectionBytes, "direction", "out"), bytesOut),
    ],
    { discard: true },
  )

/**
 * Counts a Realtime response at its end. `firstAudioMs`: from its beginning to its first audio. `status`: as in
 * `response.done`.
 */
export const countResponse = (status: string, firstAudioMs: number | undefined) =>
  Effect.zipRight(
    Metric.increment(Metric.tagged(responses, "status", status)),
    firstAudioMs === undefined
      ? Effect.void
      : Metric.update(Metric.tagged(responseTimes, "part", "firstAudio"), firstAudioMs),
  )

/** Records the time from the end of an utterance to its transcript, in ms. */
export const recordTranscription = (ms: number) =>
  Metric.update(Metric.tagged(responseTimes, "part", "transcript"), ms)

/** Records how many Realtime connections are open. */
export const recordOpenConnections = (count: number) => Metric.set(openConnections, count)

/** Records the timings of a completed turn, in ms. Each part is a series of its own. */
export const recordTimings = (timings: Readonly<Record<string, number>>) =>
  Effect.forEach(
    Object.entries(timings),
    ([part, ms]) => Metric.update(Metric.tagged(times, "part", part), ms),
    { discard: true },
  )

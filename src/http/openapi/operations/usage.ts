import { ValidationFailed } from "../../errors.ts"
import { UsageReport } from "../../payloads.ts"
import { describe, json } from "../operation.ts"

export const wrongRange = "from: must not be later than to"

const sums = {
  turns: 12,
  unpriced: 0,
  audioSeconds: 41.5,
  inputTokens: 5120,
  outputTokens: 960,
  charactersSpoken: 4200,
  cost: 0.0712,
}

export const report = describe({
  id: "getUsage",
  tag: "Account",
  countedAs: "requests",
  summary: "Get what you used",
  description:
    "What your turns consumed and cost, by day, agent or API key. Days are in UTC. A turn counts on the day on which it ended, also if it failed, was interrupted, or was deleted since. Entries are in ascending order; one without turns is left out.",
  answers: [
    {
      status: 200,
      description: "The usage.",
      content: json(UsageReport, {
        from: "2026-01-01",
        to: "2026-01-31",
        currency: "USD",
        entries: [{ day: "2026-01-31", ...sums }],
        total: sums,
        month: { limit: 10, spent: sums.cost, resetsAt: "2026-02-01T00:00:00.000Z" },
        nextCursor: null,
      }),
    },
  ],
  failures: [new ValidationFailed({ message: wrongRange }), "UnknownPosition"],
})

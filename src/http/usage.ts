import { Effect, Option, Schema, Struct } from "effect"
import { Elysia } from "elysia"
import { AgentId, ApiKeyId, configuredId, isDay, parseId, type UserId } from "../schema.ts"
import { Spending } from "../usage/spending.ts"
import { UsageDays, UsageGroup, type UsageList } from "../usage/usage-days.ts"
import { signedIn } from "./auth.ts"
import { ValidationFailed } from "./errors.ts"
import * as operations from "./openapi/operations/usage.ts"
import { UsageReport } from "./payloads.ts"
import { wholeNumber } from "./query.ts"
import { makeRun } from "./run.ts"

const day = (description: string) =>
  Schema.optionalWith(
    Schema.String.pipe(
      Schema.filter((text) => (isDay(text) && text > "0001") || "must be a day such as 2026-01-31", {
        jsonSchema: { type: "string", format: "date" },
      }),
    ).annotations({ description }),
    { as: "Option" },
  )

const Query = Schema.Struct({
  from: day("The first day, in UTC. By default the first of the month of `to`."),
  to: day("The last day, in UTC. By default today."),
  groupBy: Schema.optionalWith(
    UsageGroup.annotations({
      description: "What the entries are: days, agents or API keys.",
      message: () => ({ message: "must be day, agent or key", override: true }),
    }),
    { default: () => "day" as const },
  ),
  limit: wholeNumber(366, 100),
  cursor: Schema.optionalWith(
    Schema.String.annotations({
      message: () => "must be the nextCursor of an earlier page",
      description: "The `nextCursor` of the previous page, of the same days.",
    }),
    { as: "Option" },
  ),
})

const usageQuery = Schema.standardSchemaV1(Query)

const encode = Schema.encodeSync(UsageReport)

type Entry = UsageList["groups"][number]

/** An entry, named by what entries are grouped by. */
const entryOf = (groupBy: UsageGroup, { group, name, ...sums }: Entry) => {
  switch (groupBy) {
    case "day":
      return { day: group, ...sums }
    case "agent":
      return {
        agentId: Option.getOrElse(parseId(AgentId, group), () => configuredId),
        name,
        ...sums,
      }
    case "key":
      return { keyId: Option.getOrNull(parseId(ApiKeyId, group)), name, ...sums }
  }
}

/** What the signed-in user consumed, and may spend. */
export const usageRoutes = Effect.gen(function* () {
  const run = yield* makeRun
  const days = yield* UsageDays
  const spending = yield* Spending

  const report = Effect.fnUntraced(function* (userId: UserId, query: typeof Query.Type) {
    const to = yield* Option.match(query.to, { onNone: () => days.today, onSome: Effect.succeed })
    const from = Option.getOrElse(query.from, () => `${to.slice(0, 7)}-01`)
    if (from > to) return yield* new ValidationFailed({ message: operations.wrongRange })
    const { groupBy } = query
    const list = yield* days.list(userId, { from, to }, { groupBy, ...Struct.pick(query, "limit", "cursor") })
    const { limit, spent, resetsAt } = yield* spending.month(userId)
    return encode({
      from,
      to,
      currency: spending.prices.currency,
      entries: list.groups.map((entry) => entryOf(groupBy, entry)),
      total: list.total,
      month: { limit: Option.getOrNull(limit), spent, resetsAt },
      nextCursor: Option.getOrNull(list.nextCursor),
    })
  })

  return new Elysia({ prefix: "/usage" })
    .use(yield* signedIn("requests"))
    .get("", ({ request, user, query }) => run(request, report(user.id, query)), {
      query: usageQuery,
      detail: operations.report,
    })
})

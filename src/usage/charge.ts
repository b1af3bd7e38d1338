import { Effect } from "effect"
import type { DatabaseError } from "../db/errors.ts"
import { uninterruptibleWithTimeout } from "../db/postgres.ts"
import { countCost } from "../metrics.ts"
import { amountOf, type Bill, type Consumed, isUsed, type Meter } from "./bill.ts"

/** Adds a bill to the metric of costs, unless it is unknown. */
export const countCostOf = ({ nanos, currency }: Bill) =>
  nanos === null ? Effect.void : countCost(currency, amountOf(nanos))

type Add = (consumed: Consumed) => Effect.Effect<void, DatabaseError>

/** Counts what was consumed. What cannot be counted is logged, and goes to the meter: then returns false. */
export const countConsumed = (meter: Pick<Meter, "giveBack">, consumed: Consumed, add: Add) =>
  isUsed(consumed.usage)
    ? Effect.as(Effect.zipLeft(add(consumed), countCostOf(consumed.bill)), true).pipe(
        Effect.catchAllCause((cause) =>
          Effect.as(
            Effect.zipRight(
              Effect.sync(() => meter.giveBack(consumed)),
              Effect.logWarning("usage.not_counted", cause),
            ),
            false,
          ),
        ),
      )
    : Effect.succeed(true)

/** Counts what the meter has. What cannot be counted stays in it for the next call: then returns false. */
export const charge = (meter: Pick<Meter, "take" | "giveBack">, add: Add): Effect.Effect<boolean> =>
  uninterruptibleWithTimeout(Effect.suspend(() => countConsumed(meter, meter.take(), add)))

import { Effect } from "effect"
import type { SessionItems } from "../conversation/session-items.ts"
import type { TurnSession } from "../conversation/stored-turn.ts"
import type { ItemId } from "../schema.ts"
import { addConsumed, type Meter } from "../usage/bill.ts"
import { countConsumed, countCostOf } from "../usage/charge.ts"
import type { Payer } from "../usage/usage-days.ts"
import type { DropItems, ItemWrite, SaveItems, WriteError } from "./writes.ts"

/** The stored session of a connection. */
export interface StoredSession {
  /** For a turn of it. */
  readonly target: () => TurnSession
  /** It is stored by now. */
  readonly confirm: () => void
  readonly append: SaveItems
  /** Counts what items cost that are not saved. What cannot be counted now goes to the meter. */
  readonly giveUp: DropItems
  /** Does nothing if the item is not stored. */
  readonly remove: (id: ItemId, onEntered: () => void) => Effect.Effect<void, WriteError>
}

/** What the items cost together. Undefined: nothing. */
const consumedBy = (items: ReadonlyArray<ItemWrite>) => {
  const [first, ...more] = items.flatMap(({ consumed }) => (consumed === undefined ? [] : [consumed]))
  return first === undefined ? undefined : more.reduce(addConsumed, first)
}

export const makeStoredSession = (
  payer: Payer,
  session: TurnSession,
  stored: SessionItems["Type"],
  meter: Pick<Meter, "giveBack">,
): StoredSession => {
  const { userId, keyId } = payer
  const { id } = session
  let isStored = !session.isNew
  const target = () => ({ ...session, isNew: !isStored })
  const confirm = () => {
    isStored = true
  }
  return {
    target,
    confirm,
    append: (items, onEntered) => {
      const [first, ...others] = items
      const last = others.at(-1) ?? first
      return Effect.suspend(() =>
        stored.append(userId, target(), [first.item, ...others.map(({ item }) => item)], {
          ...(consumedBy(items) ?? { usage: {} }),
          keyId,
          place: () => ({ earlier: first.place().earlier, later: last.place().later }),
          onEntered,
        }),
      ).pipe(
        Effect.tap(() => Effect.sync(confirm)),
        Effect.tap(() => {
          const consumed = consumedBy(items)
          return consumed === undefined ? Effect.void : countCostOf(consumed.bill)
        }),
      )
    },
    giveUp: (items) => {
      const consumed = consumedBy(items)
      return consumed === undefined
        ? Effect.void
        : Effect.asVoid(countConsumed(meter, consumed, (all) => stored.giveUp(items[0].item, payer, all)))
    },
    remove: (itemId, onEntered) =>
      Effect.catchTag(stored.remove(userId, id, itemId, onEntered), "ItemNotFound", () => Effect.void),
  }
}

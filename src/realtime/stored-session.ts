import { Effect } from "effect"
import type { SignedIn } from "../accounts/model.ts"
import type { SessionItems } from "../conversation/session-items.ts"
import type { TurnSession } from "../conversation/stored-turn.ts"
import type { ItemId } from "../schema.ts"
import { addConsumed } from "../usage/bill.ts"
import type { SaveItems, WriteError } from "./writes.ts"

/** The stored session of a connection. */
export interface StoredSession {
  /** For a turn of it. */
  readonly target: () => TurnSession
  /** It is stored by now. */
  readonly confirm: () => void
  readonly append: SaveItems
  /** Does nothing if the item is not stored. */
  readonly remove: (id: ItemId, onEntered: () => void) => Effect.Effect<void, WriteError>
}

export const makeStoredSession = (
  { id: userId, keyId }: Pick<SignedIn, "id" | "keyId">,
  session: TurnSession,
  stored: SessionItems["Type"],
): StoredSession => {
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
      const consumed = items.flatMap(({ consumed }) => (consumed === undefined ? [] : [consumed]))
      const [some, ...more] = consumed
      return Effect.suspend(() =>
        stored.append(userId, target(), [first.item, ...others.map(({ item }) => item)], {
          ...(some === undefined ? { usage: {} } : more.reduce(addConsumed, some)),
          keyId,
          place: () => ({ earlier: first.place().earlier, later: last.place().later }),
          onEntered,
        }),
      ).pipe(Effect.tap(() => Effect.sync(confirm)))
    },
    remove: (itemId, onEntered) =>
      Effect.catchTag(stored.remove(userId, id, itemId, onEntered), "ItemNotFound", () => Effect.void),
  }
}

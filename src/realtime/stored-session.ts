import { Effect } from "effect"
import type { SessionItems } from "../conversation/session-items.ts"
import type { TurnSession } from "../conversation/stored-turn.ts"
import type { ItemId, UserId } from "../schema.ts"
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
  userId: UserId,
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
      const audioSeconds = items.reduce((sum, { audioSeconds }) => sum + audioSeconds, 0)
      return Effect.suspend(() =>
        stored.append(userId, target(), [first.item, ...others.map(({ item }) => item)], {
          usage: { audioSeconds },
          place: () => ({ earlier: first.place().earlier, later: last.place().later }),
          onEntered,
        }),
      ).pipe(Effect.tap(() => Effect.sync(confirm)))
    },
    remove: (itemId, onEntered) =>
      Effect.catchTag(stored.remove(userId, id, itemId, onEntered), "ItemNotFound", () => Effect.void),
  }
}

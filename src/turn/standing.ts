import { Effect } from "effect"
import type { NewItem } from "../conversation/item.ts"
import type { SessionBusy } from "../conversation/stored-turn.ts"
import type { DatabaseUnavailable } from "../db/errors.ts"
import type { UnsavedItems } from "./request.ts"

/**
 * `conversation`: in the queue of its session. `aside`: outside it. `speculation`: outside it until it is adopted, if it ever
 * is.
 */
export type TurnKind = "conversation" | "aside" | "speculation"

/** How a turn stands to its session's conversation. */
export interface Standing {
  readonly isAside: () => boolean
  /** Begun on speculation, and not adopted. */
  readonly isSpeculative: () => boolean
  /** Waits until a speculative turn is adopted: no other turn waits. */
  readonly adopted: Effect.Effect<void>
  /** Waits for the save of the items that the turn answers. */
  readonly saved: Effect.Effect<void, SessionBusy | DatabaseUnavailable>
  /** Takes note of the saved history that the turn answers. */
  readonly noteHistory: (saved: ReadonlyArray<NewItem>) => void
  /** What the turn has read of the saved history. */
  readonly history: () => ReadonlyArray<NewItem>
  /** Whether the newest of the saved items is still the one that the turn knows, apart from those that were unsaved. */
  readonly isUpToDate: (newest: ReadonlyArray<Pick<NewItem, "id">>, unsaved: UnsavedItems) => boolean
  /** Makes a speculative turn one of the conversation. */
  readonly adopt: (unsaved: UnsavedItems) => void
}

export const makeStanding = (kind: TurnKind, begun: UnsavedItems): Standing => {
  const adopted = Effect.unsafeMakeLatch(kind !== "speculation")
  let current = kind
  let unsaved = begun
  let seen: ReadonlyArray<NewItem> | undefined
  return {
    isAside: () => current !== "conversation",
    isSpeculative: () => current === "speculation",
    adopted: adopted.await,
    saved: Effect.suspend(() => unsaved.saved),
    noteHistory: (saved) => {
      seen = saved
    },
    history: () => seen ?? [],
    isUpToDate: (newest, now) => {
      const known = new Set([...begun.items, ...now.items].map(({ id }) => id))
      return seen !== undefined && newest.findLast(({ id }) => !known.has(id))?.id === seen.at(-1)?.id
    },
    adopt: (now) => {
      current = "conversation"
      unsaved = now
      adopted.unsafeOpen()
    },
  }
}

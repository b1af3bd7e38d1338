import { Effect } from "effect"
import type { Item } from "../conversation/item.ts"
import type { SessionItems } from "../conversation/session-items.ts"
import type { ItemId, UserId } from "../schema.ts"
import { type HeardUpTo, heardOfSaved, heardText } from "../turn/heard-reply.ts"
import type { Turn } from "../turn/turns.ts"
import type { Writes } from "./writes.ts"

/**
 * Replies whose spoken positions are kept, for a truncation that comes late. The item of an older one is cut in memory alone.
 */
const maxReplies = 100

/** The replies of a conversation that can still be cut to what was heard. Plain functions. */
export interface Replies {
  /** The turn that speaks the item: a message of its own. */
  readonly add: (id: ItemId, turn: Turn) => void
  readonly forget: (id: string) => void
  /** The text of the item's first `playedMs`; empty if that is not known. */
  readonly heardText: (id: string, playedMs: number) => string
  /** Cuts what is stored. */
  readonly setHeard: (id: string, upTo: HeardUpTo) => void
}

/** What can be cut of a reply: while its turn is known, or by the text and the length of what is stored. */
interface Reply {
  readonly heardText: (playedMs: number) => string
  readonly truncate: (upTo: HeardUpTo) => ReturnType<Turn["truncate"]>
}

const ofTurn = (id: ItemId, turn: Turn): Reply => ({
  heardText: (playedMs) => heardText(turn.state(), id, playedMs),
  truncate: turn.truncate,
})

export const makeReplies = ({
  userId,
  restored,
  stored,
  writes,
}: {
  readonly userId: UserId
  /** The items of earlier connections. */
  readonly restored: ReadonlyArray<Item>
  readonly stored: SessionItems["Type"]
  readonly writes: Writes
}): Replies => {
  /** In the order in which they began. */
  const replies = new Map<string, Reply>()
  /** What is not written yet: one write takes the newest, so that a client cannot queue up any number. */
  const wanted = new Map<string, HeardUpTo>()

  const ofStored = ({ id, payload, heardMs, interrupted }: Item): Reply | undefined => {
    if (payload.type !== "message" || payload.role !== "assistant" || heardMs === null) return undefined
    const saved = { text: payload.text, ms: heardMs }
    return {
      heardText: (playedMs) => heardOfSaved(saved, playedMs).text,
      truncate: (upTo) => {
        if (!("playedMs" in upTo)) return Effect.void
        const heard = heardOfSaved(saved, upTo.playedMs)
        const part = { ...heard, interrupted: interrupted || heard.ms < saved.ms }
        // The session or the item may be deleted by now.
        return Effect.catchTag(stored.truncate(userId, id, part), "ItemNotFound", () => Effect.void)
      },
    }
  }

  for (const item of restored) {
    const reply = ofStored(item)
    if (reply !== undefined) replies.set(item.clientId ?? item.id, reply)
  }

  return {
    add: (id, turn) => {
      replies.set(id, ofTurn(id, turn))
      for (const oldest of replies.keys()) {
        if (replies.size <= maxReplies) break
        replies.delete(oldest)
      }
    },
    forget: (id) => void replies.delete(id),
    heardText: (id, playedMs) => replies.get(id)?.heardText(playedMs) ?? "",
    setHeard: (id, upTo) => {
      const reply = replies.get(id)
      if (reply === undefined) return
      const isWaiting = wanted.has(id)
      wanted.set(id, upTo)
      if (isWaiting) return
      let newest = upTo
      writes.add(
        Effect.suspend(() => {
          newest = wanted.get(id) ?? newest
          wanted.delete(id)
          return reply.truncate(newest)
        }),
      )
    },
  }
}

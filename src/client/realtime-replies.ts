/** Samples per ms of the service's audio. */
const samplesPerMs = 24

/** A reply that is being received or played. */
interface Reply {
  readonly itemId: string
  readonly responseId: string
  /** Of audio, in ms. */
  receivedMs: number
  /** When the audio received so far would end, played without a break from its arrival on. */
  endsAt: number
}

/** How far a reply has been played. */
export interface Played {
  readonly itemId: string
  /** Milliseconds of the reply's audio, in whole ms. */
  readonly playedMs: number
}

export interface RepliesOptions {
  /** How much of an item's audio has been played, in ms. Without it, audio counts as played from its arrival on. */
  readonly playedMs: ((itemId: string) => number) | undefined
  /** In ms, from any fixed time on. */
  readonly now: () => number
}

/** The replies that the person may be hearing, oldest first. A second one plays after the first. */
export interface Replies {
  readonly add: (itemId: string, responseId: string, samples: number) => void
  /** Forgets replies that were played and are complete. `running`: the id of the response that may still grow. */
  readonly prune: (running: string | undefined) => void
  /** Whether one is being played, or is about to be. */
  readonly isSpeaking: () => boolean
  /** How long the audio received so far still plays, in ms. */
  readonly leftMs: () => number
  /** Ends them all. Returns how far each was played. */
  readonly stop: () => ReadonlyArray<Played>
}

export const makeReplies = ({ playedMs, now }: RepliesOptions): Replies => {
  let replies: ReadonlyArray<Reply> = []

  const played = ({ itemId, receivedMs, endsAt }: Reply) => {
    const ms = playedMs?.(itemId) ?? receivedMs - Math.max(0, endsAt - now())
    return Math.min(receivedMs, Math.max(0, ms))
  }
  const leftOf = (reply: Reply) => reply.receivedMs - played(reply)

  return {
    add: (itemId, responseId, samples) => {
      const last = replies.at(-1)
      const ms = samples / samplesPerMs
      const endsAt = Math.max(last?.endsAt ?? 0, now()) + ms
      if (last?.itemId === itemId) {
        last.receivedMs += ms
        last.endsAt = endsAt
      } else replies = [...replies, { itemId, responseId, receivedMs: ms, endsAt }]
    },
    prune: (running) => {
      // Rounding of a player's clock leaves a part of a millisecond.
      replies = replies.filter((reply) => reply.responseId === running || leftOf(reply) >= 1)
    },
    isSpeaking: () => replies.length > 0,
    leftMs: () => replies.reduce((sum, reply) => sum + leftOf(reply), 0),
    stop: () => {
      const stopped = replies.map((reply) => ({
        itemId: reply.itemId,
        playedMs: Math.floor(played(reply)),
      }))
      replies = []
      return stopped
    },
  }
}

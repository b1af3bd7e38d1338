import type { Conversation } from "./conversation.ts"
import type { TurnView } from "./turn-view.ts"

/** The turns of a hands-free conversation in the list. Items are named by their ids. */
export interface LiveTurns {
  /** The person has finished speaking. */
  readonly hears: (utterance: { readonly itemId: string }) => void
  /** Empty: there were no words. */
  readonly says: (itemId: string, transcript: string) => void
  readonly adds: (itemId: string, text: string) => void
  /** Audio of a reply arrives. */
  readonly sounds: () => void
  readonly interrupts: (itemId: string) => void
  readonly ends: (itemId: string | undefined, isComplete: boolean) => void
}

interface LiveTurn {
  readonly view: TurnView
  /** When the person had finished speaking, in ms. Undefined once the reply sounds. */
  spokenAt: number | undefined
  transcript: string
}

/** `onTurn` receives the transcript of a turn whose reply is complete. */
export const makeLiveTurns = (
  conversation: Conversation,
  onTurn: (transcript: string) => void,
): LiveTurns => {
  const utterances = new Map<string, LiveTurn>()
  const replies = new Map<string, LiveTurn>()
  /** The newest turn with words, which the next reply answers. */
  let last: LiveTurn | undefined

  const begin = (): LiveTurn => ({
    view: conversation.begin(),
    spokenAt: performance.now(),
    transcript: "",
  })

  /** A reply that nobody asked for gets a turn of its own, and one that continues after a noise does not. */
  const turnOf = (itemId: string) => {
    const known = replies.get(itemId) ?? last ?? begin()
    if (last === undefined) known.view.says("")
    last = known
    replies.set(itemId, known)
    return known
  }

  return {
    hears: ({ itemId }) => {
      const turn = begin()
      turn.view.waits("Transcribing…")
      utterances.set(itemId, turn)
    },
    says: (itemId, transcript) => {
      const heard = utterances.get(itemId)
      utterances.delete(itemId)
      if (transcript === "") return heard === undefined ? undefined : conversation.remove(heard.view)
      const turn = heard ?? begin()
      turn.view.says(transcript)
      turn.transcript = transcript
      last = turn
    },
    adds: (itemId, text) => turnOf(itemId).view.adds(text),
    sounds: () => {
      if (last?.spokenAt === undefined) return
      conversation.timed(performance.now() - last.spokenAt)
      last.spokenAt = undefined
    },
    interrupts: (itemId) => replies.get(itemId)?.view.interrupts(),
    ends: (itemId, isComplete) => {
      const turn = itemId === undefined ? last : replies.get(itemId)
      if (turn === undefined) return
      if (!isComplete && itemId !== undefined) turn.view.interrupts()
      turn.view.completes(undefined, undefined)
      if (isComplete && turn.transcript !== "") onTurn(turn.transcript)
    },
  }
}

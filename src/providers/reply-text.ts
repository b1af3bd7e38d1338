import { finish, push } from "../text/machine-markup.ts"
import { initialState, type MarkupState } from "../text/markup-state.ts"
import { pairSurrogates } from "../text/well-formed.ts"

interface ReplyHandlers {
  /** Never empty. */
  readonly onText: (text: string) => void
  /** All text so far was thinking. */
  readonly onRetract: () => void
  /** The text that waited was thinking. */
  readonly onHeldThinking: () => void
}

interface ReplyEnd {
  /** The reply has words. */
  readonly hasText: boolean
  readonly hasThought: boolean
  /** UTF-16 units that the model wrote and that were not passed on, or retracted. */
  readonly removed: number
}

/**
 * The words of a reply: without markup for machines, NUL and half surrogates. Some chat templates open the thinking in the
 * prompt, so that the reply has only the closing tag. Nothing tells such a reply from another one before that tag, and no
 * reply can wait for a tag that may not come. So the text is passed on at once, and retracted at the tag. `holds`: the
 * text waits for the thinking to end, because the model is known to reply in this way.
 */
export const makeReplyText = (holds: boolean, { onText, onRetract, onHeldThinking }: ReplyHandlers) => {
  let markup: MarkupState = { ...initialState, isOpen: holds }
  let half = ""
  let held = ""
  let isHolding = holds
  let hasText = false
  let written = 0
  let passed = 0

  const pass = (text: string) => {
    if (text === "") return
    hasText ||= text.trim() !== ""
    passed += text.length
    onText(text)
  }

  const release = () => {
    isHolding = false
    pass(held)
    held = ""
  }

  const take = ([next, text]: readonly [MarkupState, string]) => {
    const isRetracted = next.retractions > markup.retractions
    markup = next
    if (isHolding) {
      if (isRetracted) onHeldThinking()
      held = isRetracted ? text : held + text
      if (markup.hasThought) release()
      return
    }
    if (isRetracted) {
      hasText = false
      passed = 0
      onRetract()
    }
    pass(text)
  }

  return {
    add: (text: string) => {
      // PostgreSQL stores no NUL in text.
      const [whole, rest] = pairSurrogates(half, text.replaceAll("\0", ""))
      half = rest
      // White space before the reply is no markup.
      written += (written === 0 ? text.trimStart() : text).length
      take(push(markup, whole))
    },
    /** The model thought apart from its text. */
    noteThinking: () => {
      if (!markup.hasThought) markup = { ...markup, hasThought: true }
      if (isHolding) release()
    },
    finish: (): ReplyEnd => {
      take(push(markup, half.toWellFormed()))
      take(finish(markup))
      if (isHolding) release()
      return { hasText, hasThought: markup.hasThought, removed: Math.max(0, written - passed) }
    },
  }
}

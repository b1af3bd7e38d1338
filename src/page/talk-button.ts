/** Holding the talk button, or the space bar; or Enter to begin and Enter to send, for those who can't hold. */
export interface Talking {
  /** Begin to listen. Called from within the tap or key press. */
  readonly onPress: () => void
  readonly onRelease: () => void
  /** Let go of what was said; stop the reply. */
  readonly onCancel: () => void
  /** Whether it listens, or is about to. */
  readonly isListening: () => boolean
}

/** Where the space bar and Enter have a use of their own. */
const hasOwnKeys = (target: EventTarget | null) =>
  target instanceof Element &&
  target.closest("input, textarea, select, button, a, summary, dialog, [contenteditable]") !== null

export const watchTalking = (
  talk: HTMLButtonElement,
  isShown: () => boolean,
  { onPress, onRelease, onCancel, isListening }: Talking,
): void => {
  let heldBy: "pointer" | "space" | undefined

  const hold = (by: "pointer" | "space") => {
    if (heldBy !== undefined) return
    heldBy = by
    onPress()
  }
  const letGo = (by: "pointer" | "space") => {
    if (heldBy !== by) return
    heldBy = undefined
    onRelease()
  }

  talk.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return
    // So that letting go counts wherever the finger has moved to.
    talk.setPointerCapture(event.pointerId)
    hold("pointer")
  })
  talk.addEventListener("pointerup", () => letGo("pointer"))
  talk.addEventListener("pointercancel", () => letGo("pointer"))
  talk.addEventListener("contextmenu", (event) => event.preventDefault())
  // A screen reader's click has no pointer before it: it begins, and the next one sends.
  talk.addEventListener("click", ({ detail }) => {
    if (detail !== 0) return
    if (isListening()) onRelease()
    else onPress()
  })

  const isTalkKey = ({ target }: Event) => isShown() && (target === talk || !hasOwnKeys(target))
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isShown() && document.querySelector("dialog[open]") === null) onCancel()
    if (event.key !== " " || !isTalkKey(event)) return
    // Not the click that a button makes of it, nor the scrolling of the page.
    event.preventDefault()
    if (!event.repeat) hold("space")
  })
  document.addEventListener("keyup", (event) => {
    if (event.key !== " ") return
    if (heldBy === "space") event.preventDefault()
    letGo("space")
  })
  // The key or the finger comes up unseen where the window is left.
  window.addEventListener("blur", () => {
    if (heldBy !== undefined) letGo(heldBy)
  })
}

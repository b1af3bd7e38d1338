/** Hold the talk button or the space bar. For people who cannot hold: Enter starts, Enter sends. */
export interface Talking {
  /** Starts to listen. Called within the tap or key press, as browsers require. */
  readonly onPress: () => void
  readonly onRelease: () => void
  /** Discards the recording and stops the reply. */
  readonly onCancel: () => void
  /** True while it listens or opens the microphone. */
  readonly isListening: () => boolean
}

/** Elements with their own use of the space bar and Enter. */
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
    // The release counts wherever the finger has moved.
    talk.setPointerCapture(event.pointerId)
    hold("pointer")
  })
  talk.addEventListener("pointerup", () => letGo("pointer"))
  talk.addEventListener("pointercancel", () => letGo("pointer"))
  talk.addEventListener("contextmenu", (event) => event.preventDefault())
  // A screen reader's click comes without a pointer: the first starts, the next sends.
  talk.addEventListener("click", ({ detail }) => {
    if (detail !== 0) return
    if (isListening()) onRelease()
    else onPress()
  })

  const isTalkKey = ({ target }: Event) => isShown() && (target === talk || !hasOwnKeys(target))
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isShown() && document.querySelector("dialog[open]") === null) onCancel()
    if (event.key !== " " || !isTalkKey(event)) return
    // Prevents the button's click and the scrolling of the page.
    event.preventDefault()
    if (!event.repeat) hold("space")
  })
  document.addEventListener("keyup", (event) => {
    if (event.key !== " ") return
    if (heldBy === "space") event.preventDefault()
    letGo("space")
  })
  // A window without focus does not receive the release.
  window.addEventListener("blur", () => {
    if (heldBy !== undefined) letGo(heldBy)
  })
}

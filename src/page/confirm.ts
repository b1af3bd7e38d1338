import { button, byId } from "./dom.ts"

/** Asks before something is deleted for good. */
export const confirmDelete = (question: string, text: string): Promise<boolean> => {
  const dialog = byId("confirm", HTMLDialogElement)
  byId("confirm-title", HTMLElement).textContent = question
  byId("confirm-text", HTMLElement).textContent = text
  const yes = button("confirm-yes")
  const no = button("confirm-no")
  return new Promise((resolve) => {
    const ends = new AbortController()
    const listen = { signal: ends.signal }
    const answer = (isYes: boolean) => () => {
      ends.abort()
      dialog.close()
      resolve(isYes)
    }
    yes.addEventListener("click", answer(true), listen)
    no.addEventListener("click", answer(false), listen)
    dialog.addEventListener("close", answer(false), listen)
    dialog.showModal()
    no.focus()
  })
}

import type { ToolCall } from "../client/client.ts"
import { icon, make } from "./dom.ts"
import { waterfall } from "./waterfall.ts"
import type { TurnTimes } from "./waterfall-spans.ts"

/** A turn on the page: the transcript and the reply. */
export interface TurnView {
  readonly element: HTMLElement
  /** Shows a text in place of the transcript. */
  readonly waits: (text: string) => void
  /** Shows the upload's progress, 0 to 1. */
  readonly uploads: (share: number) => void
  readonly says: (transcript: string) => void
  /** There is no transcript yet. */
  readonly isWaiting: () => boolean
  /** Appends to the reply. */
  readonly adds: (text: string) => void
  /** The reply so far. */
  readonly reply: () => string
  /** Clears the reply. */
  readonly restarts: () => void
  /** Shows a call of a tool that the page would have to run. */
  readonly calls: (call: Pick<ToolCall, "name" | "arguments">) => void
  readonly interrupts: () => void
  /** Shows how long it took, and a button that plays the reply again. A second call replaces them. */
  readonly completes: (times: TurnTimes | undefined, onPlay: (() => void) | undefined) => void
}

const playIcon = "M8 5.5v13l10.5-6.5z"

/** An empty turn. It is not a live region: `display.announce` reads a whole reply, not each word. */
export const makeTurnView = (): TurnView => {
  const waiting = make("span", { class: "waiting" })
  const progress = make("progress", { max: "1", value: "0", "aria-label": "Sent" })
  progress.hidden = true
  const said = make("p", { class: "said" }, waiting, progress)
  const words = make("p", { class: "reply" })
  const foot = make("div", { class: "turn-foot" })
  const element = make("article", { class: "turn" }, said, words, foot)
  words.hidden = true
  let text = ""
  let isInterrupted = false

  const show = () => {
    words.textContent = text
    words.hidden = text === ""
  }

  return {
    element,
    waits: (text) => {
      waiting.textContent = text
      progress.hidden = true
    },
    uploads: (share) => {
      progress.hidden = share >= 1
      progress.value = share
    },
    says: (transcript) => {
      said.replaceChildren(transcript)
      element.dataset.waits = "reply"
    },
    isWaiting: () => waiting.parentElement !== null,
    adds: (more) => {
      delete element.dataset.waits
      text += more
      show()
    },
    reply: () => text,
    restarts: () => {
      for (const old of element.querySelectorAll(".call")) old.remove()
      text = ""
      show()
    },
    calls: ({ name, arguments: args }) => {
      delete element.dataset.waits
      const what = make("code", {}, `${name}(${args})`)
      foot.before(make("p", { class: "call" }, "The agent called ", what, ". This page runs no tools."))
    },
    interrupts: () => {
      delete element.dataset.waits
      if (isInterrupted || !element.isConnected) return
      isInterrupted = true
      foot.prepend(make("span", { class: "tag" }, "Interrupted"))
    },
    completes: (times, onPlay) => {
      delete element.dataset.waits
      for (const old of foot.querySelectorAll(".again, .times")) old.remove()
      if (onPlay !== undefined) {
        const again = make("button", { type: "button", class: "again" }, icon(playIcon), "Play again")
        again.addEventListener("click", onPlay)
        foot.append(again)
      }
      if (times !== undefined) foot.append(waterfall(times, true))
    },
  }
}

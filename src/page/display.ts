import { button, byId, make } from "./dom.ts"
import { type Problem, problemOf } from "./problems.ts"
import { makeRing, type Ring } from "./ring.ts"

/** What the button shows. */
export type State =
  | "idle"
  | "opening"
  | "listening"
  | "sending"
  | "thinking"
  | "speaking"
  // Hands-free:
  | "connecting"
  | "reconnecting"
  | "ready"
  | "hearing"
  | "answering"
  | "replying"
  | "replaying"

const sentences: { readonly [state in State]: string } = {
  idle: "Hold to talk",
  opening: "Opening the microphone…",
  listening: "Listening. Let go to send",
  sending: "Sending…",
  thinking: "Thinking…",
  speaking: "Speaking. Hold to interrupt",
  connecting: "Connecting…",
  reconnecting: "Connection lost. Connecting again…",
  ready: "Listening. Just talk",
  hearing: "Hearing you…",
  answering: "Thinking…",
  replying: "Speaking. Talk to interrupt",
  replaying: "Playing again. Press to stop",
}

const handsFree: ReadonlySet<State> = new Set([
  "connecting",
  "reconnecting",
  "ready",
  "hearing",
  "answering",
  "replying",
  "replaying",
])

const still: ReadonlySet<State> = new Set([
  "idle",
  "sending",
  "thinking",
  "connecting",
  "reconnecting",
  "answering",
])

/** The talk button, the status line below it, and the notice above it. */
export interface Display {
  readonly ring: Ring
  readonly show: (state: State) => void
  readonly state: () => State
  /** Shows the seconds recorded. Undefined hides the clock. */
  readonly clock: (seconds: number | undefined) => void
  readonly level: (level: number) => void
  /** Announces a text to screen readers. */
  readonly announce: (text: string) => void
  readonly clearNotice: () => void
  /** Shows a problem. `onRemedy` runs when its button is pressed. */
  readonly notice: (problem: Problem, onRemedy?: () => void) => void
  readonly fail: (error: unknown, onRemedy?: () => void) => void
}

const remedies = { "send again": "Send again", "sign in": "Sign in" } as const

export const makeDisplay = (): Display => {
  const orb = byId("orb", HTMLElement)
  const status = byId("status", HTMLElement)
  const clock = byId("clock", HTMLElement)
  const meter = byId("level", HTMLMeterElement)
  const spoken = byId("spoken", HTMLElement)
  const notice = byId("notice", HTMLElement)
  const name = byId("talk-name", HTMLElement)
  const stop = button("stop")
  const ring = makeRing(byId("ring", HTMLCanvasElement))
  let state: State = "idle"

  const show = (next: State) => {
    state = next
    orb.dataset.state = next
    const isHandsFree = handsFree.has(next)
    // A screen reader would talk into the conversation. `announce` says what matters.
    status.ariaLive = isHandsFree ? "off" : "polite"
    status.textContent = sentences[next]
    name.textContent = next === "listening" ? "Send" : isHandsFree ? "Interrupt" : "Hold to talk"
    stop.disabled = next === "idle"
    stop.ariaLabel = isHandsFree ? "End hands-free" : "Stop the reply"
    if (still.has(next)) ring.rest()
    if (next !== "listening" && next !== "ready" && next !== "hearing") meter.value = 0
  }

  const showNotice: Display["notice"] = ({ what, next, remedy }, onRemedy) => {
    const close = make(
      "button",
      { type: "button", class: "close-notice", "aria-label": "Close this message" },
      "✕",
    )
    close.addEventListener("click", () => {
      notice.hidden = true
    })
    const parts: Array<Node> = [make("p", {}, make("strong", {}, what), next === "" ? "" : ` ${next}`)]
    if (remedy !== undefined && onRemedy !== undefined) {
      const act = make("button", { type: "button", class: "remedy" }, remedies[remedy])
      act.addEventListener("click", onRemedy)
      parts.push(act)
    }
    // Screen readers announce only what is added to a visible element.
    notice.hidden = false
    notice.replaceChildren(...parts, close)
  }

  return {
    ring,
    show,
    state: () => state,
    clock: (seconds) => {
      clock.textContent =
        seconds === undefined
          ? ""
          : `${Math.floor(seconds / 60)}:${`${Math.floor(seconds % 60)}`.padStart(2, "0")}`
    },
    level: (level) => {
      meter.value = level
    },
    announce: (text) => {
      spoken.textContent = text
    },
    clearNotice: () => {
      notice.hidden = true
      notice.replaceChildren()
    },
    notice: showNotice,
    fail: (error, onRemedy) => {
      const problem = problemOf(error)
      // The failed call was not a turn: there is no recording to send again.
      const isReading = problem.remedy === "send again" && onRemedy === undefined
      showNotice(isReading ? { what: problem.what, next: "Try again in a moment." } : problem, onRemedy)
    },
  }
}

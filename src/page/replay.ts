import type { Display, State } from "./display.ts"
import { playWhole } from "./player.ts"
import { hearPlayer } from "./sound.ts"

/** Plays a reply again. */
export interface Replay {
  /** Ignored while the page records, or waits for a reply. */
  readonly start: (sound: Blob) => void
  readonly stop: () => void
  /** While it is true, the service hears silence: it does not know of this sound, and would answer its echo. */
  readonly isPlaying: () => boolean
}

export const blocked = {
  what: "The browser needs a tap before it plays sound.",
  next: "Press “Play again” under the reply.",
}

/** What the button shows during a replay, by what it shows before. */
const states: { readonly [state in State]?: State } = {
  idle: "speaking",
  speaking: "speaking",
  ready: "replaying",
  replaying: "replaying",
}

export interface ReplayOptions {
  readonly display: Display
  readonly player: HTMLAudioElement
  /** A replay is over, and the button still shows it. */
  readonly onOver: () => void
}

export const makeReplay = ({ display, player, onOver }: ReplayOptions): Replay => {
  let stop: (() => void) | undefined
  return {
    start: (sound) => {
      const shown = states[display.state()]
      if (shown === undefined) return
      const own = playWhole(player, sound, {
        onSounding: () => {
          display.show(shown)
          const analyser = hearPlayer(player)
          if (analyser !== undefined) display.ring.follow(analyser)
        },
        onOver: () => {
          if (stop !== own) return
          stop = undefined
          if (display.state() === shown) onOver()
        },
        onBlocked: () => display.notice(blocked),
      })
      stop = own
    },
    stop: () => stop?.(),
    isPlaying: () => stop !== undefined,
  }
}

import { button } from "./dom.ts"
import { watchFiles } from "./files.ts"
import { openMicrophone, type Recording, record, restMicrophone } from "./microphone.ts"
import type { Problem } from "./problems.ts"
import { hearMicrophone, unlockSound } from "./sound.ts"
import { watchTalking } from "./talk-button.ts"
import { type RunningTurn, type Said, type TurnPlace, takeTurn } from "./turn.ts"

/** A shorter press is a tap of someone who expects a switch. */
const shortestMs = 300
/** The service refuses more than 5 minutes: a second less, since recorders end a little late. */
const longestMs = 299_000
/** As the service has it, where nobody has set MAX_AUDIO_SIZE_MB. */
const largestBytes = 25 * 1024 * 1024

const tooShort: Problem = {
  what: "Hold to talk.",
  next: "Keep the button down while you speak, then let go.",
}
const nowReady: Problem = { what: "The microphone is ready.", next: "Hold the button while you speak." }
const tooLong: Problem = {
  what: "Five minutes are the most at once.",
  next: "What you said so far was sent.",
}
const tooLarge: Problem = {
  what: "That file is over 25 MB.",
  next: "Send a shorter recording, or one as MP3.",
}
const emptyFile: Problem = { what: "That file is empty.", next: "Choose another recording." }

const newlySaid = (sound: Blob): Said => ({
  sound,
  key: crypto.getRandomValues(new BigUint64Array(2)).join("-"),
})

/** From the press of a button, or a file, to a turn. */
export interface Voice {
  /** Silence: nothing is recorded, sent or played any more. */
  readonly stop: () => void
}

export const makeVoice = (place: () => TurnPlace, isShown: () => boolean): Voice => {
  const { player } = place()
  let turn: RunningTurn | undefined
  /** Of the press that is under way; a later one makes an earlier one's microphone void. */
  let press = 0
  let isHeld = false
  let recording: { readonly sound: Recording; readonly since: number; readonly ends: () => void } | undefined

  const silence = () => {
    turn?.stop()
    turn = undefined
    recording?.sound.drop()
    recording?.ends()
    recording = undefined
  }

  const send = (said: Said) => {
    turn?.stop()
    turn = takeTurn(place(), said, send)
  }

  const begin = async () => {
    const { display } = place()
    silence()
    unlockSound(player)
    display.clearNotice()
    display.show("opening")
    const mine = ++press
    isHeld = true
    try {
      const stream = await openMicrophone()
      if (mine !== press || !isHeld) {
        restMicrophone()
        // It took a question to the person, who had to let go to answer it.
        if (mine === press) {
          display.show("idle")
          display.notice(nowReady)
        }
        return
      }
      listen(stream)
    } catch (error) {
      isHeld = false
      display.show("idle")
      display.fail(error)
    }
  }

  const listen = (stream: MediaStream) => {
    const { display } = place()
    const since = performance.now()
    const clock = setInterval(() => display.clock((performance.now() - since) / 1000), 250)
    const limit = setTimeout(() => {
      end()
      display.notice(tooLong)
    }, longestMs)
    const ends = () => {
      clearInterval(clock)
      clearTimeout(limit)
      display.clock(undefined)
      restMicrophone()
    }
    recording = { sound: record(stream), since, ends }
    display.show("listening")
    const analyser = hearMicrophone(stream)
    if (analyser !== undefined) display.ring.follow(analyser, display.level)
  }

  const end = () => {
    isHeld = false
    const { display } = place()
    if (recording === undefined) return
    const { sound, since, ends } = recording
    recording = undefined
    ends()
    if (performance.now() - since < shortestMs) {
      sound.drop()
      display.show("idle")
      display.notice(tooShort)
      return
    }
    unlockSound(player)
    display.show("sending")
    const mine = press
    sound
      .end()
      .then((blob) => mine === press && send(newlySaid(blob)))
      .catch((error: unknown) => {
        display.show("idle")
        display.fail(error)
      })
  }

  const stop = () => {
    press += 1
    isHeld = false
    silence()
    place().display.show("idle")
  }

  watchTalking(button("talk"), isShown, {
    onPress: begin,
    onRelease: end,
    onCancel: stop,
    isListening: () => isHeld,
  })
  button("stop").addEventListener("click", stop)
  watchFiles((file) => {
    const { display } = place()
    press += 1
    silence()
    unlockSound(player)
    display.clearNotice()
    if (file.size > largestBytes || file.size === 0) {
      display.show("idle")
      display.notice(file.size === 0 ? emptyFile : tooLarge)
    } else send(newlySaid(file))
  }, isShown)
  return { stop }
}

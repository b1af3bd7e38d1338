import { button } from "./dom.ts"
import { watchFiles } from "./files.ts"
import { makeLive } from "./live.ts"
import { openMicrophone, type Recording, record, restMicrophone } from "./microphone.ts"
import type { Problem } from "./problems.ts"
import { hearMicrophone, unlockSound } from "./sound.ts"
import { watchTalking } from "./talk-button.ts"
import { type KeyedRecording, type RunningTurn, type TurnContext, takeTurn } from "./turn.ts"

/** A shorter press is a tap, by a person who expects a switch. */
const minHoldMs = 300
/** One second under the service's default limit of 5 minutes: recorders stop a little late. */
const maxRecordingMs = 299_000
/** The service's default MAX_AUDIO_SIZE_MB. */
const maxFileBytes = 25 * 1024 * 1024

const tooShort: Problem = {
  what: "Hold to talk.",
  next: "Keep the button down while you speak, then let go.",
}
const nowReady: Problem = { what: "The microphone is ready.", next: "Hold the button while you speak." }
const tooLong: Problem = {
  what: "A recording can have at most five minutes.",
  next: "The first five minutes were sent.",
}
const tooLarge: Problem = {
  what: "That file is over 25 MB.",
  next: "Send a shorter recording, or one as MP3.",
}
const emptyFile: Problem = { what: "That file is empty.", next: "Choose another recording." }

const newRecording = (sound: Blob): KeyedRecording => ({
  sound,
  key: crypto.getRandomValues(new BigUint64Array(2)).join("-"),
})

/** Turns a press of the button, or a file, into a turn. */
export interface Voice {
  /** Stops the recording, the turn and its playback, and ends the hands-free conversation. */
  readonly stop: () => void
  /** Shows what it does now, after a reply was played again. */
  readonly show: () => void
}

export const makeVoice = (context: () => TurnContext, isShown: () => boolean): Voice => {
  const { player } = context()
  let turn: RunningTurn | undefined
  /** Counts presses. A microphone that opens for an earlier press is not used. */
  let press = 0
  let isHeld = false
  let recording: { readonly sound: Recording; readonly since: number; readonly ends: () => void } | undefined

  const live = makeLive(context, () => {
    press += 1
    silence()
  })

  const silence = () => {
    context().replay.stop()
    live.stop()
    turn?.stop()
    turn = undefined
    recording?.sound.drop()
    recording?.ends()
    recording = undefined
  }

  const send = (recorded: KeyedRecording) => {
    turn?.stop()
    turn = takeTurn(context(), recorded, send)
  }

  const begin = async () => {
    const { display } = context()
    // The microphone is open already.
    if (live.isOn()) return live.interrupt()
    silence()
    unlockSound(player)
    display.clearNotice()
    display.show("opening")
    const mine = ++press
    isHeld = true
    try {
      const stream = await openMicrophone("MediaRecorder")
      if (mine !== press || !isHeld) {
        restMicrophone()
        // The browser asked for permission, and the person let go to answer.
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
    const { display } = context()
    const since = performance.now()
    const clock = setInterval(() => display.clock((performance.now() - since) / 1000), 250)
    const limit = setTimeout(() => {
      end()
      display.notice(tooLong)
    }, maxRecordingMs)
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
    const { display } = context()
    if (recording === undefined) return
    const { sound, since, ends } = recording
    recording = undefined
    ends()
    if (performance.now() - since < minHoldMs) {
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
      .then((blob) => mine === press && send(newRecording(blob)))
      .catch((error: unknown) => {
        display.show("idle")
        display.fail(error)
      })
  }

  const stop = () => {
    press += 1
    isHeld = false
    silence()
    context().display.show("idle")
  }

  watchTalking(button("talk"), isShown, {
    onPress: begin,
    onRelease: end,
    onCancel: stop,
    isListening: () => isHeld,
  })
  button("stop").addEventListener("click", stop)
  watchFiles((file) => {
    const { display } = context()
    press += 1
    silence()
    unlockSound(player)
    display.clearNotice()
    if (file.size > maxFileBytes || file.size === 0) {
      display.show("idle")
      display.notice(file.size === 0 ? emptyFile : tooLarge)
    } else send(newRecording(file))
  }, isShown)
  return { stop, show: () => (live.isOn() ? live.show() : context().display.show("idle")) }
}

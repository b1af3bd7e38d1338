import { type Realtime, type RealtimeState, VoiceAgentError } from "../client/client.ts"
import { type Capture, startCapture } from "./capture.ts"
import { keepRunning, watchDevices } from "./devices.ts"
import type { State } from "./display.ts"
import { button } from "./dom.ts"
import { makeLiveTurns } from "./live-turns.ts"
import { openMicrophone, restMicrophone } from "./microphone.ts"
import { realtimeProblemOf } from "./problems.ts"
import { hearMicrophone, startSound } from "./sound.ts"
import { makeSpeaker } from "./speaker.ts"
import { newSession, type TurnContext } from "./turn.ts"

const states: { readonly [state in Exclude<RealtimeState, "connecting" | "closed">]: State } = {
  listening: "ready",
  hearing: "hearing",
  thinking: "answering",
  speaking: "replying",
}

const unreachable = {
  what: "The service could not be reached.",
  next: "Check the network, then press Hands-free again.",
}

/** The hands-free conversation: its switch, its microphone and its voice. */
export interface Live {
  readonly isOn: () => boolean
  /** Shows what it does now. */
  readonly show: () => void
  readonly interrupt: () => void
  readonly stop: () => void
}

/** `onBegin` ends what else uses the microphone or plays. */
export const makeLive = (context: () => TurnContext, onBegin: () => void): Live => {
  const control = button("live")
  /** Of the running conversation. */
  let ends: AbortController | undefined
  let realtime: Realtime | undefined
  let show = () => {}

  const stop = () => {
    if (ends === undefined) return
    context().replay.stop()
    ends.abort()
    ends = undefined
    realtime?.close()
    realtime = undefined
    show = () => {}
    control.ariaPressed = "false"
    restMicrophone()
    const { display } = context()
    display.show("idle")
    display.announce("Hands-free is off.")
  }

  /** Ends it with the reason. */
  const fail = (error: unknown) => {
    const { display, onSignIn } = context()
    stop()
    const isLost = error instanceof VoiceAgentError && error.code === "NETWORK_LOST"
    if (isLost) display.notice(unreachable)
    else display.fail(error, onSignIn)
  }

  /** Connects, and returns what shows the sound of a microphone. */
  const converse = (
    sound: AudioContext,
    ended: AbortSignal,
  ): ((analyser: AnalyserNode | undefined) => void) => {
    const { client, conversation, display, replay, agentId, onTurn } = context()
    const speaker = makeSpeaker(sound)
    const turns = makeLiveTurns({
      list: conversation,
      onPlay: replay.start,
      onTurn: (transcript) => {
        const sessionId = realtime?.sessionId()
        if (sessionId !== undefined) onTurn({ sessionId, transcript })
      },
    })
    let microphone: AnalyserNode | undefined
    let hasSession = false
    ended.addEventListener("abort", speaker.stop)

    const showState = (state: RealtimeState) => {
      if (ended.aborted || state === "closed") return
      if (state !== "listening") replay.stop()
      if (state === "connecting") {
        display.show(hasSession ? "reconnecting" : "connecting")
        if (hasSession) display.announce("The connection was lost. Connecting again.")
        return
      }
      display.show(states[state])
      if (state === "speaking") display.ring.follow(speaker.analyser)
      else if (state !== "thinking" && microphone !== undefined)
        display.ring.follow(microphone, display.level)
    }

    const connect = (sessionId: string | undefined): Realtime =>
      client.realtime({
        sessionId,
        agentId,
        playedMs: speaker.playedMs,
        onState: showState,
        onSession: () => {
          display.announce(hasSession ? "Connected again." : "Hands-free is on. Speak at any time.")
          hasSession = true
        },
        onUtterance: turns.hears,
        onTranscript: ({ itemId, text }) => {
          turns.says(itemId, text)
          // A session without words is not stored.
          const id = realtime?.sessionId()
          if (text !== "" && id !== undefined) conversation.join(id)
        },
        onText: ({ itemId, text }) => turns.adds(itemId, text),
        onAudio: ({ itemId, samples }) => {
          turns.sounds(itemId, samples)
          speaker.play(itemId, samples)
        },
        onInterrupted: ({ itemId, playedMs }) => {
          speaker.stop()
          turns.interrupts(itemId, playedMs)
        },
        onToolCall: turns.calls,
        onReplyEnd: ({ itemId, isComplete }) => {
          if (itemId !== undefined) speaker.end(itemId)
          turns.ends(itemId, isComplete)
        },
        onError: (error) => display.notice(realtimeProblemOf(error)),
        onClosed: (error) => {
          if (ended.aborted || error === undefined) return
          const isGone = error.code === "SESSION_NOT_FOUND" || error.code === "SESSION_EXPIRED"
          if (!isGone || sessionId === undefined) return fail(error)
          display.notice(newSession)
          realtime = connect(undefined)
        },
      })

    realtime = connect(conversation.sessionId())
    show = () => {
      if (realtime !== undefined) showState(realtime.state())
    }
    show()
    return (analyser) => {
      microphone = analyser
      show()
    }
  }

  /** Listens to the microphone, and to another one when the device changes. */
  const listen = async (sound: AudioContext, capture: Capture, ended: AbortSignal) => {
    const { display } = context()
    const showMicrophone = converse(sound, ended)
    let opening = Promise.resolve()
    const hear = (stream: MediaStream) => {
      capture.use(stream)
      showMicrophone(hearMicrophone(stream))
      // Unplugged: closing it fires no event.
      for (const track of stream.getAudioTracks()) track.addEventListener("ended", change, { once: true })
    }
    const reopen = async () => {
      if (ended.aborted) return
      try {
        const stream = await openMicrophone("AudioWorkletNode", true)
        if (ended.aborted) return restMicrophone()
        hear(stream)
        display.clearNotice()
      } catch (error) {
        // The next device is tried when it is there.
        if (!ended.aborted) display.fail(error)
      }
    }
    const change = () => {
      opening = opening.then(reopen)
    }
    hear(await openMicrophone("AudioWorkletNode"))
    ended.addEventListener("abort", watchDevices(change))
  }

  const start = async () => {
    onBegin()
    const { display } = context()
    const sound = startSound()
    const running = new AbortController()
    const { signal } = running
    ends = running
    control.ariaPressed = "true"
    display.clearNotice()
    display.show("opening")
    signal.addEventListener("abort", keepRunning(sound))
    try {
      // The browser asks for permission first.
      await openMicrophone("AudioWorkletNode")
      const { replay } = context()
      const capture = await startCapture(sound, (samples) =>
        realtime?.append(replay.isPlaying() ? new Int16Array(samples.length) : samples),
      )
      signal.addEventListener("abort", capture.stop)
      if (signal.aborted) return capture.stop()
      await listen(sound, capture, signal)
    } catch (error) {
      if (!signal.aborted) fail(error)
    }
  }

  control.addEventListener("click", () => {
    if (ends === undefined) start()
    else stop()
  })

  return {
    isOn: () => ends !== undefined,
    show: () => show(),
    interrupt: () => {
      context().replay.stop()
      realtime?.interrupt()
    },
    stop,
  }
}

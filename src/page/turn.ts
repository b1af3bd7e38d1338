import { type Client, type Turn, VoiceAgentError } from "../client/client.ts"
import type { Conversation } from "./conversation.ts"
import type { Display } from "./display.ts"
import { type Playback, play } from "./player.ts"
import { hearPlayer } from "./sound.ts"

export interface TurnPlace {
  readonly client: Client
  readonly conversation: Conversation
  readonly display: Display
  readonly player: HTMLAudioElement
  /** The turn is saved. */
  readonly onTurn: (turn: Turn) => void
  readonly onSignIn: () => void
}

export interface RunningTurn {
  /** Silence, at once; the service stops working on it too. */
  readonly stop: () => void
}

const blocked = {
  what: "The browser wants a tap before it plays sound.",
  next: "Press “Play again” under the reply.",
}

const newSession = {
  what: "That conversation had been idle for too long to go on.",
  next: "A new one has begun; the old one stays in the list.",
}

/** What was said, and the name of its turn: sent twice, it is answered once. */
export interface Said {
  readonly sound: Blob
  readonly key: string
}

/** Sends a recording, and shows and plays what comes back while it comes; `resend` sends it once more. */
export const takeTurn = (place: TurnPlace, said: Said, resend: (said: Said) => void): RunningTurn => {
  const { client, conversation, display, player } = place
  const view = conversation.begin()
  const controller = new AbortController()
  const asked = conversation.sessionId()
  let speech: Array<Uint8Array<ArrayBuffer>> = []
  let isCurrent = true
  let isAnswered = false
  let isSilent = true
  let isReplaying = false
  let playback: Playback

  const again = () => {
    if (display.state() !== "idle" && display.state() !== "speaking") return
    isCurrent = true
    isReplaying = true
    startPlayback()
    for (const bytes of speech) playback.push(bytes)
    playback.end()
  }
  const startPlayback = () => {
    isSilent = false
    playback = play(player, {
      onSounding: () => {
        if (!isCurrent) return
        display.show("speaking")
        const analyser = hearPlayer(player)
        if (analyser !== undefined) display.ring.follow(analyser)
      },
      onOver: () => {
        isSilent = true
        if (isCurrent && isAnswered) display.show("idle")
      },
      onBlocked: () => display.notice(blocked),
    })
  }
  startPlayback()

  const run = async () => {
    const turn = await client.converse(said.sound, {
      sessionId: asked,
      idempotencyKey: said.key,
      signal: controller.signal,
      onUploadProgress: ({ sent, total }) => {
        view.uploads(sent / total)
        if (sent >= total) {
          view.waits("Writing down your words…")
          if (isCurrent) display.show("thinking")
        }
      },
      onStarted: ({ sessionId, isRestart }) => {
        if (isRestart) {
          view.restarts()
          speech = []
          startPlayback()
        }
        if (asked !== undefined && asked !== sessionId) display.notice(newSession)
        conversation.join(sessionId)
      },
      onTranscript: (text) => {
        view.says(text)
        display.announce(`You said: ${text}`)
      },
      onText: view.adds,
      onAudio: (bytes) => {
        speech.push(bytes)
        playback.push(bytes)
      },
    })
    isAnswered = true
    playback.end()
    if (isCurrent && isSilent) display.show("idle")
    view.completes(turn.timings, again)
    display.announce(turn.response)
    conversation.timed(turn.timings)
    place.onTurn(turn)
  }

  display.show("sending")
  view.waits("Sending…")
  run().catch((error: unknown) => {
    isAnswered = true
    // What came of it may be heard to its end.
    playback.end()
    if (isCurrent && isSilent) display.show("idle")
    if (error instanceof VoiceAgentError && error.code === "ABORTED") return
    if (view.reply() === "") conversation.remove(view)
    else view.interrupts()
    display.fail(error, () => {
      display.clearNotice()
      const isForbidden = error instanceof VoiceAgentError && error.status === 401
      if (isForbidden) place.onSignIn()
      else resend(said)
    })
  })

  return {
    stop: () => {
      isCurrent = false
      const wasHeard = isAnswered && (isSilent || isReplaying)
      playback.stop()
      if (wasHeard) return
      if (!isAnswered) controller.abort()
      view.interrupts()
    },
  }
}

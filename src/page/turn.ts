import { type Client, type Turn, VoiceAgentError } from "../client/client.ts"
import type { Conversation } from "./conversation.ts"
import type { Display } from "./display.ts"
import { type Playback, play } from "./player.ts"
import { hearPlayer } from "./sound.ts"

export interface TurnContext {
  readonly client: Client
  readonly conversation: Conversation
  readonly display: Display
  readonly player: HTMLAudioElement
  /** The turn is saved. */
  readonly onTurn: (turn: Pick<Turn, "sessionId" | "transcript">) => void
  readonly onSignIn: () => void
}

export interface RunningTurn {
  /** Stops the playback at once, and cancels the turn on the service. */
  readonly stop: () => void
}

const blocked = {
  what: "The browser needs a tap before it plays sound.",
  next: "Press “Play again” under the reply.",
}

export const newSession = {
  what: "That conversation expired or was deleted.",
  next: "This turn started a new one.",
}

/** A recording with its Idempotency-Key: sent twice, it becomes one turn. */
export interface KeyedRecording {
  readonly sound: Blob
  readonly key: string
}

/** Sends a recording, and shows and plays the reply as it arrives. The notice's button calls `resend`. */
export const takeTurn = (
  context: TurnContext,
  recorded: KeyedRecording,
  resend: (recorded: KeyedRecording) => void,
): RunningTurn => {
  const { client, conversation, display, player } = context
  const view = conversation.begin()
  const controller = new AbortController()
  const requestedSession = conversation.sessionId()
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
    const turn = await client.converse(recorded.sound, {
      sessionId: requestedSession,
      idempotencyKey: recorded.key,
      signal: controller.signal,
      onUploadProgress: ({ sent, total }) => {
        view.uploads(sent / total)
        if (sent >= total) {
          view.waits("Transcribing…")
          if (isCurrent) display.show("thinking")
        }
      },
      onStarted: ({ sessionId, isRestart }) => {
        if (isRestart) {
          view.restarts()
          speech = []
          startPlayback()
        }
        if (requestedSession !== undefined && requestedSession !== sessionId) display.notice(newSession)
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
    view.completes(turn.timings, speech.length > 0 ? again : undefined)
    display.announce(turn.response)
    conversation.timed(turn.timings.firstAudio)
    context.onTurn(turn)
  }

  display.show("sending")
  view.waits("Sending…")
  run().catch((error: unknown) => {
    isAnswered = true
    // The audio received so far plays to its end.
    playback.end()
    if (isCurrent && isSilent) display.show("idle")
    if (error instanceof VoiceAgentError && error.code === "ABORTED") return
    if (view.reply() === "") conversation.remove(view)
    else view.interrupts()
    display.fail(error, () => {
      display.clearNotice()
      const isForbidden = error instanceof VoiceAgentError && error.status === 401
      if (isForbidden) context.onSignIn()
      else resend(recorded)
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

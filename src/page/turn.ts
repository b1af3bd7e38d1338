import { type Client, type Turn, VoiceAgentError } from "../client/client.ts"
import type { Conversation } from "./conversation.ts"
import type { Display } from "./display.ts"
import { type Playback, play } from "./player.ts"
import { blocked, type Replay } from "./replay.ts"
import { hearPlayer } from "./sound.ts"
import { timesOf } from "./waterfall-spans.ts"

export interface TurnContext {
  readonly client: Client
  readonly conversation: Conversation
  readonly display: Display
  readonly player: HTMLAudioElement
  readonly replay: Replay
  /** The agent of a new conversation. */
  readonly agentId: string
  /** The turn is saved. */
  readonly onTurn: (turn: Pick<Turn, "sessionId" | "transcript">) => void
  readonly onSignIn: () => void
}

export interface RunningTurn {
  /** Stops the playback at once, and cancels the turn on the service. */
  readonly stop: () => void
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
  const { client, conversation, display, player, replay } = context
  const view = conversation.begin()
  const controller = new AbortController()
  const requestedSession = conversation.sessionId()
  let speech: Array<Uint8Array<ArrayBuffer>> = []
  let isCurrent = true
  let isAnswered = false
  let isSilent = true
  let playback: Playback

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
      ...(requestedSession === undefined ? { agentId: context.agentId } : {}),
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
      onToolCall: view.calls,
      onAudio: (bytes) => {
        speech.push(bytes)
        playback.push(bytes)
      },
    })
    isAnswered = true
    playback.end()
    if (isCurrent && isSilent) display.show("idle")
    const sound = new Blob(speech, { type: "audio/mpeg" })
    view.completes(timesOf(turn.timings), sound.size > 0 ? () => replay.start(sound) : undefined)
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
      const wasHeard = isAnswered && isSilent
      playback.stop()
      if (wasHeard) return
      if (!isAnswered) controller.abort()
      // Cancelled before its words are known: nothing of it is stored.
      if (view.isWaiting()) conversation.remove(view)
      else view.interrupts()
    },
  }
}

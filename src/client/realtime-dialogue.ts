import { VoiceAgentError } from "./errors.ts"
import type { ToolCall } from "./model.ts"
import type { RealtimeEvent } from "./realtime-events.ts"
import { makeReplies, type Played } from "./realtime-replies.ts"

/**
 * - connecting: at first, and after the connection was lost
 * - listening: nobody speaks
 * - hearing: the user speaks
 * - thinking: the user's words are transcribed, or the reply is being made
 * - speaking: a reply is played
 * - closed: by `close` or by an error
 */
export type RealtimeState = "connecting" | "listening" | "hearing" | "thinking" | "speaking" | "closed"

/** Callbacks for a conversation in progress. */
export interface RealtimeListener {
  readonly onState?: ((state: RealtimeState) => void) | undefined
  /** A connection is open. `isResumed`: it continues the session of the one before. */
  readonly onSession?:
    | ((session: { readonly sessionId: string; readonly isResumed: boolean }) => void)
    | undefined
  /** The user has finished speaking. The transcript follows. */
  readonly onUtterance?: ((utterance: { readonly itemId: string }) => void) | undefined
  /** What the user said, or `say` sent. Empty: there were no words, or they could not be transcribed. */
  readonly onTranscript?:
    | ((transcript: { readonly itemId: string; readonly text: string }) => void)
    | undefined
  /** Receives the next part of a reply's text. It is ahead of the audio. */
  readonly onText?: ((part: { readonly itemId: string; readonly text: string }) => void) | undefined
  /** Receives the next part of a reply's audio: 24 kHz mono samples, faster than they play. */
  readonly onAudio?:
    | ((part: { readonly itemId: string; readonly samples: Int16Array<ArrayBuffer> }) => void)
    | undefined
  /** Stop playing this reply at once: the user speaks, or `interrupt` or `say` was called. */
  readonly onInterrupted?: ((played: Played) => void) | undefined
  /** A reply is complete, or was broken off. Its audio may still be playing. `itemId` is undefined without any output. */
  readonly onReplyEnd?:
    | ((end: { readonly itemId: string | undefined; readonly isComplete: boolean }) => void)
    | undefined
  /** The agent calls a tool of the client. `tools` runs those that have a function. */
  readonly onToolCall?: ((call: ToolCall) => void) | undefined
  /** Something failed, and the conversation goes on. The reason of its end is in `onClosed`. */
  readonly onError?: ((error: VoiceAgentError) => void) | undefined
  /** Called once. Undefined after `close`. */
  readonly onClosed?: ((error: VoiceAgentError | undefined) => void) | undefined
}

/** A cancellation or truncation came too late, or the next connection continues the session. */
const harmless = new Set([
  "response_cancel_not_active",
  "item_truncate_invalid_item_id",
  "session_expired",
  "server_shutdown",
])

/** How long a transcript may wait for the response that answers it, in ms. "Mhm" gets none. */
const answerMs = 500

/** The shortest time between two looks at a player that stands still, in ms. */
const lookMs = 50

export interface DialogueOptions {
  readonly listener: RealtimeListener
  readonly playedMs: ((itemId: string) => number) | undefined
  readonly send: (event: object) => void
  readonly now: () => number
}

/** What happens on a connection, from the service's events to the listener's callbacks. */
export interface Dialogue {
  readonly take: (event: RealtimeEvent) => void
  /** The connection is lost. Audio received so far keeps playing. */
  readonly lose: () => void
  readonly interrupt: () => void
  readonly close: () => void
  readonly state: () => RealtimeState
  /** The user speaks, or a response is being made or about to be. */
  readonly isBusy: () => boolean
}

export const makeDialogue = ({ listener, playedMs, send, now }: DialogueOptions): Dialogue => {
  const replies = makeReplies({ playedMs, now })
  const utterances = new Set<string>()
  const cancelled = new Set<string>()
  let state: RealtimeState = "connecting"
  let isConnected = false
  let isClosed = false
  let isHearing = false
  let interruptsBySpeech = true
  let responding: { readonly id: string; itemId: string | undefined } | undefined
  let answerDueAt = 0
  let look: ReturnType<typeof setTimeout> | undefined

  const isThinking = () => utterances.size > 0 || responding !== undefined || now() < answerDueAt

  const next = (): RealtimeState => {
    if (isClosed) return "closed"
    if (!isConnected) return "connecting"
    if (isHearing) return "hearing"
    if (replies.isSpeaking()) return "speaking"
    return isThinking() ? "thinking" : "listening"
  }

  const update = () => {
    clearTimeout(look)
    replies.prune(responding?.id)
    const before = state
    state = next()
    if (state !== before) listener.onState?.(state)
    // Playing ends without an event.
    const waitMs = state === "speaking" ? replies.leftMs() : answerDueAt - now()
    if (state === "speaking" || state === "thinking") look = setTimeout(update, Math.max(lookMs, waitMs))
  }

  const stopReplies = () => {
    for (const played of replies.stop()) {
      listener.onInterrupted?.(played)
      if (!isConnected) continue
      send({
        type: "conversation.item.truncate",
        item_id: played.itemId,
        content_index: 0,
        audio_end_ms: played.playedMs,
      })
    }
  }

  const output = (responseId: string, itemId: string, deliver: () => void) => {
    if (cancelled.has(responseId)) return
    if (responding?.id === responseId) responding.itemId = itemId
    deliver()
  }

  const fail = (failure: { readonly code: string; readonly message: string }) =>
    listener.onError?.(new VoiceAgentError(failure))

  const take = (event: RealtimeEvent) => {
    switch (event.type) {
      case "created":
        isConnected = true
        return
      case "updated":
        interruptsBySpeech = event.interrupts
        return
      case "speechStarted":
        isHearing = true
        if (interruptsBySpeech) stopReplies()
        return
      case "committed":
        isHearing = false
        utterances.add(event.itemId)
        listener.onUtterance?.({ itemId: event.itemId })
        return
      case "transcript":
        if (utterances.delete(event.itemId) && event.text !== "") answerDueAt = now() + answerMs
        listener.onTranscript?.({ itemId: event.itemId, text: event.text })
        return
      case "transcriptFailed":
        utterances.delete(event.itemId)
        listener.onTranscript?.({ itemId: event.itemId, text: "" })
        return fail(event.failure)
      case "responseCreated":
        answerDueAt = 0
        responding = { id: event.responseId, itemId: undefined }
        return
      case "text":
        return output(event.responseId, event.itemId, () =>
          listener.onText?.({ itemId: event.itemId, text: event.text }),
        )
      case "audio":
        return output(event.responseId, event.itemId, () => {
          replies.add(event.itemId, event.responseId, event.samples.length)
          listener.onAudio?.({ itemId: event.itemId, samples: event.samples })
        })
      case "responseDone":
        return endResponse(event)
      case "error":
        return harmless.has(event.failure.code) ? undefined : fail(event.failure)
    }
  }

  const endResponse = ({ responseId, isComplete, failure }: RealtimeEvent & { type: "responseDone" }) => {
    cancelled.delete(responseId)
    const itemId = responding?.id === responseId ? responding.itemId : undefined
    if (responding?.id === responseId) responding = undefined
    listener.onReplyEnd?.({ itemId, isComplete })
    if (failure !== undefined) fail(failure)
  }

  /** The connection takes its responses and transcriptions with it. */
  const forget = () => {
    isConnected = false
    isHearing = false
    answerDueAt = 0
    for (const itemId of utterances) listener.onTranscript?.({ itemId, text: "" })
    utterances.clear()
    cancelled.clear()
    if (responding !== undefined) listener.onReplyEnd?.({ itemId: responding.itemId, isComplete: false })
    responding = undefined
  }

  return {
    take: (event) => {
      take(event)
      update()
    },
    lose: () => {
      forget()
      update()
    },
    interrupt: () => {
      if (responding !== undefined) {
        cancelled.add(responding.id)
        send({ type: "response.cancel", response_id: responding.id })
      }
      stopReplies()
      update()
    },
    close: () => {
      if (isClosed) return
      stopReplies()
      forget()
      isClosed = true
      update()
    },
    state: () => state,
    isBusy: () => isHearing || isThinking(),
  }
}

import type { ToolCall, TurnStarted } from "./model.ts"

export interface Started extends TurnStarted {
  /** True when the service lost the turn and runs it again. Discard the text and audio received so far. */
  readonly isRestart: boolean
}

/** Callbacks for a turn in progress. */
export interface TurnListener {
  readonly onStarted?: ((started: Started) => void) | undefined
  readonly onTranscript?: ((text: string) => void) | undefined
  /** Receives the next part of the reply's text. */
  readonly onText?: ((text: string) => void) | undefined
  /** Receives the next bytes of the spoken reply. A turn's chunks form one continuous file of `format` ("mp3"). */
  readonly onAudio?: ((bytes: Uint8Array<ArrayBuffer>, format: string) => void) | undefined
  /** The agent calls a tool of the client. Run it only once the turn is complete: the call is saved then. */
  readonly onToolCall?: ((call: ToolCall) => void) | undefined
}

/**
 * Delivers a turn to its listener exactly once. After a reconnect the service sends a saved turn again from its start,
 * and in other pieces, so the part already delivered is skipped: text by characters, audio by bytes per format.
 */
export const exactlyOnce = (listener: TurnListener) => {
  let turnId: string | undefined
  let hasTranscript = false
  let textDelivered = 0
  let textReceived = 0
  const audioDelivered = new Map<string, number>()
  const audioReceived = new Map<string, number>()
  const calls = new Set<string>()

  return {
    /** A response begins. */
    started: ({ sessionId, turnId: id }: TurnStarted) => {
      const isRestart = turnId !== undefined && turnId !== id
      if (isRestart) {
        hasTranscript = false
        textDelivered = 0
        audioDelivered.clear()
        calls.clear()
      }
      textReceived = 0
      audioReceived.clear()
      if (id === turnId) return
      turnId = id
      listener.onStarted?.({ sessionId, turnId: id, isRestart })
    },
    transcript: (text: string) => {
      if (hasTranscript) return
      hasTranscript = true
      listener.onTranscript?.(text)
    },
    text: (text: string) => {
      const fresh = text.slice(Math.max(0, textDelivered - textReceived))
      textReceived += text.length
      textDelivered = Math.max(textDelivered, textReceived)
      if (fresh !== "") listener.onText?.(fresh)
    },
    audio: (bytes: Uint8Array<ArrayBuffer>, format: string) => {
      const received = audioReceived.get(format) ?? 0
      const delivered = audioDelivered.get(format) ?? 0
      const fresh = bytes.subarray(Math.max(0, delivered - received))
      audioReceived.set(format, received + bytes.length)
      audioDelivered.set(format, Math.max(delivered, received + bytes.length))
      if (fresh.length > 0) listener.onAudio?.(fresh, format)
    },
    toolCall: (call: ToolCall) => {
      if (calls.has(call.callId)) return
      calls.add(call.callId)
      listener.onToolCall?.(call)
    },
  }
}

export type Delivery = ReturnType<typeof exactlyOnce>

/** Where a turn began. */
export interface Started {
  readonly sessionId: string
  readonly turnId: string
  /** The service lost the turn and took it anew: forget the text and the audio that came before. */
  readonly isRestart: boolean
}

/** What hears of a turn while it is under way. */
export interface TurnListener {
  readonly onStarted?: ((started: Started) => void) | undefined
  readonly onTranscript?: ((text: string) => void) | undefined
  /** The reply's next words. */
  readonly onText?: ((text: string) => void) | undefined
  /** The speech's next bytes: all of a turn's make one continuous file of `format` ("mp3"). */
  readonly onAudio?: ((bytes: Uint8Array<ArrayBuffer>, format: string) => void) | undefined
}

/**
 * Hands a turn over exactly once, however often its answer begins anew: a saved answer comes again from its begin and
 * in other pieces, so what was handed over is skipped, text by characters and audio by the bytes of its format.
 */
export const makeDelivery = (listener: TurnListener) => {
  let turnId: string | undefined
  let hasTranscript = false
  let textGiven = 0
  let textSeen = 0
  const audioGiven = new Map<string, number>()
  const audioSeen = new Map<string, number>()

  return {
    /** An answer begins. */
    started: (sessionId: string, id: string) => {
      const isRestart = turnId !== undefined && turnId !== id
      if (isRestart) {
        hasTranscript = false
        textGiven = 0
        audioGiven.clear()
      }
      textSeen = 0
      audioSeen.clear()
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
      const fresh = text.slice(Math.max(0, textGiven - textSeen))
      textSeen += text.length
      textGiven = Math.max(textGiven, textSeen)
      if (fresh !== "") listener.onText?.(fresh)
    },
    audio: (bytes: Uint8Array<ArrayBuffer>, format: string) => {
      const seen = audioSeen.get(format) ?? 0
      const given = audioGiven.get(format) ?? 0
      const fresh = bytes.subarray(Math.max(0, given - seen))
      audioSeen.set(format, seen + bytes.length)
      audioGiven.set(format, Math.max(given, seen + bytes.length))
      if (fresh.length > 0) listener.onAudio?.(fresh, format)
    },
  }
}

export type Delivery = ReturnType<typeof makeDelivery>

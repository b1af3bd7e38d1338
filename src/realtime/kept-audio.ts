/** Audio that may still be needed. Positions count samples since the socket opened. */
export interface KeptAudio {
  readonly append: (samples: Int16Array) => void
  /** The first position that is kept, and the one after the last. */
  readonly start: () => number
  readonly end: () => number
  /** A copy. What is not kept is missing from it. */
  readonly slice: (from: number, to: number) => Int16Array<ArrayBuffer>
  /** Forgets what is before a position. */
  readonly dropBefore: (position: number) => void
}

export const makeKeptAudio = (): KeptAudio => {
  let chunks: Array<{ readonly at: number; readonly samples: Int16Array }> = []
  let start = 0
  let end = 0
  return {
    append: (samples) => {
      if (samples.length === 0) return
      chunks.push({ at: end, samples: samples.slice() })
      end += samples.length
    },
    start: () => start,
    end: () => end,
    slice: (from, to) => {
      const first = Math.max(from, start)
      const slice = new Int16Array(Math.max(0, Math.min(to, end) - first))
      for (const { at, samples } of chunks) {
        const part = samples.subarray(Math.max(0, first - at), Math.max(0, first + slice.length - at))
        if (part.length > 0) slice.set(part, Math.max(at, first) - first)
      }
      return slice
    },
    dropBefore: (position) => {
      start = Math.min(Math.max(start, Math.floor(position)), end)
      if ((chunks[0]?.at ?? end) + (chunks[0]?.samples.length ?? 0) > start) return
      chunks = chunks.filter(({ at, samples }) => at + samples.length > start)
    },
  }
}

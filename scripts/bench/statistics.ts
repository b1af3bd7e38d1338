/** The percentile `p` (0 to 1) by nearest rank. NaN without values. */
export const percentile = (values: ReadonlyArray<number>, p: number): number =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(values.length * p) - 1)] ?? Number.NaN

export const median = (values: ReadonlyArray<number>): number => percentile(values, 0.5)

/** A chunk of the response body: arrival time in ms, on any clock, and size in bytes. */
export interface Arrival {
  readonly atMs: number
  readonly bytes: number
}

/**
 * The longest gap in a reply, in ms, for a player that starts at the first byte and does not buffer: everything
 * received is played, and the next chunk has not arrived. `bytesPerMs`: the bit rate of the audio.
 */
export const longestGapMs = (arrivals: ReadonlyArray<Arrival>, bytesPerMs: number): number => {
  let playedOutMs = arrivals[0]?.atMs ?? 0
  let longest = 0
  for (const { atMs, bytes } of arrivals) {
    longest = Math.max(longest, atMs - playedOutMs)
    playedOutMs = Math.max(playedOutMs, atMs) + bytes / bytesPerMs
  }
  return longest
}

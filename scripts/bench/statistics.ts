/** By nearest rank: the smallest of the values that a share `p` (0 to 1) of them does not exceed. NaN for none. */
export const percentile = (values: ReadonlyArray<number>, p: number): number =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(values.length * p) - 1)] ?? Number.NaN

export const median = (values: ReadonlyArray<number>): number => percentile(values, 0.5)

/** A part of the reply's body: when it came, in ms on any one clock, and how many bytes it had. */
export interface Arrival {
  readonly atMs: number
  readonly bytes: number
}

/**
 * The longest silence in a reply, in ms, for a player that starts at its first byte and never waits to have more:
 * what it has been given is played out, and the next part has not come yet. `bytesPerMs`: of the audio as it plays.
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

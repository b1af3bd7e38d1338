/**
 * How far a client has played the audio that it was sent, as far as the server can know: it plays in real time from the
 * first chunk on, and waits where no audio is there. Times are in ms of any one clock.
 */
export interface Playback {
  /** The playing time of all audio that was sent. */
  readonly sentMs: number
  /** When the last of it will have been played. */
  readonly endsAt: number
}

export const noPlayback: Playback = { sentMs: 0, endsAt: 0 }

/** After another `ms` of audio was sent at `now`. */
export const sent = ({ sentMs, endsAt }: Playback, ms: number, now: number): Playback => ({
  sentMs: sentMs + ms,
  endsAt: Math.max(endsAt, now) + ms,
})

/** The playing time of what was played by `now`, in whole ms. */
export const playedMs = ({ sentMs, endsAt }: Playback, now: number): number =>
  Math.floor(Math.max(0, sentMs - Math.max(0, endsAt - now)))

/** What is left to play at `now`, in ms. */
export const leftMs = ({ endsAt }: Playback, now: number): number => Math.max(0, endsAt - now)

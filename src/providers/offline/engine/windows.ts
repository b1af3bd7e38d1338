import { sampleRate } from "../../../audio/pcm.ts"

/** Part of a recording, in samples: from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Around speech: the detector notices a soft first or last sound late. More silence makes Moonshine miss words. */
const margin = 0.2 * sampleRate

/** Moonshine repeats itself from about 30 s on. */
const longest = 15 * sampleRate

/** 30 ms, the usual frame of voice detectors. */
const frame = 0.03 * sampleRate

/** The middle of the quietest frame between two samples. */
const quietestIn = (samples: Int16Array, from: number, to: number): number => {
  let quietest = from
  let lowest = Number.POSITIVE_INFINITY
  for (let start = from; start + frame <= to; start += frame) {
    let energy = 0
    for (let at = start; at < start + frame; at++) energy += (samples[at] ?? 0) ** 2
    if (energy < lowest) {
      lowest = energy
      quietest = start
    }
  }
  return quietest + frame / 2
}

/**
 * What the recognizer hears of a recording: every span of speech with 200 ms around it, or up to the middle of the pause
 * between two, and at most 15 s long. Longer speech is cut where it is quietest. No sound is in two
 * windows, but a cut in speech without a pause may go through a word.
 */
export const windowsOf = (speech: ReadonlyArray<Span>, samples: Int16Array): ReadonlyArray<Span> =>
  speech.flatMap(({ start, end }, index) => {
    const before = speech[index - 1]?.end ?? Number.NEGATIVE_INFINITY
    const after = speech[index + 1]?.start ?? Number.POSITIVE_INFINITY
    const to = Math.min(end + margin, Math.floor((end + after) / 2), samples.length)
    let from = Math.max(start - margin, Math.floor((before + start) / 2), 0)
    const windows: Array<Span> = []
    while (to - from > longest) {
      // Near an even split: a last window of half a word would be heard as another one.
      const share = (to - from) / Math.ceil((to - from) / longest)
      const cut = quietestIn(
        samples,
        from + Math.floor((share * 2) / 3),
        from + Math.min(longest, Math.floor((share * 4) / 3)),
      )
      windows.push({ start: from, end: cut })
      from = cut
    }
    return [...windows, { start: from, end: to }]
  })

/** The time for which this process did not run, because the machine was busy. */

/** In ms. */
const tick = 10

let isWatched = false
let lost = 0
let last = 0
/** A timer is late by 1 or 2 ms on an idle machine. */
const missed = (now: number) => Math.max(0, now - last - tick - 2)

/** Starts the count. A fast clock needs it, benchmarks do not. */
export const watchStalls = () => {
  if (isWatched) return
  isWatched = true
  last = performance.now()
  setInterval(() => {
    const now = performance.now()
    lost += missed(now)
    last = now
  }, tick).unref()
}

/** In ms, since `watchStalls`; 0 without it. */
export const stalled = (): number => (isWatched ? lost + missed(performance.now()) : 0)

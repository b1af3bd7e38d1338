import { Effect } from "effect"

/** The entries one by one; the last one repeats. */
export const makeScript = <A>(entries: ReadonlyArray<A>): (() => A) => {
  let at = 0
  return () => {
    const entry = entries[Math.min(at, entries.length - 1)]
    at += 1
    if (entry === undefined) throw new Error("The script of a fake needs one entry at least.")
    return entry
  }
}

/** On the clock of the test. `Infinity` never ends. */
export const wait = (ms = 0) => (ms === 0 ? Effect.void : Effect.sleep(ms))

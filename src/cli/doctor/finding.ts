/** `problem`: the service would not start, or no turn would succeed. */
export type State = "ok" | "warning" | "problem"

/** What one check found. */
export interface Finding {
  readonly check: string
  readonly state: State
  readonly found: string
  /** What to do about it; none where all is well. */
  readonly advice?: string
  /** By how much a server's clock is ahead of this machine's, in ms, where one was seen. */
  readonly aheadMs?: number
}

export const ok = (check: string, found: string): Finding => ({ check, state: "ok", found })

export const warning = (check: string, found: string, advice: string): Finding => ({
  check,
  state: "warning",
  found,
  advice,
})

export const problem = (check: string, found: string, advice: string): Finding => ({
  check,
  state: "problem",
  found,
  advice,
})

/** An error's own words, on one line. */
export const wordsOf = (error: unknown): string =>
  (error instanceof Error ? error.message || error.name : `${error}`).replaceAll(/\s+/g, " ").trim()

/** `problem`: the service would not start, or no turn would succeed. */
export type State = "ok" | "warning" | "problem"

/** The result of one check. */
export interface Finding {
  readonly check: string
  readonly state: State
  readonly found: string
  /** How to fix it. Absent if the state is ok. */
  readonly advice?: string
  /** How far a server's clock is ahead of this machine's, in ms, if the check saw one. */
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

/** An error's message, on one line. */
export const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message || error.name : `${error}`).replaceAll(/\s+/g, " ").trim()

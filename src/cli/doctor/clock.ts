import { type Finding, ok, warning } from "./finding.ts"

/** The network and the whole seconds of a Date header account for less. */
const toleranceMs = 5000

/** Compares this machine's clock with those of the servers in the other findings. */
export const checkClock = (findings: ReadonlyArray<Finding>): Finding => {
  const seen = findings.flatMap(({ aheadMs }) => (aheadMs === undefined ? [] : [aheadMs]))
  const now = new Date().toISOString()
  if (seen.length === 0) return ok("clock", `${now}; no other clock to compare it with`)
  // The median, because one server may be wrong itself.
  const ahead = seen.toSorted((a, b) => a - b)[Math.floor(seen.length / 2)] ?? 0
  if (Math.abs(ahead) < toleranceMs) return ok("clock", `${now}, the same as on other servers`)
  const seconds = Math.round(Math.abs(ahead) / 1000)
  return warning(
    "clock",
    `${now}, ${seconds} s ${ahead > 0 ? "behind" : "ahead of"} other servers`,
    "Synchronize the clock by NTP: the expiry of sessions and the check of certificates depend on it.",
  )
}

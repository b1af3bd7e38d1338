import { type Finding, ok, warning } from "./finding.ts"

/** In ms. Sessions expire and limits count by the clock; a few seconds are the network's and a header's. */
const tolerableMs = 5000

/** This machine's clock against those of the servers that were asked. */
export const checkClock = (findings: ReadonlyArray<Finding>): Finding => {
  const seen = findings.flatMap(({ aheadMs }) => (aheadMs === undefined ? [] : [aheadMs]))
  const now = new Date().toISOString()
  if (seen.length === 0) return ok("clock", `${now}; there was no other to compare it with`)
  // The middle one: a single server may be wrong itself.
  const ahead = seen.toSorted((a, b) => a - b)[Math.floor(seen.length / 2)] ?? 0
  if (Math.abs(ahead) < tolerableMs) return ok("clock", `${now}, as others have it`)
  const seconds = Math.round(Math.abs(ahead) / 1000)
  return warning(
    "clock",
    `${now}, ${seconds} s ${ahead > 0 ? "behind" : "ahead of"} other servers`,
    "Set the clock by NTP: sessions expire, and certificates are checked, by it.",
  )
}

import { expect, test } from "bun:test"
import { enginesSection } from "../../scripts/bench/engines-report.ts"

test("the section of the offline engines has every figure", () => {
  const section = enginesSection({
    machine: "a machine",
    othersBefore: 0.01,
    othersAfter: 0.2,
    hearing: [
      { engine: "ears", wordErrorRate: 0.0282, realTimeFactor: 0.0314, medianMs: 141.4, residentMb: 267.3 },
      { engine: "program", wordErrorRate: 0.25, realTimeFactor: 0.4, medianMs: 2000, residentMb: undefined },
    ],
    turns: [
      {
        clients: 4,
        turns: 20,
        failed: 1,
        firstByteMs: { p50: 477.2, p95: 668.6 },
        lastByteMs: 612.7,
        serviceMb: 201.6,
        engineMb: 276.4,
        loop: { lateMs: 12.34, busyMs: 8.25 },
      },
    ],
  })
  expect(section).toContain("provisional")
  expect(section).toContain("| ears | 2.8 % | 0.031 s | 141 ms | 267 MB |")
  expect(section).toContain("| program | 25.0 % | 0.400 s | 2000 ms | a process per recording |")
  expect(section).toContain("| 4 | 20 | 1 | 477 ms | 669 ms | 613 ms | 202 MB | 276 MB | 12.3 ms | 8.3 ms |")
})

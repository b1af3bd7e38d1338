import { expect, test } from "bun:test"
import { enginesSection, enginesVerdicts } from "../../scripts/bench/engines-report.ts"

test("the section of the offline engines has every figure", () => {
  const section = enginesSection({
    machine: "a machine",
    othersBefore: 0.01,
    othersAfter: 0.2,
    hearing: [
      { engine: "ears", wordErrorRate: 0.0282, realTimeFactor: 0.0314, medianMs: 141.4, residentMb: 267.3 },
      { engine: "program", wordErrorRate: 0.25, realTimeFactor: 0.4, medianMs: 2000, residentMb: undefined },
    ],
    speaking: [
      { engine: "flite", realTimeFactor: 0.026, medianMs: 100, residentMb: 21.4 },
      { engine: "voice", realTimeFactor: 0.31, medianMs: 700, residentMb: 300 },
    ],
    sileroMb: 61,
    engines: { stt: "ears", tts: "flite" },
    turns: [
      {
        clients: 1,
        turns: 20,
        failed: 0,
        firstByteMs: { p50: 601, p95: 700 },
        lastByteMs: 800,
        serviceMb: 200,
        engineMb: 270,
        loop: { lateMs: 40, busyMs: 10 },
      },
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
  expect(section).toContain("| flite | 0.026 s | 100 ms | 21 MB |")
  expect(section).toContain("takes 61 MB")
  expect(section).toContain("median | at most 600.0 ms | 601.0 ms | not met |")
  expect(section).toContain("| Wrong words of the recognizer | at most 6.0 % | 2.8 % | met |")
  expect(section).toMatch(/Memory of all .* \| at most 400 MB \| 352 MB \| met \|/)
  expect(section).toContain("1 client | at most 20.0 ms | 10.0 ms | met |")
  expect(section).toContain("in all rows | at most 0 | 1 | not met |")
  expect(section).toContain("| 4 | 20 | 1 | 477 ms | 669 ms | 613 ms | 202 MB | 276 MB | 12.3 ms | 8.3 ms |")
})

test("a goal without its figure is not measured", () => {
  const verdicts = enginesVerdicts({
    hearing: [],
    speaking: [],
    sileroMb: undefined,
    engines: { stt: "ears", tts: "flite" },
    turns: [],
  })
  expect(verdicts.match(/\| - \| not measured \|/g)).toHaveLength(4)
})

import { expect, test } from "bun:test"
import type { RealtimeRow } from "../../scripts/bench/realtime/measure.ts"
import { realtimeSection } from "../../scripts/bench/realtime/report.ts"

const cost = {
  firstAudio: undefined,
  interruption: undefined,
  serviceMs: 486.6,
  detectorMs: 210.9,
  driverMs: 37,
  socketMb: 0.31,
  lateMs: 5.5,
  failures: new Map(),
}

const rows: ReadonlyArray<RealtimeRow> = [
  {
    ...cost,
    load: "one",
    sockets: 1,
    firstAudio: { p50: 1050, p95: 1500, count: 10, stoppedMs: { p50: 608, p95: 660 }, floorMs: 1000 },
  },
  {
    ...cost,
    load: "many",
    sockets: 200,
    socketMb: 1.25,
    firstAudio: { p50: 1000, p95: 1200, count: 200, stoppedMs: { p50: 630, p95: 700 }, floorMs: 1000 },
    failures: new Map([["closed 1006", 2]]),
  },
  {
    ...cost,
    load: "rude",
    sockets: 1,
    interruption: { count: 9, startedMs: { p50: 800, p95: 900 }, lastAudioMs: { p50: 0, p95: 61 } },
  },
]

test("silent sockets have a goal for their memory", () => {
  const silent = (socketMb: number) => ({ ...cost, load: "silent", sockets: 500, socketMb })
  const report = { machine: "a machine", othersBefore: 0, othersAfter: 0, rows: [silent(0.5), silent(1.25)] }
  expect(realtimeSection(report)).toContain("0.50 MB (goal 1, met) |")
  expect(realtimeSection(report)).toContain("1.25 MB (goal 1, not met) |")
})

test("the section of Realtime connections has every figure and verdict", () => {
  const section = realtimeSection({ machine: "a machine", othersBefore: 0.01, othersAfter: 0.2, rows })
  expect(section).toContain("provisional")
  expect(section).toContain("| one | 10 | 1000 ms | 608 ms | 1050 ms | 1500 ms | 1.05 x | 1.05 x | met |")
  expect(section).toContain(
    "| many | 200 | 1000 ms | 630 ms | 1000 ms | 1200 ms | 1.20 x | 1.15 x | not met |",
  )
  expect(section).toContain("| rude | 9 | 800 ms | 900 ms | 0 ms | 61 ms | 60 ms | not met |")
  expect(section).toContain("| many | 487 ms/s | 211 ms/s | 37 ms/s | 6 ms | 1.25 MB |")
  expect(section).toContain("- many: 2 x closed 1006")
})

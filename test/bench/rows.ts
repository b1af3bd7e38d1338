import type { Figures, Load } from "../../scripts/bench/figures.ts"

/** One row of the benchmark, with distinct figures. `changed` overrides them. */
export const rowOf = (load: Partial<Load>, changed: Partial<Figures> = {}): Figures => ({
  upstream: "paced",
  recording: "WAV",
  clients: 1,
  together: false,
  floors: { pipelinedMs: 1000, sequentialMs: 4000 },
  turns: 20,
  failures: new Map(),
  firstByteMs: { p50: 1010, p95: 1050 },
  lastByteMs: { p50: 3000, p95: 3100 },
  turnsWithGap: 0,
  longestGapMs: 0,
  turnsPerSecond: 70,
  ownCpuMs: 20,
  ffmpegCpuMs: 0,
  benchCpuMs: 5,
  residentMb: 140,
  ...load,
  ...changed,
})

import { parseArgs } from "node:util"

export interface Options {
  /** The end of the load: after this many ms, or after this many turns. */
  readonly length: { readonly ms: number } | { readonly turns: number }
  readonly perSecond: number
  /** Concurrent visits. A machine that carries the load has fewer. */
  readonly mostAtATime: number
  /** Whether the provider answers at once: more turns a minute. */
  readonly isFast: boolean
  /** The service's ffmpeg: the one of the image cannot make the recordings of the clients. */
  readonly ffmpeg: string | undefined
  /** Turns between two lines of progress. */
  readonly every: number
  readonly seed: number
  readonly restMs: number
  /** Whether the results are written to docs. */
  readonly write: boolean
}

export const usage = `Usage: bun run soak [minutes] [options]

  minutes             how long the load lasts (10)
  --turns 10000       instead of minutes: until this many turns have begun
  --per-second 16     new visits a second; 100 visits are 122 turns
  --at-a-time 64      visits that run at the same time, at most
  --fast              the provider answers at once; with --per-second 1000, as many visits as the machine carries
  --ffmpeg PATH       the ffmpeg of the service (default: the first one in PATH)
  --every 500         turns between two lines of progress
  --seed 1            repeats the same visits in the same order (default: random)
  --rest-seconds 40   the pause before the service is measured; it keeps database connections for 30 s
  --write             write the section of docs/reliability.md, and its picture`

/** Throws an error with a sentence if an option is unknown or wrong. */
export const readOptions = (args: ReadonlyArray<string>): Options => {
  const text = { type: "string" } as const
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      turns: text,
      "per-second": { ...text, default: "16" },
      "at-a-time": { ...text, default: "64" },
      fast: { type: "boolean", default: false },
      ffmpeg: text,
      every: { ...text, default: "500" },
      seed: text,
      "rest-seconds": { ...text, default: "40" },
      write: { type: "boolean", default: false },
    },
  })
  const number = (name: string, value: string, least: number) => {
    const parsed = Number(value)
    if (value.trim() === "" || !(parsed >= least)) throw new Error(`${name} must be a number from ${least}.`)
    return parsed
  }
  const whole = (name: string, value: string) => {
    const parsed = number(name, value, 1)
    if (!Number.isInteger(parsed)) throw new Error(`${name} must be a whole number.`)
    return parsed
  }
  const [minutes, ...more] = positionals
  if (more.length > 0) throw new Error("Minutes must be one number.")
  if (minutes !== undefined && values.turns !== undefined) throw new Error("Give either minutes or --turns.")
  return {
    length:
      values.turns === undefined
        ? { ms: number("minutes", minutes ?? "10", 0.1) * 60_000 }
        : { turns: whole("--turns", values.turns) },
    perSecond: number("--per-second", values["per-second"], 0.1),
    mostAtATime: whole("--at-a-time", values["at-a-time"]),
    isFast: values.fast,
    ffmpeg: values.ffmpeg,
    every: whole("--every", values.every),
    seed: values.seed === undefined ? 1 + Math.floor(Math.random() * 2 ** 31) : whole("--seed", values.seed),
    restMs: number("--rest-seconds", values["rest-seconds"], 0) * 1000,
    write: values.write,
  }
}

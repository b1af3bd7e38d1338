import { parseArgs } from "node:util"

export interface Options {
  /** The end of the load: after this many ms, or after this many turns. */
  readonly length: { readonly ms: number } | { readonly turns: number }
  readonly perSecond: number
  readonly seed: number
  readonly restMs: number
  /** Whether the results are written to docs. */
  readonly write: boolean
}

export const usage = `Usage: bun run soak [minutes] [options]

  minutes             how long the load lasts (10)
  --turns 10000       instead of minutes: until this many turns have begun
  --per-second 16     new visits a second; 100 visits are 104 turns
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
    seed: values.seed === undefined ? 1 + Math.floor(Math.random() * 2 ** 31) : whole("--seed", values.seed),
    restMs: number("--rest-seconds", values["rest-seconds"], 0) * 1000,
    write: values.write,
  }
}

import { parseArgs } from "node:util"
import { defaultMaxTurns, hostResources } from "../../../src/capacity.ts"

export interface Options {
  /** The overload, as a multiple of the rate that the service carries. */
  readonly times: number
  /** Duration of each load, in ms. */
  readonly ms: number
  readonly maxTurns: number
  /** Whether the results are written to docs. */
  readonly write: boolean
}

export const usage = `Usage: bun run overload [options]

  --times 3        the overload, as a multiple of the rate that the service carries
  --seconds 30     duration of each of the four loads
  --max-turns 32   MAX_TURNS of the service (default: that of this machine)
  --write          write the section of docs/reliability.md`

/** Throws an error with a sentence if an option is unknown or wrong. */
export const readOptions = (args: ReadonlyArray<string>): Options => {
  const text = (value: string) => ({ type: "string", default: value }) as const
  const { values } = parseArgs({
    args: [...args],
    options: {
      times: text("3"),
      seconds: text("30"),
      "max-turns": text(`${defaultMaxTurns(hostResources())}`),
      write: { type: "boolean", default: false },
    },
  })
  const number = (name: "times" | "seconds" | "max-turns", least: number) => {
    const parsed = Number(values[name])
    if (values[name].trim() === "" || !(parsed >= least))
      throw new Error(`--${name} must be a number from ${least}.`)
    return parsed
  }
  const maxTurns = number("max-turns", 1)
  if (!Number.isInteger(maxTurns)) throw new Error("--max-turns must be a whole number.")
  return {
    times: number("times", 1),
    ms: number("seconds", 1) * 1000,
    maxTurns,
    write: values.write,
  }
}
